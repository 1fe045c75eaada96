"""A Qdrant server or cluster, and the client's memory."""

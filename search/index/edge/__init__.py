"""The engine in this process, or in a child of its own: Qdrant Edge."""

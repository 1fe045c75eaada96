"""Which documents of a collection say the same? Near-duplicates found, judged, clustered and shown."""

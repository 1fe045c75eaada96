"""What of the operating system matters: files of others, forks, terminals, and what libraries report home."""

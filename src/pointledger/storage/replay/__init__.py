"""What a replay reads, and the files for data that does not fit into memory."""

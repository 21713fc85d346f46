"""What a replay reads, and where it keeps what does not fit into memory."""

"""Reads what a replay needs, and stores data that does not fit into memory in files."""

"""Reads for people. None of them changes anything."""

"""The queries that must find nothing."""

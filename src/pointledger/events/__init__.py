"""The broker of events: relay (out) and ingest (in)."""

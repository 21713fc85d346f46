"""Exchanges events with other services: the relay sends them, and ingest receives them."""

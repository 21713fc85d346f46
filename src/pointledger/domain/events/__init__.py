"""Defines the messages of the ledger: outgoing events, incoming CloudEvents, Celery messages."""

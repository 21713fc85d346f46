"""Connects other programs to the ledger: Celery's result backend, and commands by task name."""

"""Celery workers: they receive doorbells and commands, and call the engine."""

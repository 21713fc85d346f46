"""Connects processes through Redis and Celery: doorbells, notifications, and the names they share."""

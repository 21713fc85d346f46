"""Celery beat: it decides when jobs run, not what they do."""

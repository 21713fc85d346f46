"""What enters and leaves as messages: outgoing events, incoming CloudEvents, Celery messages."""

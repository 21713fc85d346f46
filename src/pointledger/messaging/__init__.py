"""What Redis and Celery are used for: doorbells, notifications, tasks, queues and settings."""

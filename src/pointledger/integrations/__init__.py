"""The ledger in other people's programs: Celery's result backend, and commands by task name."""

"""Runs Alembic on the connection that `storage/migrate.py` passes."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()

"""The command queue in Postgres, from acceptance to the outcome, and the queue of periodic jobs."""

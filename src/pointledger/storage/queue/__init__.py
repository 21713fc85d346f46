"""The queue in Postgres: journal, lanes, failures, pauses, cancellations, batches, dead letters, job runs."""

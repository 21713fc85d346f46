"""Periodic jobs: what is due is found and enqueued as commands."""

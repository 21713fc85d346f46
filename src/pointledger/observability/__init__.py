"""Logs, counters, metrics, verification and the doctor."""

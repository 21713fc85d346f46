"""Logs, counters, metrics, verification, replay and the doctor."""

"""The schedules: when, never what."""

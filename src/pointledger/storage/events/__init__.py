"""The outbox of events, and expiry reminders."""

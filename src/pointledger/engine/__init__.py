"""Applies the pending commands of a lane, batch by batch."""

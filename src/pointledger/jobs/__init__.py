"""Runs periodic jobs: finds what is due and accepts commands for it."""

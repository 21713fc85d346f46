"""Holds the accounts of a batch in memory: entries, lots, holds, wallets and their lifecycles."""

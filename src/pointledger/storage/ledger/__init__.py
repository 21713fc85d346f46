"""Loads and saves what a batch touches: accounts, lots, holds, wallets, usage, program."""

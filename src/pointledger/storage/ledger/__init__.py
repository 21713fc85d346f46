"""Loads and saves the rows of a batch: accounts, lots, holds, wallets, usage and the program."""

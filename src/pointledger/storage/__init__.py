"""Every SQL statement of the ledger, and nothing else.

Each function runs one statement and is named for the question that it answers. Row locks have one order
everywhere: lane, accounts and then wallets (by tenant and user), counters of shared limits (by key).
"""

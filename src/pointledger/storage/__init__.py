"""Every SQL statement of the ledger, and nothing else.

One statement per function, named for the question that it answers. Row locks are taken in this order
everywhere: lane, accounts and then wallets (by tenant and user), counters of shared limits (by their key).
"""

"""Commands that enqueue ledger commands, one or many."""

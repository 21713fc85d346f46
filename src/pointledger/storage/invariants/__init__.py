"""Queries that find violations of the ledger's invariants. In a correct ledger they find nothing."""

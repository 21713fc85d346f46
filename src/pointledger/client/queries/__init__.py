"""Read-only queries: accounts, entries, rules, wallets, explanations, exports. Each is bounded."""

"""Commands for a tenant's program: configuration, rules, expiry policies."""

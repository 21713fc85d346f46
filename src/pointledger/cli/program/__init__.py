"""Commands about a tenant's program: configuration, rules, expiry policies."""

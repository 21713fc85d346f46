"""A tenant's configuration and rules: expressions, awards, limits, matching, expiry policies."""

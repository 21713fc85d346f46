"""Defines a tenant's program: its configuration, rules, awards, limits and expiry policies."""

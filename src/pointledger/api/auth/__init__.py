"""Who asks, and what they may do: tokens, keys, permissions, rate limits."""

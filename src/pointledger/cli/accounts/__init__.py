"""Commands about accounts: points, entries, holds, wallets and erasure."""

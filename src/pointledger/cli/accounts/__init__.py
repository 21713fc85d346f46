"""Commands about accounts: what they have, and the holds, wallets and erasures of users."""

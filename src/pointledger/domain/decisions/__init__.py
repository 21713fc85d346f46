"""What each command does to the accounts: guards first, then the deed. One function per kind."""

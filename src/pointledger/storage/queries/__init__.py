"""Read-only queries for people: API, CLI, console and doctor."""

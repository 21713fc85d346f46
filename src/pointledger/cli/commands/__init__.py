"""Commands that enqueue: one, many, from files."""

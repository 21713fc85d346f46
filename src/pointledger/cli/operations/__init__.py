"""Commands for operators: checks, dead commands and dead letters, jobs, processes."""

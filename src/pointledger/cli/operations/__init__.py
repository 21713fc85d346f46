"""Commands for operators: checks, dead commands, jobs, processes."""

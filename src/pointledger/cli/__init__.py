"""Owns the command line: `pointledger`. Every command has `--json`; status and errors go to stderr.

    app        the commands in one place, and what an error prints and ends with
    commands   enqueue, outcome, cancel
    replay     many commands from lines of JSON: the engine, for the command and for the demo
    bulk       replay and sweep, with their progress bars
    batches    batch-earn, batch-outcome
    programmes tenant, rule
    accounts   account, accounts, entries
    lookups    entry, why, expiring, value, stats, export, sweep preview
    operate    migrate, audit
    dead       dead list, show, retry
    tally      outcomes of many commands, counted as they come
    opening    settings, database and client for the length of a command
    reading    files, `-`, and the JSON in them
    output     tables for people, JSON for programs

Exit status: 0 done or applied; 1 refused, dead, unknown, or a broken invariant; 2 bad input; 3 still pending.
"""

from pointledger.cli.app import main

__all__ = ["main"]

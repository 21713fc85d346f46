"""Owns the command line: `pointledger`. Every command has `--json`; status and errors go to stderr.

    app         the commands in one place, and what an error prints and ends with
    commands/   enqueue, outcome, cancel, replay, batches
    accounts/   account, entries, holds, wallets, erase, and what may be asked of a user
    program/    tenant, rule, expiry policy
    operations/ checks, dead commands and dead letters, jobs, processes
    arguments   arguments and options that several commands share
    session     settings, database and client for the length of a command
    input       files, `-`, and the JSON in them
    output      tables for people, JSON for programs
    progress    outcomes of many commands, counted as they come

Exit status: 0 done or applied; 1 refused, dead, unknown, or a broken invariant; 2 bad input; 3 still pending.
"""

from pointledger.cli.app import main

__all__ = ["main"]

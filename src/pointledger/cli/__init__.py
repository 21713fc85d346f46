"""The command line: `pointledger`. Every command has `--json`. Status and errors go to stderr.

    app         all commands, and how an error is printed
    commands/   enqueue, outcome, cancel, replay, batches
    accounts/   accounts, entries, holds, wallets, erase, and other queries about a user
    program/    tenants, rules, expiry policies
    operations/ checks, dead commands and dead letters, jobs, processes
    arguments   arguments and options that several commands share
    session     settings, database and client for one command
    input       files, `-`, and the JSON in them
    output      tables for people, JSON for programs
    progress    counts the outcomes of many commands

Exit status: 0 done or applied; 1 refused, dead, unknown, or a broken invariant; 2 bad input; 3 still pending.
"""

from pointledger.cli.app import main

__all__ = ["main"]

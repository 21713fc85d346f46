"""What points are and what commands do to them. Pure: no IO, no clock, no logging.

    values     ids, amounts, money, JSON, validation messages
    commands   the kinds of command; accepted commands; outcomes and the reasons of a refusal
    events     outgoing events, incoming CloudEvents, Celery messages
    program    a tenant's configuration and its rules
    ledger     the accounts of a batch in memory; `book` is the one place a balance changes
    decisions  one command against the book: guards in order, then the deed

Each imports only what stands above it. The one impurity: a command that is made without an id draws one.
"""

"""Defines what points are and what commands do to them. Pure: no IO, no clock, no logging.

    values     ids, amounts, money, JSON, validation messages
    commands   the kinds of command; accepted commands; outcomes and the reasons of a refusal
    events     outgoing events, incoming CloudEvents, Celery messages
    program    a tenant's configuration and its rules
    ledger     the accounts of a batch in memory; balances change only in `book`
    decisions  one command against the book: guards in order, then the change

One impurity remains: a command that is created without an id draws a random one.
"""

"""The HTTP API: the entry point for services and people (the extra `http`, the command `pointledger serve`).

A request passes, in this order:

    server              HTTP itself
    middleware          sizes, how many at once, metrics
    routes/             its route
    auth/tokens         who?
    auth/rate_limits    how often?
    auth/permissions    may they?
    schemas/body        strict JSON
    commands            a command, made of the body and enqueued
    group_commit        into the journal, together with whatever else waits
    waiting             its outcome, waited for together with all others
    queries             what is asked only: read in a thread (`state`)
    responses           the answer, in the form of `schemas/envelope` and `schemas/status_codes`

Adding a route: a function in a module of `routes/` (a new topic is a new module, listed in
`routes/__init__.py`), and a line for it in the table of `auth/permissions`, without which it answers 403. A
route for a command is a line in the table of `routes/commands`. Each has an operation id, the schema of its
answer and the model of its body (`schemas/`), and examples of that (`openapi/examples`). `openapi/document`
makes the document at /openapi.json from these.
"""

"""The HTTP API for services and people (the extra `http`, the command `pointledger serve`).

A request passes through these modules, in this order:

    server, protocol    HTTP/1.1, and time limits of a connection; `starting` until the database answers
    connections         how many of them there are
    middleware          size limits, metrics
    turns               the order of requests when the event loop is busy
    routes/             the route
    guard               what follows, up to the slot
    auth/tokens         authentication
    auth/permissions    authorization
    auth/prices         the price of the route
    auth/rate_limits    rate tokens to pay it
    schemas/body        receives the body: strict JSON
    slots               a place among the requests in progress
    commands            makes a command from the body and enqueues it
    group_commit        writes it to the journal, together with other pending requests
    waiting             waits for its outcome, for all requests together
    queries             reads, in a thread (`state`, `threads`)
    responses           builds the response (`schemas/envelope`, `schemas/status_codes`)

`admin` serves /metrics, on a port of its own.

To add a route, write a function in a module of `routes/` and add a line to the table in `auth/permissions`.
Without that line the route answers 403. If it reads more than by key, add a line in `auth/prices`. List a new
module in `routes/__init__.py`. A route for a command is a line in the table of `routes/commands`. Each route
has an operation id, schemas for its body and response (`schemas/`), and examples of its body
(`openapi/examples`). `openapi/document` builds /openapi.json from these.
"""

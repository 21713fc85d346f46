"""The HTTP API for services and people (the extra `http`, the command `pointledger serve`).

A request passes through these modules, in this order:

    server              HTTP/1.1
    middleware          size limits, concurrency limit, metrics
    routes/             the route
    auth/tokens         authentication
    auth/rate_limits    rate limits
    auth/permissions    authorization
    schemas/body        strict JSON
    commands            makes a command from the body and enqueues it
    group_commit        writes it to the journal, together with other pending requests
    waiting             waits for its outcome, for all requests together
    queries             reads, in a thread (`state`)
    responses           builds the response (`schemas/envelope`, `schemas/status_codes`)

To add a route, write a function in a module of `routes/` and add a line to the table in `auth/permissions`.
Without that line the route answers 403. List a new module in `routes/__init__.py`. A route for a command is
a line in the table of `routes/commands`. Each route has an operation id, schemas for its body and response
(`schemas/`), and examples of its body (`openapi/examples`). `openapi/document` builds /openapi.json from
these.
"""

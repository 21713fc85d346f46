"""The console: pages for people who have no shell (the extra `console`).

`pointledger serve --console` serves it beside the HTTP API, `pointledger console` alone. All its paths are
below `/console`. A request passes through these modules, in this order:

    app              the routes, and the page for each error
    security         headers of the response, size limits, the session, rate limits, origin checks
    session          the signed cookie
    visit            who asks, for which tenant, with which right; the form and its token
    roles            the table of rights
    pages/           one module per page: what it asks, what it shows
    actions          forms: dry run, confirmation with a reason, command, outcome
    render           templates, numbers, times, ids that can be copied

`oidc` and `login` speak with the provider. `streams` sends what changes while a page is open. The console has
no SQL: it asks `client/queries`, and it sends commands through the client, as every other program does.

To add a page, read the docstring of `pages`.
"""

"""The pages of the console: one module per page says what it asks, and its template what it shows.

To add a page:

1. Write `pages/NAME.py` with one function per address: `def show(visit: Visit) -> Response`. It runs in a
   thread, so it may block. It asks with `visit.queries` and ends with `visit.page("NAME.html", ...)`. What is
   wrong with the request, it raises: `problems.problem(400, "limit: 1 to 100.")`, or any LedgerError.
2. List them in the module's `ROUTES`: `PageRoute("queue", "queue", show)`. The path is below
   `/console/{tenant}`. `visit.path("user_id")` reads its parameters, `visit.query("type")` those after `?`.
   Filters and cursors belong there, so that each page has an address that can be sent.
3. Give the permission a line in `roles.PERMISSIONS`, and the page one in `roles.NAVIGATION` if it has a
   place there. Other parts of the page may need more: `visit.require(...)` in the function, `visit.may(...)`
   in the template.
4. Add the module to `PAGES` in `app.py`.
5. Write `templates/NAME.html`: `{% extends "base.html" %}`, the blocks `title` and `content`. `parts.html`
   has macros for figures, states, empty lists, pages of a list and the fields that each form needs. Filters:
   `number`, `signed`, `moment`, `day`, `copyable`. Addresses: `visit.url("members", user_id, type="earn")`.
   A page passes `current="PERMISSION"`, which marks its place in the navigation. Every list says what is the
   case when it is empty, and what can be done.
6. A form that changes something has `method="post"` and `{{ form_fields(visit) }}`, and its route the method
   "POST". `visit.form` has its fields. A form ends with `visit.redirect(...)`, so that loading the page again
   sends nothing. What becomes a command is an `Action` (`actions.py`): form, dry run, confirmation with a
   reason. What becomes none, like a retry or a pause, is a `Control` (`controls.py`): what would happen, then
   a reason. A rule or the configuration is edited with `editor.py`: form or JSON, review, reason; a new field
   of a rule or a configuration needs its line in `rule_form.py` or `tenant_form.py`.
7. What changes while the page is open comes from a stream (`streams.py`), one per page: a `StreamRoute` in
   the module's `STREAMS`, and in the template an element with `data-stream`, with the place for the part in
   it, `data-part`. `visit.part("NAME_part.html", ...)` renders it; the page includes the same template. Give
   `details` and what takes the focus an id, so that they stay as they are. What many watch is read once:
   `visit.console.shared`.
8. A chart is drawn from a table: `figure[data-chart]` names it and its columns, and cells have their number
   in `data-value` (`static/charts.js`). The table stays.
9. Test it in `tests/console`: `browse` follows the real login without a browser, `page` drives Chromium.

There is no SQL here, and no inline script or style: the policy in `security.py` forbids them. A page works
without scripts; they only make it quicker to use.
"""

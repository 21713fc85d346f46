"""One request of a person who has logged in: who, for which tenant, and what they ask.

`endpoint` makes a route of a page: it checks session, tenant, right and form, and then runs the page in a
thread. So a page is a plain function that asks and shows, and may block.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from pointledger.api.console import problems
from pointledger.api.console.addresses import address, is_page, text_of
from pointledger.api.console.roles import NAVIGATION, PERMISSIONS, NavigationItem, may
from pointledger.api.console.session import Session
from pointledger.api.console.state import ConsoleState
from pointledger.api.paths import segment_text
from pointledger.client.client import PointsClient
from pointledger.client.queries.console import ConsoleQueries
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.actor import Actor

MOST_FORM_BYTES = 256 * 1024  # a rule's JSON and its reason
MOST_FIELDS = 150  # a rule's form with twenty limits has 120
# The range of the ledger's moments: the day after the last one begins within it.
_FIRST_DAY, _LAST_DAY = date(1901, 1, 1), date(8999, 12, 30)
MOST_CURSOR = 10**18  # above the number of any row of a member
_DIGITS = re.compile(r"[0-9]{1,19}")
TOKEN, BACK = "_token", "_back"  # fields of every form: the session's token, and the page that shows the form


@dataclass(frozen=True, slots=True)
class Visit:
    """A request. `form` has the fields of a POST, without those that every form has."""

    request: Request
    console: ConsoleState
    session: Session
    tenant: Tenant
    form: Mapping[str, str] = field(default_factory=dict)

    # ---------------------------------------------------------------------------------- what is asked

    def path(self, name: str) -> str:
        """Return a parameter of the path, like a user id."""
        return text_of(segment_text(self.request.path_params[name]))

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the address, without spaces around it. Raises ConsoleProblem if it is
        given twice."""
        values = self.request.query_params.getlist(name)
        if len(values) > 1:
            raise problems.problem(400, f"{name}: give it once.")
        return values[0].strip() if values else default

    def day(self, name: str) -> date | None:
        """Return the day that a parameter of the address names, or None. Raises ConsoleProblem."""
        text = self.query(name)
        try:
            day = date.fromisoformat(text) if text else None
        except ValueError:
            raise problems.problem(400, f"{name}: a day like 2027-01-31.") from None
        if day is not None and not _FIRST_DAY <= day <= _LAST_DAY:
            raise problems.problem(400, f"{name}: a day between the years 1901 and 8999.")
        return day

    def cursor(self, name: str) -> int | None:
        """Return a parameter that is the number of a row, or None without it. Raises ConsoleProblem."""
        text = self.query(name)
        if text and not (_DIGITS.fullmatch(text) and 0 < int(text) < MOST_CURSOR):
            raise problems.problem(400, f"{name}: the number of an entry, as the link Older has it.")
        return int(text) if text else None

    @property
    def here(self) -> str:
        """The address of this page, with its query."""
        return _address_of(self.request)

    # ------------------------------------------------------------------------------------- what it has

    @property
    def queries(self) -> ConsoleQueries:
        """Everything that can be asked. Each query has a few seconds."""
        return self.console.queries

    @property
    def client(self) -> PointsClient:
        """What accepts commands, and cancels, retries, pauses and resumes."""
        return self.console.client

    def may(self, permission: str) -> bool:
        """Return whether the person has a permission of `roles`."""
        return may(self.session.roles, permission)

    def require(self, permission: str) -> None:
        """Raise ConsoleProblem 403 without the permission, as `endpoint` does for the page's own."""
        if not self.may(permission):
            raise _forbidden()

    def actor(self, reason: str | None = None) -> Actor:
        """Return the person as the actor of a change to a program or a pending command."""
        return Actor(self.session.actor, reason)

    # ------------------------------------------------------------------------------------- what it shows

    def url(self, *segments: str, **query: str | int | None) -> str:
        """Return the address of a page of this tenant. Parameters that are None or empty are left out."""
        given = {name: None if value is None else str(value) for name, value in query.items()}
        return address(self.tenant.tenant_id, *segments, query=given)

    @property
    def token(self) -> str:
        """What forms send along as `_token`."""
        return self.console.sessions.token(self.session)

    @property
    def navigation(self) -> list[NavigationItem]:
        """The links that the person may follow."""
        return [item for item in NAVIGATION if self.may(item.permission)]

    def page(self, template: str, status: int = 200, **shown: Any) -> Response:
        """Render a template of `templates/`. It also gets `visit`."""
        return self.console.renderer.page(template, status, visit=self, session=self.session, **shown)

    def part(self, template: str, **shown: Any) -> str:
        """Render a template that is a part of a page, for a stream."""
        return self.console.renderer.text(template, visit=self, session=self.session, **shown)

    def redirect(self, url: str) -> Response:
        """Lead to a page of the console, after a form."""
        assert is_page(url), "forms lead to pages of the console only"
        return RedirectResponse(url, 303)


Page = Callable[[Visit], Response]


class PageRoute(NamedTuple):
    """A page at a path below the tenant's, for those who have the permission (`roles`).

    `waits`: it sends commands and waits for outcomes, so it runs in the threads for that.
    """

    path: str
    permission: str
    page: Page
    method: Literal["GET", "POST"] = "GET"
    waits: bool = False


def endpoint(route: PageRoute) -> Callable[[Request], Awaitable[Response]]:
    """Return Starlette's endpoint for a page. Raises KeyError if its permission is unknown."""
    assert PERMISSIONS[route.permission] is not None

    async def respond(request: Request) -> Response:
        console: ConsoleState = request.app.state.console
        session: Session | None = request.state.session
        fields = await form_of(request) if route.method == "POST" else {}
        back = _back(request, fields)
        if session is None:
            typed = {name: value for name, value in fields.items() if name not in (TOKEN, BACK)}
            return problems.login_needed(request, back, typed)
        _check(session, _tenant_id(request), route.permission)
        if route.method == "POST" and not console.sessions.has_token(session, fields.get(TOKEN, "")):
            text = "This form is of an earlier session, so nothing was changed. Open it again and send it."
            raise problems.problem(403, text, back if is_page(back) else None, "Open the form")
        form = {name: value for name, value in fields.items() if name not in (TOKEN, BACK)}
        threads = console.writes if route.waits else console.reads
        return await console.run(threads, lambda: route.page(_visit(request, session, form)))

    return respond


async def visit_of(request: Request, session: Session, permission: str) -> Visit:
    """Return the visit of a request that is no page. Raises ConsoleProblem without the permission."""
    console: ConsoleState = request.app.state.console
    _check(session, _tenant_id(request), permission)
    return await console.run(console.reads, lambda: _visit(request, session, {}))


def _tenant_id(request: Request) -> str:
    return text_of(segment_text(request.path_params["tenant"]))


def _check(session: Session, tenant_id: str, permission: str) -> None:
    if tenant_id not in session.tenants:
        raise problems.not_found()
    if not may(session.roles, permission):
        raise _forbidden()


def _visit(request: Request, session: Session, form: Mapping[str, str]) -> Visit:
    console: ConsoleState = request.app.state.console
    return Visit(request, console, session, console.program.config(_tenant_id(request)), form)


def _forbidden() -> problems.ConsoleProblem:
    return problems.problem(403, "Your roles do not include this. An administrator can say who may do it.")


async def form_of(request: Request) -> dict[str, str]:
    """Receive a form. Raises ConsoleProblem if it is too large or malformed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise problems.problem(400, "A form is expected, as browsers send it.")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_FORM_BYTES:
                raise problems.problem(413, f"The form is larger than {MOST_FORM_BYTES // 1024} KiB.")
    except ClientDisconnect:
        raise problems.problem(400, "The form has no end.") from None
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:  # UnicodeDecodeError
        raise problems.problem(400, f"The form must be UTF-8, with at most {MOST_FIELDS} fields.") from None
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise problems.problem(400, "Each field of a form must be given once.")
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def _back(request: Request, fields: Mapping[str, str]) -> str:
    """Return where the person was: this page, or that of the form, which its fields fill in again."""
    if request.method == "GET":
        current = request.headers.get("hx-current-url")  # htmx asks for a part: the page is this one
        parts = urlsplit(current) if current else None
        return _joined(parts.path, parts.query) if parts else _address_of(request)
    back = fields.get(BACK, "")
    if not is_page(back):
        return ""
    parts = urlsplit(back)
    given = {name: value for name, value in fields.items() if name not in (TOKEN, BACK) and value}
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in given]
    return _joined(parts.path, urlencode([*kept, *given.items()]))


def _address_of(request: Request) -> str:
    path = (request.scope.get("raw_path") or b"").decode("ascii", "replace")
    return _joined(path, request.scope["query_string"].decode("ascii", "replace"))


def _joined(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path

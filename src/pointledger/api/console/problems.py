"""Pages for what goes wrong: what is the case, and what to do. None shows a trace or another's data."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from pointledger.api.console.addresses import MOST_BACK, is_page, own
from pointledger.api.console.session import Session
from pointledger.api.console.state import ConsoleState
from pointledger.errors import (
    AcceptanceBusy,
    AccountMissing,
    BacklogFull,
    BatchMissing,
    DatabaseAway,
    DatabaseFailed,
    EntryMissing,
    HoldMissing,
    IdempotencyKeyReused,
    InvalidCommand,
    InvalidRule,
    InvalidTenant,
    LedgerError,
    QueryTimeout,
    TenantMissing,
    WalletMissing,
)
from pointledger.logs import Log
from pointledger.storage.errors import is_transient

_RETRY_SECONDS = 5  # a person waits that long, and a restart of Postgres takes about as much
_UNAVAILABLE = 503
NO_PAGE = "There is no such page, or it is not yours to see."

_TITLES = {
    400: "This does not work",
    401: "Your session has ended",
    403: "Not allowed",
    404: "Not found",
    405: "Not found",
    409: "Already sent",
    413: "Too large",
    414: "Too long",
    429: "Too fast",
    431: "Too large",
    500: "Something went wrong",
    503: "Not available right now",
}

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """A problem as a page shows it."""

    status: int
    text: str
    link: str | None = None
    """Where to go on, with `label`."""
    label: str = "Go on"
    retry_after: int | None = None
    typed: str = ""
    """What the person has typed, to copy."""


class ConsoleProblem(Exception):
    """Ends a request with a page that says what is the case."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown.text)
        self.shown = shown


def problem(status: int, text: str, link: str | None = None, label: str = "Go on") -> ConsoleProblem:
    """Return an exception that shows this page."""
    return ConsoleProblem(Shown(status, text, link, label))


def not_found(text: str = NO_PAGE) -> ConsoleProblem:
    """Return the 404. Another tenant's page and one that does not exist look the same."""
    return problem(404, text)


def respond(console: ConsoleState, scope: Scope, shown: Shown) -> Response:
    """Build the page."""
    session: Session | None = scope["state"].get("session")
    title = _TITLES.get(shown.status, "This does not work")
    response = console.renderer.page(
        "problem.html", shown.status, title=title, problem=shown, session=session
    )
    if shown.retry_after is not None:
        response.headers["Retry-After"] = str(shown.retry_after)
    return response


def login_needed(request: Request, back: str, fields: Mapping[str, str] | None = None) -> Response:
    """Lead to the login and then back, without losing where the person was.

    A form is not redirected, because browsers let no form lead to the provider: a page has the link. If its
    `fields` are too long for the way to the provider and back, the page also has them, to copy.
    """
    console: ConsoleState = request.app.state.console
    login = own("login", next=back) if is_page(back) else own("login")
    if "hx-request" in request.headers:
        # What checks a form while a person types must not leave the page: it has what was typed.
        return Response(status_code=401, headers={"HX-Redirect": login} if request.method == "GET" else None)
    if request.method == "GET":
        return Response(status_code=303, headers={"Location": login})
    text = "Nothing was changed. Log in again, and the form is there as you left it."
    if len(back) > MOST_BACK and fields:
        text = "Nothing was changed. It is too long to keep while you log in, so copy first what you typed."
        typed = "\n\n".join(f"{name}: {value}" for name, value in fields.items())
        return respond(console, request.scope, Shown(401, text, login, "Log in again", typed=typed))
    return respond(console, request.scope, Shown(401, text, login, "Log in again"))


_NEWER = (
    "A newer version of pointledger saved a rule or the configuration, and this console cannot read it. An "
    "operator upgrades the console."
)

# What a person can do about each failure. The messages of the exceptions speak to those with a shell.
_TEXTS: dict[type[LedgerError], tuple[int, str]] = {
    TenantMissing: (
        404,
        "Your login names this tenant, but the ledger does not know it. An operator saves its configuration "
        "first.",
    ),
    AccountMissing: (
        404,
        "This member has no points account. The first points that are granted open it. Check the spelling of "
        "the user id.",
    ),
    EntryMissing: (404, "There is no entry with this id."),
    HoldMissing: (404, "There is no hold with this id."),
    WalletMissing: (404, "This member has no wallet."),
    BatchMissing: (404, "There is no batch with this id."),
    IdempotencyKeyReused: (
        409,
        "This form was sent before with other content. That one counts, and this one changed nothing. Open "
        "the form anew to send another.",
    ),
    AcceptanceBusy: (
        503,
        "Another page is sending the same form at this moment. Try again: it is done only once.",
    ),
    BacklogFull: (
        503,
        "Too many commands wait, so the ledger accepts no more at the moment. Try again: the same form is "
        "done only once.",
    ),
    # Editors show what is wrong with a form themselves, so this is something that was saved.
    InvalidRule: (500, _NEWER),
    InvalidTenant: (500, _NEWER),
    QueryTimeout: (503, "The ledger took too long to find this. Ask for less, or try again."),
}


def shown_of(error: Exception) -> Shown:
    """Return how a failure is shown. A bug is logged with its trace, and shown without."""
    if isinstance(error, ConsoleProblem):
        return error.shown
    if isinstance(error, InvalidCommand):
        return Shown(400, f"{error.args[0] if error.args else 'The request is malformed'}.")
    for kind, (status, text) in _TEXTS.items():
        if isinstance(error, kind):
            return Shown(status, text, retry_after=_RETRY_SECONDS if status == _UNAVAILABLE else None)
    if isinstance(error, DatabaseAway) or is_transient(error):
        _log.warning("database_is_away", action="console", error=type(error).__name__)
        return _away(maybe_done=getattr(error, "maybe_done", False))
    _log.error("bug", action="console", exc_info=error)
    if isinstance(error, DatabaseFailed):
        return Shown(500, "The database rejected this. An operator finds out why: pointledger doctor.")
    return Shown(500, "This is a fault of the console. Its log has the details.")


def _away(*, maybe_done: bool) -> Shown:
    text = "The database does not answer. Nothing is lost: what was accepted is applied when it is back."
    if maybe_done:
        text += " What you sent may have been accepted. Send the same form again: it is done only once."
    return Shown(_UNAVAILABLE, text, retry_after=_RETRY_SECONDS)

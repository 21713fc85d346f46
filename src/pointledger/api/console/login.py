"""Logs people in and out.

A login keeps its state, nonce and verifier in a signed cookie of its own, so several tabs can log in at once
and nothing is stored. Only the browser that began a login can end it.
"""

import secrets
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pointledger.api.console import problems
from pointledger.api.console.addresses import MOST_BACK, ROOT, is_page, own
from pointledger.api.console.oidc import LoginRefused, ProviderAway, name_of, subject_of, texts_of
from pointledger.api.console.problems import Shown
from pointledger.api.console.roles import ROLES
from pointledger.api.console.security import cookie_of
from pointledger.api.console.session import (
    MOST_COOKIE_BYTES,
    Session,
    SessionTooLarge,
    delete_cookie,
    set_cookie,
)
from pointledger.api.console.state import ConsoleState
from pointledger.api.console.visit import TOKEN, form_of

_LOGIN_SECONDS = 600  # for a person to type a password and a second factor
_MOST_LOGINS = 5  # of one browser at once; each is a cookie, and headers are limited


async def login(request: Request) -> Response:
    """Lead to the provider."""
    console: ConsoleState = request.app.state.console
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    back = request.query_params.get("next", "")
    if not is_page(back) or len(back) > MOST_BACK:
        back = back.partition("?")[0] if is_page(back) else ROOT
    try:
        url = await console.provider.login_url(state, nonce, verifier)
    except ProviderAway:
        return _provider_away(console, request)
    response = RedirectResponse(url, 303)
    kept = _kept_by(console, state=state, nonce=nonce, verifier=verifier, back=back)
    if len(kept) > MOST_COOKIE_BYTES:  # what was typed is too long to come back
        kept = _kept_by(console, state=state, nonce=nonce, verifier=verifier, back=back.partition("?")[0])
    secure = console.configuration.is_secure
    begun = [name for name in request.cookies if name.startswith(_prefix(console))]
    for old in begun[: max(0, len(begun) - _MOST_LOGINS + 1)]:
        delete_cookie(response, old, secure=secure)
    set_cookie(response, _cookie(console, state), kept, _LOGIN_SECONDS, secure=secure)
    return response


async def callback(request: Request) -> Response:
    """End a login: verify who it is, and begin the session."""
    console: ConsoleState = request.app.state.console
    state = request.query_params.get("state", "")
    kept = _kept(console, request, state)
    if kept is None:
        return _refused(console, request, "This login was not begun in this browser, or it took too long.")
    if error := request.query_params.get("error"):
        denied = error == "access_denied"
        text = "The login was canceled." if denied else "The provider refused the login."
        return _refused(console, request, text)
    given_issuer = request.query_params.get("iss", console.configuration.issuer)
    code = request.query_params.get("code", "")
    if not code or given_issuer != console.configuration.issuer:
        return _refused(console, request, "The provider's answer is not one to this login.")
    try:
        claims = await console.provider.claims(code, kept["nonce"], kept["verifier"])
        response: Response = RedirectResponse(kept["back"], 303)
        _begin(console, response, claims)
    except ProviderAway:
        return _provider_away(console, request)
    except LoginRefused as error:
        return _refused(console, request, f"The login is not valid: {error}.")
    except SessionTooLarge:
        return _refused(console, request, "Your login names more tenants than a session holds.")
    delete_cookie(response, _cookie(console, state), secure=console.configuration.is_secure)
    return response


def _begin(console: ConsoleState, response: Response, claims: dict[str, Any]) -> None:
    """Begin the session. Raises LoginRefused and SessionTooLarge."""
    settings = console.settings
    roles = [role for role in texts_of(claims, settings.console_roles_claim) if role in ROLES]
    tenants = texts_of(claims, settings.console_tenants_claim)
    if not roles:
        raise LoginRefused(
            f"your account has no role here; an administrator gives it one of {', '.join(ROLES)} in the "
            f"claim {settings.console_roles_claim}"
        )
    if not tenants:
        raise LoginRefused(
            f"your account has no tenant; an administrator names it in the claim "
            f"{settings.console_tenants_claim}"
        )
    console.sessions.begin(
        response, subject=subject_of(claims), name=name_of(claims), roles=tuple(roles), tenants=tenants
    )


async def logout(request: Request) -> Response:
    """End the session here. The page afterwards leads to the provider's own logout."""
    console: ConsoleState = request.app.state.console
    session: Session | None = request.state.session
    response = RedirectResponse(own("goodbye"), 303)
    if session is None:
        return response
    form = await form_of(request)
    if not console.sessions.has_token(session, form.get(TOKEN, "")):
        raise problems.problem(403, "This page is of an earlier session. Load it again to log out.", ROOT)
    await console.sessions.end(response, session)
    return response


async def goodbye(request: Request) -> Response:
    """Say that the session has ended."""
    console: ConsoleState = request.app.state.console
    return console.renderer.page(
        "goodbye.html", session=None, provider=await console.provider.logout_url(), login=own("login")
    )


def _serializer(console: ConsoleState) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(console.configuration.key, "login")


def _kept_by(console: ConsoleState, **fields: str) -> str:
    """Return the content of a login's cookie."""
    content = _serializer(console).dumps(fields)
    return content if isinstance(content, str) else content.decode()


def _kept(console: ConsoleState, request: Request, state: str) -> dict[str, str] | None:
    """Return what the login with this state has kept in its cookie."""
    cookie = cookie_of(request.headers, _cookie(console, state)) if state else None
    if not cookie:
        return None
    try:
        kept: dict[str, str] = _serializer(console).loads(cookie, max_age=_LOGIN_SECONDS)
    except BadData:
        return None
    return kept if secrets.compare_digest(kept["state"].encode(), state.encode()) else None


def _prefix(console: ConsoleState) -> str:
    return f"{console.sessions.cookie}-login-"


def _cookie(console: ConsoleState, state: str) -> str:
    return _prefix(console) + "".join(filter(str.isalnum, state))[:12]


def _refused(console: ConsoleState, request: Request, text: str) -> Response:
    return problems.respond(console, request.scope, Shown(403, text, own("login"), "Log in"))


def _provider_away(console: ConsoleState, request: Request) -> Response:
    text = "The login provider does not answer as it should. Try again in a moment."
    return problems.respond(console, request.scope, Shown(503, text, own("login"), "Try again"))

"""The dependency before every route: authentication, rate limit, authorization."""

from fastapi import Request

from pointledger.api.auth import permissions
from pointledger.api.auth.permissions import Principal
from pointledger.api.auth.tokens import Unauthenticated
from pointledger.api.paths import segment_text
from pointledger.api.schemas.envelope import Problem
from pointledger.api.state import ApiState, state_of
from pointledger.domain.values.actor import Actor
from pointledger.messaging.contract import joined


async def guard(request: Request) -> None:
    """Set the request's principal, or raise Problem."""
    method, path = request.method, request.scope["route"].path
    if permissions.TABLE.get((method, path), ...) is permissions.PUBLIC:
        return
    api = state_of(request)
    principal = await _principal(api, request)
    is_trusted = principal.is_service or principal.is_admin
    limits = api.limits.services if is_trusted else api.limits.users
    seconds = await limits.take(joined(principal.tenant_id, principal.subject))
    if seconds is not None:
        raise _too_many(seconds)
    user_id = request.path_params.get("user_id")
    permissions.check(principal, method, path, None if user_id is None else segment_text(user_id))
    if len(names := [name for name, _ in request.query_params.multi_items()]) > len(set(names)):
        raise Problem(400, "query: each parameter must be given once")
    request.state.principal = principal


def principal_of(request: Request) -> Principal:
    """Return the principal that `guard` has set."""
    principal: Principal = request.state.principal
    return principal


def actor_of(request: Request) -> Actor:
    """Return the token's subject as the actor of a change to the program."""
    return Actor(principal_of(request).subject)


async def _principal(api: ApiState, request: Request) -> Principal:
    """Authenticate the request. The rate limit for bad tokens never blocks valid tokens from that address."""
    try:
        return await api.tokens.principal(request.headers.getlist("authorization"))
    except Unauthenticated:
        peer = request.client.host if request.client else "unknown"
        forwarded = request.headers.getlist(api.client_addresses.header)
        seconds = await api.limits.unauthenticated.take(api.client_addresses.client(peer, forwarded))
        if seconds is not None:
            raise _too_many(seconds) from None
        raise


def _too_many(seconds: int) -> Problem:
    return Problem(429, "too many requests", retry_after=seconds)

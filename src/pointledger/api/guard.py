"""The guard before every route: who, how often, may they."""

from fastapi import Request

from pointledger.api.auth import permissions
from pointledger.api.auth.permissions import Principal
from pointledger.api.auth.tokens import Unauthenticated
from pointledger.api.schemas.envelope import Problem
from pointledger.api.state import Gateway, gateway_of
from pointledger.domain.values.actor import By


async def guard(request: Request) -> None:
    """Lets pass, or raises Problem. Afterwards `principal_of` knows who asks."""
    method, path = request.method, request.scope["route"].path
    if permissions.TABLE.get((method, path), ...) is permissions.PUBLIC:
        return
    gateway = gateway_of(request)
    principal = await _principal(gateway, request)
    buckets = gateway.services if principal.is_service or principal.is_admin else gateway.users
    seconds = await buckets.take(f"{principal.tenant_id}:{principal.subject}")
    if seconds is not None:
        raise _too_many(seconds)
    permissions.check(principal, method, path, request.path_params.get("user_id"))
    if len(names := [name for name, _ in request.query_params.multi_items()]) > len(set(names)):
        raise Problem(400, "query: each parameter once")
    request.state.principal = principal


def principal_of(request: Request) -> Principal:
    """Who asks."""
    principal: Principal = request.state.principal
    return principal


def by_of(request: Request) -> By:
    """Who is behind a change of the programme: whoever the token names."""
    return By(principal_of(request).subject)


async def _principal(gateway: Gateway, request: Request) -> Principal:
    """Who gives bad tokens is told so at a bounded rate; good ones from the same address pass."""
    try:
        return await gateway.tokens.principal(request.headers.getlist("authorization"))
    except Unauthenticated:
        peer = request.client.host if request.client else "unknown"
        told = request.headers.getlist(gateway.callers.header)
        seconds = await gateway.strangers.take(gateway.callers.caller(peer, told))
        if seconds is not None:
            raise _too_many(seconds) from None
        raise


def _too_many(seconds: int) -> Problem:
    return Problem(429, "too many requests", retry_after=seconds)

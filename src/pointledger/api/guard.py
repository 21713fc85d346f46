"""The dependency before every route: authentication, authorization, price, body, slot."""

from dataclasses import replace
from functools import partial

from fastapi import Request

from pointledger.api.auth import permissions, prices
from pointledger.api.auth.permissions import Principal
from pointledger.api.auth.tokens import Unauthenticated
from pointledger.api.paths import segment_text
from pointledger.api.schemas.body import receive
from pointledger.api.schemas.envelope import Problem
from pointledger.api.state import ApiState, Turn, state_of
from pointledger.domain.values.actor import Actor
from pointledger.messaging.contract import joined

_WITH_BODY = ("POST", "PUT")


async def guard(request: Request) -> None:
    """Set the request's principal, slot and threads, or raise Problem.

    The slot comes last: a body that arrives slowly must not hold one.
    """
    method, path = request.method, request.scope["route"].path
    if permissions.TABLE.get((method, path), ...) is permissions.PUBLIC:
        return
    api = state_of(request)
    principal = request.state.principal = await _principal(api, request)
    try:
        user_id = request.path_params.get("user_id")
        permissions.check(principal, method, path, None if user_id is None else segment_text(user_id))
    except Problem:
        await charge(request, 1)
        raise
    price = prices.TABLE[method, path]
    await charge(request, price.of(request.query_params))
    if len(names := [name for name, _ in request.query_params.multi_items()]) > len(set(names)):
        raise Problem(400, "query: each parameter must be given once")
    if method in _WITH_BODY:
        await receive(request)
    slot = api.slots.take(principal.tenant_id, principal.subject)
    request.state.release = partial(api.slots.release, slot)
    turn = Turn(principal.tenant_id, principal.subject, slot, price.pool)
    request.state.api = replace(api, turn=turn)


async def charge(request: Request, tokens: int, paid: int = 0) -> None:
    """Take rate tokens from the caller's bucket, without those that the request has paid already.

    A price above what the bucket can hold takes a full bucket. Raises Problem 429.
    """
    api, principal = state_of(request), principal_of(request)
    is_trusted = principal.is_service or principal.is_admin
    limits = api.limits.services if is_trusted else api.limits.users
    price = min(tokens, limits.burst)
    seconds = await limits.take(joined(principal.tenant_id, principal.subject), price - paid)
    if seconds is not None:
        raise Problem(
            429,
            f"this request costs {price} rate tokens; this caller gets {limits.rate} per second and can save "
            f"{limits.burst}; retry in {seconds} s",
            retry_after=seconds,
        )


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
            raise Problem(429, "too many requests without a valid token", retry_after=seconds) from None
        raise

"""Accepts a command, waits for its outcome and builds the response."""

import asyncio
import re
import time

from starlette.requests import Request
from starlette.responses import Response

from pointledger import tracing
from pointledger.api import metrics
from pointledger.api.responses import REPLAYED, accepted_response, outcome_response
from pointledger.api.schemas.envelope import Problem
from pointledger.api.slots import Slot
from pointledger.api.state import state_of
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.records import lane_of
from pointledger.domain.values.extensions import traceparent_of
from pointledger.ids import show_id
from pointledger.storage.queries.outcomes import Result

KEY = "X-Idempotency-Key"
KEY_PARAMETER = {
    "name": KEY,
    "in": "header",
    "required": False,
    "description": "Makes retries safe: a request with the same key gets the first response again. Use a "
    "UUID, for example. At most 255 characters, with or without double quotes.",
    "schema": {
        "type": "string",
        "format": "idempotency-key",
        "pattern": '^([!#-~]([ !#-~]{0,253}[!#-~])?|"[ !#-\\[\\]-~]{1,255}")$',
    },
}
PREFER_PARAMETER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`respond-async`: do not wait for the outcome. `wait=2`: wait at most two seconds. The "
    "server ignores other values (RFC 7240).",
    "schema": {"type": "string", "examples": ["respond-async", "wait=2"]},
}

CREATED = 201
_KEY_CHARACTERS = 255
_TRACESTATE_CHARACTERS = 512  # what the standard asks everyone to pass on; a longer one may be dropped
_QUOTED = re.compile(r'"([^"\\]+)"')  # a string of HTTP structured fields (RFC 8941)
_WAIT = re.compile(r"wait=([0-9]{1,4})")
_UNPROTECTED = {"Warning": f'299 - "no {KEY}: a retry would be applied again"'}


async def accept_and_respond(request: Request, command: AnyCommand, status: int = 200) -> Response:
    """Accept the command, and respond with its outcome, or with 202 if that takes too long.

    A retry with the same key gets the response of the first request, even while that one is in progress.
    """
    api = state_of(request)
    seconds, headers = preferred_wait(request, api.settings.http_wait_seconds)
    if command.key is None:
        headers |= _UNPROTECTED
    lane = lane_of(command.tenant_id, command.user_id, api.settings.lanes)
    command_id = command.id
    future = api.waiting.expect(command_id, lane)
    try:
        began = time.monotonic()
        accepted = await api.group_commit.accept(command)
        metrics.ACCEPT_SECONDS.observe(time.monotonic() - began)
        if not accepted.is_new:
            headers[REPLAYED] = "true"
            api.waiting.forget(command_id, lane, future)
            command_id = accepted.command_id
            future = api.waiting.expect(command_id, lane)
            api.waiting.check(command_id)
        result = await _within(future, seconds, api.slot)
    finally:
        api.waiting.forget(command_id, lane, future)
    await api.take_turn()  # a batch ends many waits at once
    if result is None:
        return accepted_response(show_id(command_id), headers)
    return outcome_response(result, headers, status)


async def _within(future: "asyncio.Future[Result]", seconds: float, slot: Slot) -> Result | None:
    """Return the result, or None after so many seconds, or as soon as another request needs the slot."""
    if not seconds:
        return None
    slot.give_up = lambda: _stop_waiting(future)
    try:
        return await asyncio.wait_for(future, seconds)
    except (TimeoutError, _SlotNeeded):
        return None
    finally:
        slot.give_up = None


class _SlotNeeded(Exception):
    """Another request needs the slot."""


def _stop_waiting(future: "asyncio.Future[Result]") -> None:
    if not future.done():
        future.set_exception(_SlotNeeded())


def preferred_wait(request: Request, most_seconds: float) -> tuple[float, dict[str, str]]:
    """Return the seconds to wait for the outcome, and the response headers that confirm it (RFC 7240)."""
    preferences = [part.strip().lower() for part in request.headers.get("prefer", "").split(",")]
    if "respond-async" in preferences:
        return 0.0, {"Preference-Applied": "respond-async"}
    for part in preferences:
        if found := _WAIT.fullmatch(part):
            return min(float(found[1]), most_seconds), {"Preference-Applied": part}
    return most_seconds, {}


def occurred_at_forbidden() -> Problem:
    """Return the error for a person who sets `occurred_at`, because only a service's clock is trusted."""
    return Problem(403, "occurred_at: only a service may set it")


def trace_of(request: Request) -> dict[str, str]:
    """Return the caller's trace (W3C Trace Context), which is kept with the command, or nothing.

    While tracing is on, the command gets the address of its acceptance instead, in the same trace. A header
    that is malformed is ignored, as the standard asks.
    """
    given = request.headers.get("traceparent")
    if given is None or tracing.is_on() or not traceparent_of(given):
        return {}
    state = request.headers.get("tracestate", "")
    is_kept = 0 < len(state) <= _TRACESTATE_CHARACTERS and state.isprintable()
    return {"traceparent": given, "tracestate": state} if is_kept else {"traceparent": given}


def key_of(request: Request) -> str | None:
    """Return the idempotency key, without its quotes, or None. Raises Problem."""
    given = request.headers.getlist(KEY)
    if not given:
        return None
    if len(given) > 1:
        raise Problem(400, f"{KEY}: must be given once")
    quoted = _QUOTED.fullmatch(given[0])
    key = quoted[1] if quoted else given[0]
    if '"' in key or not 1 <= len(key) <= _KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise Problem(
            400, f"{KEY}: must be 1 to {_KEY_CHARACTERS} printable ASCII characters, with or without quotes"
        )
    return key

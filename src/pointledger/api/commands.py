"""A command's way through the gateway: made from a request, accepted, waited for, answered."""

import asyncio
import re

from starlette.requests import Request
from starlette.responses import Response

from pointledger.api.responses import REPLAYED, answer_of, not_yet
from pointledger.api.schemas.envelope import Problem
from pointledger.api.state import gateway_of
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.records import lane_of
from pointledger.ids import show_id
from pointledger.storage.queries.outcomes import Answered

KEY = "X-Idempotency-Key"
KEY_PARAMETER = {
    "name": KEY,
    "in": "header",
    "required": False,
    "description": "Makes a repetition recognizable: it is answered as the first was. A UUID does well. At "
    "most 255 characters, in double quotes or without.",
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
    "description": "`respond-async`: do not wait for the outcome. `wait=2`: wait so many seconds at most. "
    "Anything else is ignored (RFC 7240).",
    "schema": {"type": "string", "examples": ["respond-async", "wait=2"]},
}

CREATED = 201
_KEY_CHARACTERS = 255
_QUOTED = re.compile(r'"([^"\\]+)"')  # as HTTP's structured fields write a text
_WAIT = re.compile(r"wait=([0-9]{1,4})")
_UNPROTECTED = {"Warning": f'299 - "no {KEY}: sent again, it would be applied again"'}


async def accept_and_answer(request: Request, command: AnyCommand, status: int = 200) -> Response:
    """Accepts the command, which is durable then, and answers with its outcome if it comes in time, else
    with 202. A repetition answers as the first did, also while that is under way."""
    gateway = gateway_of(request)
    seconds, headers = preferred_wait(request, gateway.settings.http_wait_seconds)
    if command.key is None:
        headers |= _UNPROTECTED
    lane = lane_of(command.tenant_id, command.user_id, gateway.settings.lanes)
    command_id = command.id
    future = gateway.waiting.expect(command_id, lane)
    try:
        verdict = await gateway.accepting.accept(command)
        if not verdict.is_new:
            headers[REPLAYED] = "true"
            gateway.waiting.forget(command_id, lane, future)
            command_id = verdict.command_id
            future = gateway.waiting.expect(command_id, lane)
            gateway.waiting.look_at(command_id)
        answered = await _in_time(future, seconds)
    finally:
        gateway.waiting.forget(command_id, lane, future)
    if answered is None:
        return not_yet(show_id(command_id), headers)
    return answer_of(answered, headers, status)


async def _in_time(future: "asyncio.Future[Answered]", seconds: float) -> Answered | None:
    if not seconds:
        return None
    try:
        return await asyncio.wait_for(future, seconds)
    except TimeoutError:
        return None


def preferred_wait(request: Request, most_seconds: float) -> tuple[float, dict[str, str]]:
    """How long the answer waits for its outcome, and the headers that say what was granted (RFC 7240)."""
    asked = [part.strip().lower() for part in request.headers.get("prefer", "").split(",")]
    if "respond-async" in asked:
        return 0.0, {"Preference-Applied": "respond-async"}
    for part in asked:
        if found := _WAIT.fullmatch(part):
            return min(float(found[1]), most_seconds), {"Preference-Applied": part}
    return most_seconds, {}


def not_theirs_to_say() -> Problem:
    """When something happened is for services to say; a person's clock is not believed."""
    return Problem(403, "occurred_at: only a service may say when it happened")


def key_of(request: Request) -> str | None:
    """The idempotency key, if there is one; in quotes or without. Raises Problem."""
    given = request.headers.getlist(KEY)
    if not given:
        return None
    if len(given) > 1:
        raise Problem(400, f"{KEY}: once")
    quoted = _QUOTED.fullmatch(given[0])
    key = quoted[1] if quoted else given[0]
    if '"' in key or not 1 <= len(key) <= _KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise Problem(400, f"{KEY}: 1 to 255 printable ASCII characters, in double quotes or without")
    return key

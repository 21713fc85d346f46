"""Callbacks of a Celery message: what is to be sent when its command's outcome is final. Pure.

`link` and `chain` follow a command that was applied, `link_error` one that was refused or is dead. Each is a
signature as Celery writes it: the name of a task, its arguments, and options such as its queue.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple
from zlib import crc32

CallbackKind = Literal["link", "link_error", "chain", "result"]

MOST_CALLBACKS = 32  # of one message, with those inside of groups and chains
_MOST_DEPTH = 8  # of groups and chains in one another
_SMALLINT = 0x7FFF
CHAIN, GROUP, CHORD = "celery.chain", "celery.group", "celery.chord"
_CHORD_REFUSED = (
    "chord: is not supported, for its parts' results are counted in Celery's backend; send a group, wait for "
    "it (result.get()), and send the last task then"
)


class Unsupported(Exception):
    """What a message asks for besides its command cannot be done; the text says why and what can."""


class Callback(NamedTuple):
    """Something to send. `place`: which of its kind's; `message`: the signature, or for a chain the
    signatures that are left, the next one last."""

    kind: CallbackKind
    place: int
    message: dict[str, Any]

    def destinations(self) -> set[str]:
        """The queues, exchanges and routing keys that it names, in all its parts."""
        if self.kind == "result":
            return set()
        parts = self.message["chain"] if self.kind == "chain" else [self.message]
        return {name for part in parts for name in _destinations(part)}


def result_of(task_id: str) -> Callback:
    """The outcome for Celery's result backend, under the id as its sender has spelt it: each spelling is a
    place of its own."""
    return Callback("result", crc32(task_id.encode()) & _SMALLINT, {"task_id": task_id})


def first_tasks(signature: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks that are sent when it is sent: itself, a chain's first, all of a group."""
    tasks = signature.get("kwargs", {}).get("tasks") or []
    if signature["task"] == CHAIN:
        return first_tasks(tasks[0]) if tasks else []
    if signature["task"] == GROUP:
        return [first for task in tasks for first in first_tasks(task)]
    return [signature]


def callbacks_of(embedded: dict[str, Any]) -> tuple[Callback, ...]:
    """What a message's last part asks for. Raises Unsupported."""
    links = _signatures(embedded.get("callbacks"), "link")
    errors = _signatures(embedded.get("errbacks"), "link_error")
    chain = _signatures(embedded.get("chain"), "chain")
    if sum(map(_count, (*links, *errors, *chain))) > MOST_CALLBACKS:
        raise Unsupported(f"link, link_error and chain: {MOST_CALLBACKS} tasks at most")
    found = [Callback("link", place, signature) for place, signature in enumerate(links)]
    found += [Callback("link_error", place, signature) for place, signature in enumerate(errors)]
    if chain:
        found.append(Callback("chain", 0, {"chain": chain}))
    return tuple(found)


def refuse_chord(embedded: dict[str, Any]) -> None:
    """A part of a chord is no command for that: nobody would count it. Raises Unsupported."""
    if embedded.get("chord"):
        raise Unsupported(_CHORD_REFUSED)


def _signatures(given: Any, what: str) -> list[dict[str, Any]]:
    """One or a list, each looked at in all its parts."""
    listed = given if isinstance(given, list) else [given] if given else []
    for signature in listed:
        _check(signature, what, _MOST_DEPTH)
    return listed


def _check(signature: Any, what: str, depth: int) -> None:
    if not isinstance(signature, dict) or not isinstance(signature.get("task"), str):
        raise Unsupported(f"{what}: a signature names its task")
    args, kwargs = signature.get("args", []), signature.get("kwargs", {})
    options = signature.get("options", {})
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(options, dict)):
        raise Unsupported(f"{what}: a signature's args are a list, its kwargs and options objects")
    if signature["task"] == CHORD or signature.get("subtask_type") == "chord":
        raise Unsupported(_CHORD_REFUSED)
    if not depth:
        raise Unsupported(f"{what}: groups and chains {_MOST_DEPTH} deep at most")
    for inner in _inner(signature):
        _check(inner, what, depth - 1)


def _inner(signature: dict[str, Any]) -> Iterable[Any]:
    """The signatures in a group or chain, and those that follow a task."""
    tasks = signature.get("kwargs", {}).get("tasks") if signature["task"] in (CHAIN, GROUP) else None
    options = signature.get("options", {})
    following = [options.get(name) for name in ("link", "link_error", "chain")]
    if options.get("chord"):
        raise Unsupported(_CHORD_REFUSED)
    for given in (tasks, *following):
        yield from given if isinstance(given, list) else [given] if given else []


def _destinations(signature: dict[str, Any]) -> Iterable[str]:
    options = signature.get("options", {})
    for name in ("queue", "exchange", "routing_key"):
        if options.get(name):
            yield str(options[name])
    for inner in _inner(signature):
        yield from _destinations(inner)


def _count(signature: dict[str, Any]) -> int:
    return 1 + sum(_count(inner) for inner in _inner(signature))

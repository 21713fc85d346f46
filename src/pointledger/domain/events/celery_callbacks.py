"""Reads the callbacks of a Celery message: the tasks to send once its command's outcome is final. Pure.

The worker sends `link` and `chain` after an applied command, and `link_error` after a refused or dead one.
Each is a Celery signature: the name of a task, its arguments, and options such as its queue.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple
from zlib import crc32

CallbackKind = Literal["link", "link_error", "chain", "result"]

MAX_CALLBACKS = 32  # per message, including those inside groups and chains
_MAX_DEPTH = 8  # of nested groups and chains
_SMALLINT = 0x7FFF
CHAIN, GROUP, CHORD = "celery.chain", "celery.group", "celery.chord"
_CHORD_REFUSED = (
    "chord: is not supported, because Celery's backend counts the results of its parts; send a group, wait "
    "for it (result.get()), then send the last task"
)


class Unsupported(Exception):
    """The message requests something unsupported besides its command. The text says what to do instead."""


class Callback(NamedTuple):
    """A message to send.

    `place` numbers the callbacks of one kind. `message` is the signature; for a chain, it holds the remaining
    signatures, the next one last.
    """

    kind: CallbackKind
    place: int
    message: dict[str, Any]

    def destinations(self) -> set[str]:
        """Return the queues, exchanges and routing keys that it names, in all its parts."""
        if self.kind == "result":
            return set()
        parts = self.message["chain"] if self.kind == "chain" else [self.message]
        return {name for part in parts for name in _destinations(part)}


def result_of(task_id: str) -> Callback:
    """Return the callback that stores the outcome in Celery's result backend.

    The backend's key is the task id in the sender's spelling, so each spelling has its own place.
    """
    return Callback("result", crc32(task_id.encode()) & _SMALLINT, {"task_id": task_id})


def first_tasks(signature: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks that start a signature: itself, the first of a chain, all of a group."""
    tasks = signature.get("kwargs", {}).get("tasks") or []
    if signature["task"] == CHAIN:
        return first_tasks(tasks[0]) if tasks else []
    if signature["task"] == GROUP:
        return [first for task in tasks for first in first_tasks(task)]
    return [signature]


def callbacks_of(embedded: dict[str, Any]) -> tuple[Callback, ...]:
    """Read the callbacks from the last part of a message. Raises Unsupported."""
    links = _signatures(embedded.get("callbacks"), "link")
    errors = _signatures(embedded.get("errbacks"), "link_error")
    chain = _signatures(embedded.get("chain"), "chain")
    if sum(map(_count, (*links, *errors, *chain))) > MAX_CALLBACKS:
        raise Unsupported(f"link, link_error and chain: at most {MAX_CALLBACKS} tasks")
    found = [Callback("link", place, signature) for place, signature in enumerate(links)]
    found += [Callback("link_error", place, signature) for place, signature in enumerate(errors)]
    if chain:
        found.append(Callback("chain", 0, {"chain": chain}))
    return tuple(found)


def refuse_chord(embedded: dict[str, Any]) -> None:
    """Reject a part of a chord, because the ledger does not count chord parts. Raises Unsupported."""
    if embedded.get("chord"):
        raise Unsupported(_CHORD_REFUSED)


def _signatures(given: Any, field: str) -> list[dict[str, Any]]:
    """Return one signature or a list as a list, after a check of all parts."""
    listed = given if isinstance(given, list) else [given] if given else []
    for signature in listed:
        _check(signature, field, _MAX_DEPTH)
    return listed


def _check(signature: Any, field: str, depth: int) -> None:
    if not isinstance(signature, dict) or not isinstance(signature.get("task"), str):
        raise Unsupported(f"{field}: a signature names its task")
    args, kwargs = signature.get("args", []), signature.get("kwargs", {})
    options = signature.get("options", {})
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(options, dict)):
        raise Unsupported(f"{field}: a signature's args are a list, its kwargs and options objects")
    if signature["task"] == CHORD or signature.get("subtask_type") == "chord":
        raise Unsupported(_CHORD_REFUSED)
    if not depth:
        raise Unsupported(f"{field}: groups and chains are nested at most {_MAX_DEPTH} deep")
    for inner in _inner(signature):
        _check(inner, field, depth - 1)


def _inner(signature: dict[str, Any]) -> Iterable[Any]:
    """Yield the signatures in a group or chain, and the callbacks of a task."""
    tasks = signature.get("kwargs", {}).get("tasks") if signature["task"] in (CHAIN, GROUP) else None
    options = signature.get("options", {})
    callbacks = [options.get(name) for name in ("link", "link_error", "chain")]
    if options.get("chord"):
        raise Unsupported(_CHORD_REFUSED)
    for given in (tasks, *callbacks):
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

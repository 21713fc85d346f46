"""Injects faults at failpoints: named places before and after each commit, lock, doorbell and publish.

A failpoint that is not armed only tests an empty dictionary. Tests arm failpoints for a process they start:

    POINTLEDGER_FAILPOINTS="after:batch-commit=kill@3 before:publish=sleep:0.5"
    POINTLEDGER_FAILPOINTS_LOG=/a/file    gets a line for each injected fault, before it happens

`@3` injects the fault at the third passage only (default: at the first). The actions:

| action      | effect                                                                       |
| ----------- | ---------------------------------------------------------------------------- |
| `kill`      | sends SIGKILL to this process                                                |
| `stop`      | sends SIGSTOP to this process, which continues on SIGCONT                    |
| `raise`     | raises `InjectedFault`; `raise:40P01` raises the driver's error for SQLSTATE |
| `sleep:0.5` | sleeps for that many seconds                                                 |
"""

import os
import re
import signal
import time
from dataclasses import dataclass

import psycopg

PLACES = (
    # accepting commands
    "accept-commit",
    "mark-rung",
    "publish",
    # a time slice
    "take-lanes",
    "peek",
    "note-busy",
    "acquire-users",
    "notify",
    "release-users",
    "next-lanes",
    "return-lanes",
    "become-idle",
    "become-busy",
    # a batch
    "attempt-commit",
    "lock-lanes",
    "load",
    "decide",
    "batch-commit",
    "failure-commit",
    # periodic jobs
    "open-runs-commit",
    "take-run-commit",
    "put-back-commit",
    "search-commit",
    "day-totals-commit",
    # events out and in
    "events-publish",
    "relay-commit",
    "dead-letters-commit",
    "ack",
    # commands by name, and their callbacks
    "by-name-commit",
    "ack-commands",
    "callbacks-send",
    "callbacks-commit",
)

_WORD = re.compile(r"(before|after):([a-z-]+)=(kill|stop|raise|sleep)(?::([0-9A-Z.]+))?(?:@([1-9][0-9]*))?")


class InjectedFault(Exception):
    """A failpoint raised this on purpose."""


@dataclass(slots=True)
class _Armed:
    """The fault of one place. `left` counts down the passages until it; 0 means that it is spent."""

    word: str
    action: str
    argument: str | None
    left: int


_armed: dict[str, _Armed] = {}
_log: str | None = None


def arm(words: str, log: str | None = None) -> None:
    """Replace the faults of this process. Raise ValueError for a malformed word or an unknown place."""
    global _log  # noqa: PLW0603  (one process, armed once)
    armed = {}
    for word in words.split():
        found = _WORD.fullmatch(word)
        if not found or found[2] not in PLACES:
            raise ValueError(f"no failpoint: {word}")
        when, place, action, argument, at = found.groups()
        armed[f"{when}:{place}"] = _Armed(word, action, argument, int(at or 1))
    _armed.clear()
    _armed.update(armed)
    _log = log


def before(place: str) -> None:
    """Inject the fault that is armed before the named action."""
    if _armed:
        _pass(f"before:{place}")


def after(place: str) -> None:
    """Inject the fault that is armed after the named action, before its result is known."""
    if _armed:
        _pass(f"after:{place}")


def _pass(name: str) -> None:
    assert name.partition(":")[2] in PLACES, name
    armed = _armed.get(name)
    if armed is None or not armed.left:
        return
    armed.left -= 1
    if not armed.left:
        _write_log(armed.word)
        _inject(armed)


def _write_log(word: str) -> None:
    """Append a line in one write, which is atomic among processes and survives a following SIGKILL."""
    if _log is None:
        return
    file = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{os.getpid()} {word}\n".encode())
    finally:
        os.close(file)


def _inject(armed: _Armed) -> None:
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif armed.action == "sleep":
        time.sleep(float(armed.argument or 1))
    elif armed.argument:
        raise psycopg.errors.lookup(armed.argument)(armed.word)
    else:
        raise InjectedFault(armed.word)


arm(os.environ.get("POINTLEDGER_FAILPOINTS", ""), os.environ.get("POINTLEDGER_FAILPOINTS_LOG"))

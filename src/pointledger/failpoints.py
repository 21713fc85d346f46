"""Failpoints: named places at which a test build lets something go wrong, exactly there.

They stand before and after each commit, lock, doorbell and publish. As long as nobody has armed them, passing
one is a look at an empty dictionary. Tests arm them for a process that they start:

    POINTLEDGER_FAILPOINTS="after:batch-commit=kill@3 before:publish=sleep:0.5"
    POINTLEDGER_FAILPOINTS_LOG=/a/file    takes a line for each that has struck, written before it strikes

`@3`: at the third passage, and only then; the first, if not given. The actions:

| action         | does                                                                             |
| -------------- | -------------------------------------------------------------------------------- |
| `kill`         | SIGKILL to this process                                                          |
| `stop`         | SIGSTOP to this process, until somebody sends SIGCONT                            |
| `raise`        | raises `Struck`; `raise:40P01`: the driver's error for that state                |
| `sleep:0.5`    | sleeps for so many seconds                                                       |
"""

import os
import re
import signal
import time
from dataclasses import dataclass

import psycopg

PLACES = (
    # acceptance
    "accept-commit",
    "door",
    "publish",
    # a turn
    "enter",
    "peek",
    "take-users",
    "release-users",
    "leave",
    "abandon",
    "tell",
    # a batch
    "try-commit",
    "fence",
    "load",
    "decide",
    "batch-commit",
    "charge-commit",
    # sweeps
    "open-runs-commit",
    "take-run-commit",
    "put-back-commit",
    "search-commit",
    # events out and in
    "events-publish",
    "relay-commit",
    "letters-commit",
    "forget",
    # commands by name, and what follows them
    "by-name-commit",
    "forget-commands",
    "callbacks-send",
    "callbacks-commit",
)

_WORD = re.compile(r"(before|after):([a-z-]+)=(kill|stop|raise|sleep)(?::([0-9A-Z.]+))?(?:@([1-9][0-9]*))?")


class Struck(Exception):
    """A failpoint has raised."""


@dataclass(slots=True)
class _Armed:
    """What one place is armed with. `left`: passages until it strikes; spent when it is 0."""

    word: str
    action: str
    argument: str | None
    left: int


_armed: dict[str, _Armed] = {}
_log: str | None = None


def arm(words: str, log: str | None = None) -> None:
    """Arms this process, instead of what it was armed with before. Raises ValueError for what is no such word
    or no such place."""
    global _log  # noqa: PLW0603  there is one process, and it is armed once
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
    """What is named has not been done yet."""
    if _armed:
        _pass(f"before:{place}")


def after(place: str) -> None:
    """What is named has been done, and nobody has been told."""
    if _armed:
        _pass(f"after:{place}")


def _pass(name: str) -> None:
    assert name.partition(":")[2] in PLACES, name
    armed = _armed.get(name)
    if armed is None or not armed.left:
        return
    armed.left -= 1
    if not armed.left:
        _note(armed.word)
        _strike(armed)


def _note(word: str) -> None:
    """One write to the end of the file: whole even when others write to it, and when we are killed next."""
    if _log is None:
        return
    file = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{os.getpid()} {word}\n".encode())
    finally:
        os.close(file)


def _strike(armed: _Armed) -> None:
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif armed.action == "sleep":
        time.sleep(float(armed.argument or 1))
    elif armed.argument:
        raise psycopg.errors.lookup(armed.argument)(armed.word)
    else:
        raise Struck(armed.word)


arm(os.environ.get("POINTLEDGER_FAILPOINTS", ""), os.environ.get("POINTLEDGER_FAILPOINTS_LOG"))

"""What attempts to accept commands have in common: repeating them is safe, because a command keeps its id."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.util import await_only as wait_for

from pointledger.ids import show_id
from pointledger.storage.errors import DATABASE_ERRORS, Attempt, has_waited, is_transient

NOTHING = "nothing was accepted"

_MOST_ON_LOOP = 100  # commands to encode: two milliseconds
_ATTEMPTS = 3  # each may meet a connection of the pool that is broken as well

Written = TypeVar("Written")


def retried(transact: Callable[[], Written], attempt: Attempt) -> Written:
    """Run `transact`, and run it again if the connection is lost."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            with attempt.transacting():
                return transact()
        except DATABASE_ERRORS as error:
            if not attempts_left or not is_transient(error) or has_waited(error):
                raise
    raise AssertionError("the last attempt returns or raises")


def pause(engine: sa.Engine) -> None:
    """Wait some milliseconds before another attempt, and let other tasks go on if the engine is theirs."""
    seconds = random.uniform(0.005, 0.02)  # noqa: S311  (jitter)
    if engine.dialect.is_async:
        wait_for(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


def computed(engine: sa.Engine, compute: Callable[[], Written], items: int) -> Written:
    """Return what `compute` returns, for so many items: in a thread if they would hold up the event loop."""
    if engine.dialect.is_async and items > _MOST_ON_LOOP:
        return wait_for(asyncio.to_thread(compute))
    return compute()


def maybe_accepted(ids: Sequence[UUID]) -> str:
    """Say for an error's message that these commands may be accepted."""
    if len(ids) == 1:
        return f"command {show_id(ids[0])} may be accepted; sending the same object again is safe"
    return f"some or all of {len(ids)} commands may be accepted; sending the same objects again is safe"

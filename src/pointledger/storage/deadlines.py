"""Bounds how long a client waits for an answer of Postgres.

Postgres itself ends a statement at its time limit, also one that waits for a table's lock. But a server that
hangs, or is stopped, ends nothing. So the client's side has a limit too, a little later: it closes the
connection, and a statement without an answer may have taken effect.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, TypeVar

import psycopg

_GRACE_SECONDS = 3.0  # for the answer of a server that ended the statement in time
_POLL_SECONDS = 0.1  # psycopg's own interval

Answer = TypeVar("Answer")


class NoAnswer(psycopg.OperationalError):
    """Postgres has not answered in time, so the connection is closed."""

    def __init__(self) -> None:
        super().__init__("Postgres has not answered in time")


# The limits of the current block of this thread, or of this task. A statement with 0 has no limit.
_statement_ms: ContextVar[float | None] = ContextVar("pointledger_statement_ms", default=None)
_deadline: ContextVar[float] = ContextVar("pointledger_deadline", default=math.inf)


@contextmanager
def statements_within(milliseconds: float) -> Iterator[None]:
    """Let each statement of the block have so many milliseconds, the limit that Postgres has; 0 is none."""
    before = _statement_ms.get()
    _statement_ms.set(milliseconds)
    try:
        yield
    finally:
        _statement_ms.set(before)


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Let all statements of the block together have so many seconds. A new connection takes two at least."""
    before = _deadline.get()
    _deadline.set(min(before, time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.set(before)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that raises NoAnswer, and is closed, when it has waited too long."""

    dialect: ClassVar[str] = "psycopg"  # SQLAlchemy's name of it
    statement_ms: float = 0  # of a statement that has no other limit
    _has_given_up = False

    @classmethod
    def within(cls, statement_ms: float, parameters: dict[str, Any]) -> "BoundedConnection":
        """Connect in time, and let each statement have so many milliseconds."""
        if (deadline := _deadline.get()) < math.inf:
            seconds_left = max(math.ceil(deadline - time.monotonic()), 1)
            parameters["connect_timeout"] = min(int(parameters["connect_timeout"]), seconds_left)
        connection = cls.connect(**parameters)
        connection.statement_ms = statement_ms
        return connection

    def wait(  # type: ignore[override]  # releases of psycopg differ in what else they pass
        self, gen: Generator[Any, Any, Answer], interval: float = _POLL_SECONDS, **more: Any
    ) -> Answer:
        """Run psycopg's steps of a statement until its answer is there."""
        if self._has_given_up:
            raise NoAnswer  # also from the rollback that follows, so that its error hides no cause
        try:
            wanted = next(gen)
        except StopIteration as end:  # most steps need no answer, like a rollback outside a transaction
            answer: Answer = end.value
            return answer
        own_ms = _statement_ms.get()
        milliseconds = self.statement_ms if own_ms is None else own_ms
        limit = milliseconds / 1000 + _GRACE_SECONDS if milliseconds else math.inf
        give_up_at = min(time.monotonic() + limit, _deadline.get())
        try:
            return self._answer(_until(give_up_at, wanted, gen), interval, **more)
        except NoAnswer:
            self._has_given_up = True
            self.pgconn.finish()
            raise

    def _answer(self, steps: Generator[Any, Any, Answer], interval: float, **more: Any) -> Answer:
        """Go through psycopg's steps as they become possible."""
        return super().wait(steps, interval, **more)


def _until(give_up_at: float, wanted: Any, steps: Generator[Any, Any, Answer]) -> Generator[Any, Any, Answer]:
    """Go through psycopg's steps. It asks for the next one when data arrive, and at each interval."""
    try:
        while True:
            ready = yield wanted
            if not ready and time.monotonic() >= give_up_at:
                raise NoAnswer
            wanted = steps.send(ready)
    except StopIteration as end:
        answer: Answer = end.value
        return answer

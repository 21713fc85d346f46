"""Classifies database errors and translates them into the library's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from pointledger.errors import DatabaseAway, DatabaseFailed, InvalidCommand, LedgerError
from pointledger.storage.deadlines import NoAnswer

DATABASE_ERRORS = (sa.exc.SQLAlchemyError, psycopg.Error)  # the pool raises the one, statements the other
RAW_ERRORS = (*DATABASE_ERRORS, UnicodeEncodeError)  # callers of the library never see these
TIMED_OUT = "57014"  # the statement exceeded its timeout
IDLE_TIMED_OUT = "25P03"  # the transaction stood still for too long
LOCK_TIMED_OUT = "55P03"  # another open transaction holds a row or a key

# No command causes these errors, so the worker retries the transaction and records no failure.
# Class 08: connection; 40: serialization, deadlock; 53: disk, memory, connections; 57P: shutdowns; 58: the
# server's disk. 25006: read-only, a standby or by configuration; 25P03, 25P04: time-outs of the transaction;
# 55P03: lock timeout. The statement timeout (57014) is missing because the same statement would exceed it
# again.
_TRANSIENT_CLASSES = ("08", "40", "53", "57P", "58")
_TRANSIENT_STATES = (LOCK_TIMED_OUT, "25006", IDLE_TIMED_OUT, "25P04")
_LOST_CLASSES = ("08", "40003", "57P")  # the connection ends, and the result of its last statement is unknown


def sqlstate(error: BaseException) -> str:
    """Return the error's SQLSTATE, or an empty string if it has none, as when the connection is lost."""
    return getattr(_cause(error), "sqlstate", None) or ""


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed on a retry."""
    if isinstance(error, sa.exc.TimeoutError | DatabaseAway):
        return True
    cause = _cause(error)
    if not isinstance(cause, psycopg.Error):
        return False
    if state := sqlstate(cause):
        return state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES
    return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)


def has_waited(error: BaseException) -> bool:
    """Whether the error took its time: a lock, a connection or an answer was not there in time."""
    took_time = sa.exc.TimeoutError | NoAnswer | psycopg.errors.ConnectionTimeout
    return sqlstate(error) in (LOCK_TIMED_OUT, TIMED_OUT) or isinstance(_cause(error), took_time)


def is_timeout(error: BaseException) -> bool:
    """Whether the transaction took too long, so that a smaller one may succeed."""
    return sqlstate(error) in (TIMED_OUT, IDLE_TIMED_OUT)


def may_pass(error: BaseException) -> bool:
    """Whether a process that repeats its work can wait until the error passes.

    That is so for transient errors, and for a statement that was canceled: later the tables have statistics,
    the disk is faster, or the person who canceled it has gone.
    """
    return is_transient(error) or sqlstate(error) == TIMED_OUT


class Attempt:
    """Tracks whether a call may have taken effect, at least in part."""

    maybe_done = False
    _is_committing = False

    @contextmanager
    def transacting(self) -> Iterator[None]:
        """Enclose one transaction, including its connection and its commit."""
        self._is_committing = False
        try:
            yield
        except DATABASE_ERRORS as error:
            # The response to a commit can be lost, or report that the server is shutting down.
            has_no_answer = not sqlstate(error) or sqlstate(error).startswith(_LOST_CLASSES)
            self.maybe_done |= self._is_committing and has_no_answer
            raise
        self.maybe_done = True

    def committing(self) -> None:
        """Note that the commit comes next. Also call it before a statement in autocommit mode."""
        self._is_committing = True


@contextmanager
def translate_errors(nothing: str = "", maybe: Callable[[], str] = str) -> Iterator[Attempt]:
    """Raise DatabaseAway or DatabaseFailed in place of the errors of SQLAlchemy and the driver.

    The message starts with `nothing`, or with `maybe()` if the attempt may have taken effect.
    """
    attempt = Attempt()
    try:
        yield attempt
    except RAW_ERRORS as error:
        effect = maybe() if attempt.maybe_done else nothing
        raise failure_of(error, effect, maybe_done=attempt.maybe_done) from error


def failure_of(error: BaseException, effect: str = "", *, maybe_done: bool = False) -> LedgerError:
    """Return the library's exception for an error of SQLAlchemy or the driver."""
    cause = _cause(error)
    is_from_driver = isinstance(cause, psycopg.DataError) and not sqlstate(cause)  # Postgres did not see it
    if is_from_driver or isinstance(cause, UnicodeEncodeError):
        return InvalidCommand("a text has characters that Postgres cannot hold")
    kind = DatabaseAway if may_pass(error) else DatabaseFailed
    return kind("; ".join(filter(None, (effect, _summary(error)))), maybe_done=maybe_done)


def _summary(error: BaseException) -> str:
    """Return the driver's message on one line, without the server's details, which may show rows."""
    if isinstance(error, sa.exc.TimeoutError):
        return "all connections of this process are in use"
    cause = _cause(error)
    primary = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return primary or " ".join(str(cause).split())


def _cause(error: BaseException) -> BaseException:
    """Return the driver's error if SQLAlchemy or the library wrapped one."""
    if isinstance(error, DatabaseAway | DatabaseFailed) and error.__cause__:
        error = error.__cause__
    if isinstance(error, sa.exc.DBAPIError) and error.orig:
        return error.orig
    return error

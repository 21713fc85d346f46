"""Errors of the database: which of them pass by themselves, and what the library raises for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from pointledger.errors import DatabaseAway, DatabaseFailed, InvalidCommand, LedgerError

DATABASE_ERRORS = (sa.exc.SQLAlchemyError, psycopg.Error)  # of connections and their pool; of statements
UNTOLD = (*DATABASE_ERRORS, UnicodeEncodeError)  # what a caller of the library never sees
TIMED_OUT = "57014"  # a statement that took longer than it may
LOCK_TIMED_OUT = "55P03"  # somebody's open transaction holds a row or a key

# What befalls a transaction without anybody's fault: it is tried again, and no command is charged.
# Class 08: connection; 53: disk, memory, connections; 57P: shutdowns. 40001, 40P01: serialization,
# deadlock; 55P03: lock time-out; 25P03: idle time-out. Not 57014, the statement time-out: the same
# statement would run into it again.
_TRANSIENT_CLASSES = ("08", "53", "57P")
_TRANSIENT_STATES = ("40001", "40P01", LOCK_TIMED_OUT, "25P03")
_LOST_CLASSES = ("08", "57P")  # the connection ends, whatever has become of its last statement


def sqlstate(error: BaseException) -> str:
    """Postgres's five letters for an error; empty where it gave none, as when a connection is lost."""
    return getattr(_cause(error), "sqlstate", None) or ""


def is_transient(error: BaseException) -> bool:
    """True where the same transaction may well succeed when it is tried again."""
    if isinstance(error, sa.exc.TimeoutError | DatabaseAway):
        return True
    cause = _cause(error)
    if not isinstance(cause, psycopg.Error):
        return False
    if state := sqlstate(cause):
        return state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES
    return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)


class Attempt:
    """Whether a call may have taken effect so far, wholly or in part."""

    maybe_done = False
    _is_committing = False

    @contextmanager
    def transacting(self) -> Iterator[None]:
        """For the block of one transaction, connection and commit included."""
        self._is_committing = False
        try:
            yield
        except DATABASE_ERRORS as error:
            # The answer to a commit can be lost, or be that the server is going down.
            has_no_answer = not sqlstate(error) or sqlstate(error).startswith(_LOST_CLASSES)
            self.maybe_done |= self._is_committing and has_no_answer
            raise
        self.maybe_done = True

    def committing(self) -> None:
        """To be called when all but the commit is done, or before a statement that is a whole transaction."""
        self._is_committing = True


@contextmanager
def telling(nothing: str = "", maybe: Callable[[], str] = str) -> Iterator[Attempt]:
    """Raises DatabaseAway or DatabaseFailed in place of what SQLAlchemy and the driver raise. They say
    `nothing`, or `maybe` if the attempt may have taken effect."""
    attempt = Attempt()
    try:
        yield attempt
    except UNTOLD as error:
        told = maybe() if attempt.maybe_done else nothing
        raise failure_of(error, told, maybe_done=attempt.maybe_done) from error


def failure_of(error: BaseException, told: str = "", *, maybe_done: bool = False) -> LedgerError:
    """What the library raises for an error of SQLAlchemy's or the driver's."""
    cause = _cause(error)
    is_drivers = isinstance(cause, psycopg.DataError) and not sqlstate(cause)  # Postgres was not asked
    if is_drivers or isinstance(cause, UnicodeEncodeError):
        return InvalidCommand("a text has characters that Postgres cannot hold")
    is_passing = is_transient(error) or sqlstate(error) == TIMED_OUT
    kind = DatabaseAway if is_passing else DatabaseFailed
    return kind("; ".join(filter(None, (told, _gist(error)))), maybe_done=maybe_done)


def _gist(error: BaseException) -> str:
    """The driver's message on one line. Of what the server says only its first sentence: the others may show
    rows."""
    if isinstance(error, sa.exc.TimeoutError):
        return "all connections of this process are in use"
    cause = _cause(error)
    said = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return said or " ".join(str(cause).split())


def _cause(error: BaseException) -> BaseException:
    """The driver's error where there is one: it may be wrapped by SQLAlchemy, or by the library."""
    if isinstance(error, DatabaseAway | DatabaseFailed) and error.__cause__:
        error = error.__cause__
    if isinstance(error, sa.exc.DBAPIError) and error.orig:
        return error.orig
    return error

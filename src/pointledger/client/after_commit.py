"""Rings doorbells after the commit of a caller's ORM session."""

import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import orm
    from typing_extensions import TypeIs

Ring = Callable[[Collection[int]], None]

_LANES, _LISTENS = "pointledger_lanes", "pointledger_listens"  # in a session's info


def is_session(connection: object) -> "TypeIs[orm.Session]":
    """Return whether this is an ORM session. It can be one only if its program has imported the ORM.

    Importing the ORM here would cost each service six megabytes, also those that do not use it.
    """
    loaded = sys.modules.get("sqlalchemy.orm")
    return loaded is not None and isinstance(connection, loaded.Session)


def unscoped(connection: Any) -> Any:
    """Return the current session of a `scoped_session`, and anything else as it is."""
    loaded = sys.modules.get("sqlalchemy.orm")
    is_scoped = loaded is not None and isinstance(connection, loaded.scoped_session)
    return connection() if is_scoped else connection


def ring_after_commit(session: "orm.Session", lanes: Collection[int], ring: Ring) -> None:
    """Ring the lanes after the session's commit, once for all commands accepted in its transaction."""
    pending: set[int] = session.info.setdefault(_LANES, set())
    pending |= set(lanes)
    if session.info.setdefault(_LISTENS, False):
        return
    session.info[_LISTENS] = True

    def committed(_: "orm.Session") -> None:
        if not session.in_nested_transaction():  # the end of a savepoint is not a commit
            ring(pending)

    def ended(_: "orm.Session", transaction: "orm.SessionTransaction") -> None:
        if transaction.parent is None:
            pending.clear()

    sa.event.listen(session, "after_commit", committed)
    sa.event.listen(session, "after_transaction_end", ended)

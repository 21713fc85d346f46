"""Rings doorbells after the commit of a caller's ORM session."""

from collections.abc import Callable, Collection

import sqlalchemy as sa
from sqlalchemy import orm

Ring = Callable[[Collection[int]], None]

_LANES, _LISTENS = "pointledger_lanes", "pointledger_listens"  # in a session's info


def ring_after_commit(session: orm.Session, lanes: Collection[int], ring: Ring) -> None:
    """Ring the lanes after the session's commit, once for all commands accepted in its transaction."""
    pending: set[int] = session.info.setdefault(_LANES, set())
    pending |= set(lanes)
    if session.info.setdefault(_LISTENS, False):
        return
    session.info[_LISTENS] = True

    def committed(_: orm.Session) -> None:
        if not session.in_nested_transaction():  # the end of a savepoint is not a commit
            ring(pending)

    def ended(_: orm.Session, transaction: orm.SessionTransaction) -> None:
        if transaction.parent is None:
            pending.clear()

    sa.event.listen(session, "after_commit", committed)
    sa.event.listen(session, "after_transaction_end", ended)

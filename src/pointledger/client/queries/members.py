"""Queries about members: finding them, and what moved in a period."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pointledger.client.queries.base import Queries
from pointledger.client.queries.results import iso
from pointledger.domain.values.fields import MAX_ID
from pointledger.errors import InvalidCommand
from pointledger.storage.database import read_only
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts, current, members, pages
from pointledger.storage.queries.members import Figures, Movement

PAGE = 20
MOST_MEMBERS = 200  # of a page
MOST_ENTRIES = 1000  # of a page of a statement


@dataclass(frozen=True, slots=True)
class Statement:
    """What a member had, what moved, and what was left, as recorded in a period."""

    user_id: str
    """The member."""
    since: str
    """The start of the period, in ISO 8601."""
    until: str
    """Its end, exclusive."""
    opening: Figures
    """The figures before the period."""
    movements: tuple[Movement, ...]
    """What moved, by kind of entry. Opening and movements add up to the closing."""
    closing: Figures
    """The figures at the end of the period."""
    entries: tuple[dict[str, Any], ...]
    """A page of the period's entries, the newest first, in the API's fields."""
    next_before: int | None
    """What to give as `before` for the next page. None at the end."""


class MemberQueries(Queries):
    """Queries about members in one database."""

    def find_members(
        self, tenant_id: str, prefix: str, *, after: str = "", limit: int = PAGE
    ) -> list[dict[str, Any]]:
        """Read a page of the accounts whose user id begins with `prefix`, in the order of their ids, in the
        API's fields. `after`: the last user id of the page before. Raises TenantMissing, and InvalidCommand
        for a prefix that no user id can have."""
        if len(prefix) > MAX_ID or "\x00" in prefix + after:
            raise InvalidCommand(f"prefix: a user id has at most {MAX_ID} characters, and none is NUL")
        with read_only(self._database) as connection:
            tenant = program.tenant(connection, tenant_id)
            most = max(1, min(limit, MOST_MEMBERS))
            return current.accounts_with_prefix(connection, tenant, prefix, after, most)

    def statement(
        self,
        tenant_id: str,
        user_id: str,
        since: datetime,
        until: datetime,
        *,
        before: int | None = None,
        limit: int = MOST_ENTRIES,
    ) -> Statement:
        """Read what was recorded from `since` until before `until`: opening, movements and closing in all,
        and a page of entries with a `seq` below `before`. Raises TenantMissing, AccountMissing, and
        InvalidCommand for a period that ends before it begins."""
        with read_only(self._database) as connection:
            opening, closing = _figures(connection, tenant_id, user_id, since, until)
            moved = members.movements(connection, tenant_id, user_id, opening.seq, closing.seq)
            below = closing.seq + 1 if before is None else min(before, closing.seq + 1)
            most = max(0, min(limit, MOST_ENTRIES, below - opening.seq - 1))
            found = accounts.entries(connection, tenant_id, user_id, below, limit=most) if most else []
        is_last = not found or found[-1]["seq"] <= opening.seq + 1
        next_before = None if is_last else found[-1]["seq"]
        period = iso(since), iso(until)
        return Statement(user_id, *period, opening, tuple(moved), closing, tuple(found), next_before)

    def statement_size(self, tenant_id: str, user_id: str, since: datetime, until: datetime) -> int:
        """Return the number of entries that were recorded in the period. Raises as `statement` does."""
        with read_only(self._database) as connection:
            opening, closing = _figures(connection, tenant_id, user_id, since, until)
        return closing.seq - opening.seq

    def statement_entries(
        self, tenant_id: str, user_id: str, since: datetime, until: datetime, *, most: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the period's entries, the oldest first, in the API's fields. It reads page after page, which
        entries that come meanwhile do not change. Raises as `statement` does, and InvalidCommand if the
        period has more than `most`, before it yields any."""
        with read_only(self._database) as connection:
            opening, closing = _figures(connection, tenant_id, user_id, since, until)
        if closing.seq - opening.seq > most:
            many = f"the period has {closing.seq - opening.seq:,} entries, and at most {most:,} are read"
            raise InvalidCommand(f"until: {many}. Choose fewer days.")
        return self._entries(tenant_id, user_id, opening.seq, closing.seq)

    def _entries(self, tenant_id: str, user_id: str, after: int, last: int) -> Iterator[dict[str, Any]]:
        for reached in range(after, last, MOST_ENTRIES):
            top = min(reached + MOST_ENTRIES, last)
            with read_only(self._database) as connection:
                page = accounts.entries(connection, tenant_id, user_id, top + 1, limit=top - reached)
            yield from reversed(page)


def _figures(
    connection: sa.Connection, tenant_id: str, user_id: str, since: datetime, until: datetime
) -> tuple[Figures, Figures]:
    """Return the figures at both ends of a period. Raises TenantMissing, AccountMissing, InvalidCommand."""
    if until <= since:
        raise InvalidCommand("until: must be after since")
    program.tenant(connection, tenant_id)
    pages.version_of(connection, tenant_id, user_id)  # raises AccountMissing
    opening, closing = (
        members.figures_before(connection, tenant_id, user_id, moment) for moment in (since, until)
    )
    return opening, closing

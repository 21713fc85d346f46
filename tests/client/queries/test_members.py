"""Finding members, and statements of a period."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from pointledger import Adjust, Earn, Freeze, Spend
from pointledger.client.queries import members
from pointledger.client.queries.console import ConsoleQueries
from pointledger.errors import AccountMissing, InvalidCommand, TenantMissing
from pointledger.storage.queries.members import Figures
from tests.client.queries.conftest import clock
from tests.ledger import Ledger

DAY = timedelta(days=1)
ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


def found(console: ConsoleQueries, prefix: str, **page: Any) -> list[str]:
    return [account["user_id"] for account in console.find_members("shop", prefix, **page)]


def test_members_are_found_by_the_beginning_of_their_id(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.tenant("cafe")
    users = ["an", "ann", "anna", "anné", "anz", "an\U0010fffe", "ao", "Anna", "b%"]
    ledger.apply(*(Earn(tenant_id="shop", user_id=user, amount=5) for user in users))
    ledger.apply(Earn(tenant_id="cafe", user_id="annika", amount=5))
    assert found(console, "ann") == ["ann", "anna", "anné"]
    assert found(console, "an") == ["an", "ann", "anna", "anné", "anz", "an\U0010fffe"]
    assert found(console, "ann", limit=2) == ["ann", "anna"]
    assert found(console, "ann", after="anna") == ["anné"]
    assert found(console, "b%") == ["b%"]
    assert found(console, "c") == []
    assert len(found(console, "")) == len(users)


@pytest.mark.parametrize("prefix", ["a" * 256, "a\x00"])
def test_a_prefix_that_no_id_can_have_is_refused(console: ConsoleQueries, prefix: str) -> None:
    with pytest.raises(InvalidCommand, match="prefix: a user id has at most 255 characters, and none is NUL"):
        console.find_members("shop", prefix)


def test_a_statement_adds_up(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.apply(Earn(**ANNA, amount=100), Freeze(**ANNA, amount=30))
    since = clock(ledger)
    ledger.apply(
        Spend(**ANNA, amount=7), Spend(**ANNA, amount=8),
        Adjust(**ANNA, amount=-2, reason="a mistake"), Adjust(**ANNA, amount=3, reason="a gift"),
    )  # fmt: skip
    until = clock(ledger)
    ledger.apply(Earn(**ANNA, amount=1000))

    found = console.statement("shop", "anna", since, until)

    assert found.opening == Figures(2, 70, 30, 0, 0)
    assert found.closing == Figures(6, 56, 30, 0, 0)
    assert [(m.type, m.is_taken, m.entries, m.points, m.available) for m in found.movements] == [
        ("adjust", False, 1, 3, 3),
        ("adjust", True, 1, 2, -2),
        ("spend", True, 2, 15, -15),
    ]
    assert found.opening.available + sum(m.available for m in found.movements) == found.closing.available
    assert ([entry["seq"] for entry in found.entries], found.next_before) == ([6, 5, 4, 3], None)


def test_the_entries_of_a_statement_come_in_pages(ledger: Ledger, console: ConsoleQueries) -> None:
    since = clock(ledger)
    ledger.apply(*(Earn(**ANNA, amount=1) for _ in range(5)))
    until, pages, before = clock(ledger), [], None
    for _ in range(3):
        page = console.statement("shop", "anna", since, until, before=before, limit=2)
        pages.append([entry["seq"] for entry in page.entries])
        before = page.next_before
    assert (pages, before) == ([[5, 4], [3, 2], [1]], None)


def test_a_period_without_entries_has_an_empty_statement(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.apply(Earn(**ANNA, amount=5))
    before = console.statement("shop", "anna", clock(ledger) - 2 * DAY, clock(ledger) - DAY)
    after = console.statement("shop", "anna", clock(ledger) + DAY, clock(ledger) + 2 * DAY)
    assert (before.opening, before.closing, before.movements, before.entries) == (
        Figures(),
        Figures(),
        (),
        (),
    )
    assert (after.opening, after.closing, after.entries) == (Figures(1, 5, 0, 0, 0),) * 2 + ((),)


def test_each_moment_has_the_figures_after_the_last_entry_before_it(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    ledger.apply(*(Earn(**ANNA, amount=1) for _ in range(4)))
    moments = [clock(ledger)]
    for _ in range(4):
        ledger.apply(Earn(**ANNA, amount=1), Spend(**ANNA, amount=1), Earn(**ANNA, amount=2))
        moments.append(clock(ledger))
    found = [
        (statement.opening.seq, statement.closing.seq, statement.closing.available)
        for statement in (console.statement("shop", "anna", *pair) for pair in pairwise(moments))
    ]
    assert found == [(4, 7, 6), (7, 10, 8), (10, 13, 10), (13, 16, 12)]
    first: datetime = ledger.rows("SELECT created_at FROM entries WHERE seq = 1")[0][0]
    assert console.statement("shop", "anna", first - DAY, first).closing == Figures(), "the end is exclusive"


def test_the_entries_of_a_statement_come_from_the_oldest_up_to_a_bound(
    ledger: Ledger, console: ConsoleQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.apply(Earn(**ANNA, amount=1))
    since = clock(ledger)
    ledger.apply(*(Earn(**ANNA, amount=1) for _ in range(5)))
    until = clock(ledger)
    ledger.apply(Earn(**ANNA, amount=1))
    monkeypatch.setattr(members, "MOST_ENTRIES", 2)
    entries = console.statement_entries("shop", "anna", since, until, most=5)
    assert [entry["seq"] for entry in entries] == [2, 3, 4, 5, 6]
    with pytest.raises(InvalidCommand, match="until: the period has 5 entries, and at most 4 are read"):
        console.statement_entries("shop", "anna", since, until, most=4)


def test_wrong_questions_are_refused(ledger: Ledger, console: ConsoleQueries) -> None:
    now = clock(ledger)
    ledger.apply(Earn(**ANNA, amount=5))
    with pytest.raises(InvalidCommand, match="until: must be after since"):
        console.statement("shop", "anna", now, now)
    with pytest.raises(AccountMissing):
        console.statement("shop", "nobody", now, now + timedelta(days=1))
    with pytest.raises(TenantMissing):
        console.find_members("nowhere", "anna")
    with pytest.raises(TenantMissing):
        console.statement("nowhere", "anna", now, now + timedelta(days=1))

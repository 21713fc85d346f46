"""Verification finds every corruption, and raises no false alarm."""

from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import orjson
import pytest

from pointledger import ApplyRule, Earn, Expire, Spend, Transfer
from pointledger.observability import verify as verifying
from pointledger.observability.verify import INVARIANTS, VerifyReport, verify
from pointledger.storage.invariants.tables import APPEND_ONLY
from pointledger.storage.migrations import versions
from tests.ledger import Ledger
from tests.observability.verify.background import applying
from tests.observability.verify.corruption import Corruption, corrupt
from tests.observability.verify.corruptions_beside_points import BESIDE_POINTS
from tests.observability.verify.corruptions_of_points import OF_POINTS
from tests.observability.verify.lot_history import LONG_AGO


def found_by(report: VerifyReport) -> dict[str, int]:
    """Return the number of violating rows of each violated invariant."""
    return {f.invariant.id: f.violations for f in report.findings if f.violations}


def test_an_empty_ledger_adds_up(ledger: Ledger) -> None:
    report = verify(ledger.database)
    assert (report.violations, report.accounts, report.entries) == (0, 0, 0)


def test_a_full_history_adds_up(eventful: Ledger) -> None:
    states = {row[0] for row in eventful.rows("SELECT state FROM outcomes")}
    kinds = {row[0] for row in eventful.rows("SELECT kind FROM journal JOIN outcomes USING (id)")}
    assert (states, len(kinds)) == ({"applied", "refused"}, 23)
    assert all(eventful.counts("aliases", "pending", "failures", "usage"))

    report = verify(eventful.database)

    assert found_by(report) == {}
    assert [report.accounts, report.entries] == eventful.counts("accounts", "entries")


CORRUPTIONS = [*OF_POINTS, *BESIDE_POINTS]


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.found_by)
def test_each_corruption_violates_exactly_these_invariants(eventful: Ledger, corruption: Corruption) -> None:
    corrupt(eventful, corruption.sql)
    assert " ".join(found_by(verify(eventful.database))) == corruption.found_by


def test_every_invariant_finds_a_corruption_of_its_own() -> None:
    tested = {each for corruption in CORRUPTIONS for each in corruption.found_by.split()}
    assert tested == {invariant.id for invariant in INVARIANTS}


def test_two_limits_on_one_window_count_a_grant_once(ledger: Ledger) -> None:
    ledger.tenant()
    limits = [{"period": "day", "unit": unit, "max": most} for unit, most in (("points", 50), ("times", 3))]
    ledger.rule(name="both", event_type="visit", points=10, limits=limits)
    ledger.apply(ApplyRule(tenant_id="shop", user_id="anna", event_type="visit"))
    assert found_by(verify(ledger.database)) == {}


def test_usage_is_compared_as_far_as_it_is_known(ledger: Ledger) -> None:
    """A changed time zone, a later limit and a pruned window raise no alarm."""
    visit: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "event_type": "visit"}
    ledger.tenant()
    ledger.rule(name="visits", event_type="visit", points=10)
    ledger.apply(ApplyRule(**visit), Earn(tenant_id="shop", user_id="anna", amount=5))
    ledger.tenant(max_earn_per_day=40, max_spend_per_day=9, backdating_days=7)
    ledger.rule(name="visits", event_type="visit", points=10, daily_limit=20)
    ledger.apply(*(ApplyRule(**visit) for _ in range(3)), Spend(tenant_id="shop", user_id="anna", amount=3))
    assert found_by(verify(ledger.database)) == {}

    with ledger.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM usage WHERE period = 'day'")
    assert set(found_by(verify(ledger.database))) == {"I11b"}
    with ledger.database.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO closed_windows (tenant_id, local_date, users, points)
               SELECT tenant_id, max((occurred_at AT TIME ZONE 'UTC')::date), 1, 1 FROM entries GROUP BY 1"""
        )
    assert found_by(verify(ledger.database)) == {}

    ledger.tenant(max_earn_per_day=10, timezone="Pacific/Kiritimati")
    ledger.rule(name="visits", event_type="visit", points=10, total_limit=10)
    ledger.apply(ApplyRule(**visit), ApplyRule(**visit))
    assert found_by(verify(ledger.database)) == {}


def test_expired_points_may_be_spent_while_expiry_is_off(ledger: Ledger) -> None:
    ledger.tenant(default_expiry_days=1, expire_enabled=False)
    shop: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
    ledger.apply(Earn(**shop, amount=5, occurred_at=LONG_AGO), Spend(**shop, amount=5))
    assert ledger.balance("anna") == 0
    assert found_by(verify(ledger.database)) == {}


def test_the_size_of_the_chunks_does_not_matter(eventful: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = eventful.counts("accounts", "entries")
    corrupt(eventful, "DELETE FROM pending; UPDATE accounts SET version = 99; DELETE FROM lot_moves")
    at_once = found_by(verify(eventful.database))
    small = tuple(replace(walk, rows_at_once=1) for walk in verifying.WALKS)
    monkeypatch.setattr(verifying, "WALKS", small)

    report = verify(eventful.database)

    assert found_by(report) == at_once
    assert [report.accounts, report.entries] == sizes


def test_all_violating_rows_are_counted_and_some_are_shown(eventful: Ledger) -> None:
    corrupt(eventful, "UPDATE accounts SET version = version + 1")
    for limit_rows in (0, 2):
        report = verify(eventful.database, limit_rows=limit_rows).as_json()
        assert set(report) == {"violations", "invariants", "accounts", "entries", "seconds"}
        assert report["violations"] == report["accounts"] == 16
        assert [each["id"] for each in report["invariants"] if each["rows"]] == ["I3b"] * (limit_rows > 0)
        chain = next(each for each in report["invariants"] if each["id"] == "I3b")
        assert len(chain["rows"]) == limit_rows
        assert set(chain) == {"id", "name", "rows"}


def test_rows_are_json_with_ids_as_ulids(eventful: Ledger) -> None:
    corrupt(eventful, "DELETE FROM outcomes; DELETE FROM lots; UPDATE accounts SET balance = 999")
    report = verify(eventful.database, limit_rows=1000).as_json()
    assert orjson.loads(orjson.dumps(report)) == report
    vanished = next(each for each in report["invariants"] if each["id"] == "I18a")["rows"]
    assert all(len(row["id"]) == 26 and row["accepted_at"].endswith("Z") for row in vanished)


def test_progress_reaches_the_total(eventful: Ledger) -> None:
    calls: list[tuple[int, int]] = []
    verify(eventful.database, on_progress=lambda done, of_all: calls.append((done, of_all)))
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1] > 0


def test_verify_while_a_worker_runs_finds_nothing(ledger: Ledger) -> None:
    """Each chunk is one snapshot, so a concurrent command never looks half done."""
    ledger.tenant(transfer_enabled=True, max_earn_per_day=10**9)
    ledger.rule(name="visits", event_type="visit", points=7, daily_limit=500)
    users = [f"user{number}" for number in range(20)]
    ledger.apply(*(Earn(tenant_id="shop", user_id=user, amount=500) for user in users))
    reports: list[VerifyReport] = []
    with applying(ledger, lambda: _some_of_everything(users)) as worker:
        while len(reports) < 5 or (len({report.entries for report in reports}) < 3 and worker.is_alive()):
            reports.append(verify(ledger.database))
    assert [found_by(report) for report in reports] == [{}] * len(reports)


def _some_of_everything(users: list[str]) -> list[ApplyRule | Expire | Spend | Transfer]:
    commands: list[ApplyRule | Expire | Spend | Transfer] = []
    for user, other in zip(users, users[1:] + users[:1], strict=True):
        about: dict[str, Any] = {"tenant_id": "shop", "user_id": user}
        commands += [
            ApplyRule(**about, event_type="visit"),
            Transfer(**about, to_user_id=other, amount=3),
            Spend(**about, amount=2),
            Expire(**about, amount=1, strategy="pro_rata"),
        ]
    return commands


def test_the_checked_tables_are_the_append_only_ones() -> None:
    append_only = [
        table
        for found in iter_modules(versions.__path__)
        for table in getattr(import_module(f"{versions.__name__}.{found.name}"), "APPEND_ONLY", ())
    ]
    assert ["audit_log" if table == "acts" else table for table in append_only] == list(APPEND_ONLY)

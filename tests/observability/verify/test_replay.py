"""Replay finds no difference in a sound ledger, and finds later changes to stored decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from pointledger import ApplyRule, Clawback, Earn, Freeze, Refund, Spend, Transfer, Unfreeze
from pointledger.errors import ReplayCannotBegin
from pointledger.ids import parse_id
from pointledger.observability.replay import final_state, state, tenant
from pointledger.observability.replay import replay as replaying
from pointledger.observability.replay.replay import replay
from pointledger.observability.replay.report import ReplayCheck, ReplayReport
from pointledger.observability.verify import verify
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.replay import reads
from tests.ledger import Ledger, data_of
from tests.observability.verify.background import applying
from tests.observability.verify.corruption import corrupt
from tests.observability.verify.forgeries import FORGERIES, Forgery, create_short_history


def found_by(report: ReplayReport) -> str:
    """Return the ids of the checks that failed."""
    return " ".join(check.id for check, found in report.found.items() if found.differences)


def rows_of(report: ReplayReport) -> list[dict[str, Any]]:
    return [row for found in report.found.values() for row in found.rows]


def test_an_empty_ledger_is_replayed(ledger: Ledger) -> None:
    report = replay(ledger.database)
    assert (report.differences, report.commands, report.tenants) == (0, 0, 0)


def test_a_full_history_replays_without_differences(eventful: Ledger) -> None:
    decided = eventful.rows("SELECT count(*) FROM outcomes WHERE reason IS DISTINCT FROM 'CANCELLED'")[0][0]

    report = replay(eventful.database)

    assert rows_of(report) == []
    assert [report.commands, report.entries] == [decided, *eventful.counts("entries")]
    assert (report.tenants, report.without_order, report.moved_on) == (5, {}, 0)


def test_the_sessions_time_zone_does_not_matter(eventful: Ledger, settings: Settings) -> None:
    database = engine_for(f"{settings.database}?options=-c%20TimeZone%3DAsia/Tokyo")
    assert rows_of(replay(database)) == []
    database.dispose()


def test_erased_facts_are_taken_on_trust_and_counted(eventful: Ledger) -> None:
    """Edna's visit has lost its facts. Replay uses the awards that its outcome records."""
    assert replay(eventful.database).on_trust == 1

    corrupt(
        eventful,
        """UPDATE outcomes SET data = regexp_replace(data::text, '"granted": *5', '"granted": 6')::json
           WHERE id IN (SELECT id FROM journal WHERE kind = 'apply-rule' AND user_id LIKE 'erased:%')""",
    )
    assert found_by(replay(eventful.database)) == ""  # `granted` is a copy, and replay does not use it
    corrupt(
        eventful,
        """UPDATE outcomes SET data = regexp_replace(data::text, '"wanted": *5', '"wanted": 6')::json
           WHERE id IN (SELECT id FROM journal WHERE kind = 'apply-rule' AND user_id LIKE 'erased:%')""",
    )
    assert "R3" in found_by(replay(eventful.database))


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.of)
def test_each_forgery_fails_exactly_these_checks(ledger: Ledger, forgery: Forgery) -> None:
    create_short_history(ledger)
    assert rows_of(replay(ledger.database)) == []

    corrupt(ledger, forgery.sql)

    report = verify(ledger.database)
    assert " ".join(f.invariant.id for f in report.findings if f.violations) == forgery.violates
    assert found_by(replay(ledger.database)) == forgery.found_by


def test_every_check_has_a_forgery_that_it_finds() -> None:
    assert {each for forgery in FORGERIES for each in forgery.found_by.split()} == {
        check.id for check in ReplayCheck
    }


def test_a_difference_shows_the_command_the_stored_and_the_decided_value(ledger: Ledger) -> None:
    create_short_history(ledger)
    refused = ledger.rows("SELECT id FROM outcomes WHERE reason = 'BELOW_MINIMUM'")[0][0]
    corrupt(ledger, "UPDATE outcomes SET reason = 'LIMIT_REACHED' WHERE reason = 'BELOW_MINIMUM'")

    report = replay(ledger.database).as_json()

    assert orjson.loads(orjson.dumps(report)) == report
    (row,) = next(each["rows"] for each in report["checks"] if each["id"] == "R2")
    assert parse_id(row.pop("command_id")) == refused
    assert row == {
        "tenant_id": "shop",
        "user_id": "una",
        "kind": "spend",
        "kept": {"reason": "LIMIT_REACHED"},
        "decided": {"reason": "BELOW_MINIMUM"},
    }


def test_all_differences_are_counted_and_some_are_shown(eventful: Ledger) -> None:
    corrupt(eventful, "UPDATE accounts SET created_at = created_at - interval '1 day'")
    report = replay(eventful.database, limit_rows=2)
    assert (report.differences, len(rows_of(report))) == (16, 2)


def test_an_unreadable_row_affects_only_its_tenant(eventful: Ledger) -> None:
    corrupt(eventful, "UPDATE lots SET earned_at = 'infinity' WHERE tenant_id = 'cafe'")
    report = replay(eventful.database)
    assert (found_by(report), [row["tenant_id"] for row in rows_of(report)]) == ("R1", ["cafe"])
    assert report.last_tenant == "shop"


def test_rows_without_a_command_are_found(eventful: Ledger) -> None:
    """An entry, a lot and an account that no command created."""
    corrupt(
        eventful,
        """INSERT INTO lots
           SELECT (json_populate_record(lots, '{"id": "01a00000-0000-0000-0000-000000000001"}')).* FROM lots
           WHERE tenant_id = 'kiosk' LIMIT 1;
           INSERT INTO accounts SELECT (json_populate_record(accounts, '{"user_id": "new",
               "id": "01a00000-0000-0000-0000-000000000002"}')).* FROM accounts WHERE tenant_id = 'kiosk';
           INSERT INTO entries SELECT (json_populate_record(entries, '{"seq": 99,
               "id": "ffffffff-0000-0000-0000-000000000003"}')).*
           FROM entries WHERE tenant_id = 'kiosk' LIMIT 1""",
    )
    report = replay(eventful.database)
    assert found_by(report) == "R3 R5 R7"
    assert [row["decided"] for row in rows_of(report)] == [None] * 3


def test_chunk_size_and_memory_limits_do_not_matter(
    eventful: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant, "CHUNK_COMMANDS", 1)
    monkeypatch.setattr(final_state, "_PAGE", 1)
    monkeypatch.setattr(state, "ACCOUNTS", 2)
    monkeypatch.setattr(state, "OTHERS", 2)
    assert rows_of(replay(eventful.database)) == []

    corrupt(eventful, "UPDATE lots SET amount = amount + 1; UPDATE usage SET times = times + 1")
    report = replay(eventful.database, limit_rows=0)
    monkeypatch.undo()
    assert found_by(report) == "R5 R8"
    assert report.found == replay(eventful.database, limit_rows=0).found


def test_rows_of_a_sound_ledger_are_read_as_digests_only(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments of whole seconds and tenths among them, which Postgres and orjson would write differently."""
    create_short_history(ledger)
    una: dict[str, Any] = {"tenant_id": "shop", "user_id": "una"}
    for microsecond in (0, 100_000, 123_450):
        ends = datetime.now(UTC).replace(microsecond=microsecond) + timedelta(days=99)
        ledger.apply(Earn(**una, amount=5, expires_at=ends))

    def read_closely(*_: Any) -> Any:
        raise AssertionError("nothing differs")

    monkeypatch.setattr(reads, "by_id_range", _only_wallets(reads.by_id_range))
    monkeypatch.setattr(reads, "outcomes", lambda _, ids: read_closely() if ids else {})
    monkeypatch.setattr(reads, "open_lots", read_closely)
    report = replay(ledger.database)
    assert (report.differences, report.commands, report.entries) == (0, *ledger.counts("outcomes", "entries"))


def _only_wallets(read: Any) -> Any:
    def by_id_range(connection: Any, table: str, *columns: Any, **bounds: Any) -> Any:
        assert table in ("wallet_entries", "wallet_lines"), "nothing differs"
        return read(connection, table, *columns, **bounds)

    return by_id_range


def test_one_tenant_or_those_behind_one_are_replayed(eventful: Ledger) -> None:
    tenants = ["bank", "cafe", "kiosk", "nowhere", "shop"]
    counts = dict(eventful.rows("SELECT tenant_id, count(*) FROM outcomes GROUP BY tenant_id"))
    assert sorted(counts) == tenants

    alone = replay(eventful.database, tenant_id="cafe")
    assert (alone.commands, alone.last_tenant) == (counts["cafe"], "cafe")
    later = replay(eventful.database, after="kiosk")
    assert (later.commands, later.tenants) == (counts["nowhere"] + counts["shop"], 2)
    assert replay(eventful.database, after=later.last_tenant).commands == 0


def test_a_tenant_without_recorded_order_is_reported_and_skipped(eventful: Ledger) -> None:
    decided = dict(eventful.rows("SELECT tenant_id, count(*) FROM outcomes GROUP BY tenant_id"))
    corrupt(
        eventful,
        """UPDATE outcomes SET batch = NULL, place = NULL
           WHERE id IN (SELECT id FROM outcomes WHERE tenant_id = 'kiosk' LIMIT 2);
           UPDATE outcomes SET batch = NULL, place = NULL WHERE tenant_id = 'bank'""",
    )
    report = replay(eventful.database)
    assert (report.differences, report.without_order) == (0, {"bank": decided["bank"], "kiosk": 2})
    assert report.commands == sum(decided.values()) - decided["bank"] - decided["kiosk"]


def test_a_replay_while_a_worker_runs_finds_nothing(ledger: Ledger) -> None:
    """Commands that workers apply meanwhile, and the state they change, are left to the next replay."""
    ledger.tenant(transfer_enabled=True, max_earn_per_day=10**9)
    ledger.rule(
        name="visits",
        event_type="visit",
        points=7,
        limits=[{"period": "day", "max": 500}, {"scope": "rule", "period": "day", "max": 10**6}],
    )
    users = [f"user{number}" for number in range(20)]
    ledger.apply(*(Earn(tenant_id="shop", user_id=user, amount=500) for user in users))
    reports: list[ReplayReport] = []
    with applying(ledger, lambda: _some_of_everything(users)) as worker:
        while len(reports) < 4 or (not any(report.moved_on for report in reports) and worker.is_alive()):
            reports.append(replay(ledger.database))
    assert [rows_of(report) for report in reports] == [[]] * len(reports)
    assert rows_of(replay(ledger.database)) == []


def _some_of_everything(users: list[str]) -> list[Any]:
    commands: list[Any] = []
    for user, other in zip(users, users[1:] + users[:1], strict=True):
        about: dict[str, Any] = {"tenant_id": "shop", "user_id": user}
        commands += [
            ApplyRule(**about, event_type="visit"),
            Transfer(**about, to_user_id=other, amount=3),
            Spend(**about, amount=2),
            Freeze(**about, amount=1),
            Unfreeze(**about, amount=1),
        ]
    return commands


def test_lots_that_ended_and_were_restored_are_compared_by_final_state(ledger: Ledger) -> None:
    """Spent, refunded, spent again, clawed back: each lot ends and is restored, some more than once."""
    ledger.tenant(default_expiry_days=30)
    una: dict[str, Any] = {"tenant_id": "shop", "user_id": "una"}
    for _ in range(3):
        ledger.apply(Earn(**una, amount=10), Earn(**una, amount=20))
        (spent,) = ledger.apply(Spend(**una, amount=ledger.balance("una")))
        entry = parse_id(data_of(spent)["transactions"][0]["id"])
        ledger.apply(Refund(**una, amount=25, related_id=entry))
        ledger.apply(Spend(**una, amount=24))
        earned = parse_id(next(e["id"] for e in ledger.entries("una") if e["type"] == "earn"))
        ledger.apply(Clawback(**una, related_id=earned, policy="arrears"))
    assert rows_of(replay(ledger.database)) == []
    corrupt(ledger, "UPDATE lots SET expired = 1 WHERE state = 'consumed'")
    ended = ledger.rows("SELECT count(*) FROM lots WHERE state = 'consumed'")[0][0]
    assert replay(ledger.database).found[ReplayCheck.LOT].differences == ended


def test_replay_waits_for_open_transactions(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open transaction may still commit with an earlier number."""
    monkeypatch.setattr(replaying, "_WAIT_SECONDS", 0.1)
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM lanes LIMIT 1 FOR UPDATE")
        with pytest.raises(ReplayCannotBegin):
            replay(ledger.database)
    assert replay(ledger.database).differences == 0


def test_progress_reaches_the_total(eventful: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant, "CHUNK_COMMANDS", 10)
    calls: list[tuple[int, int]] = []
    replay(eventful.database, on_progress=lambda report, of_all: calls.append((report.commands, of_all)))
    assert len(calls) > 5, "it is reported chunk by chunk"
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1] > 0

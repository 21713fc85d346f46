"""The audit that decides again: nothing differs in a sound ledger; what was changed after the fact does."""

from typing import Any

import orjson
import pytest

from pointledger import ApplyRule, Clawback, Earn, Freeze, Refund, Spend, Transfer, Unfreeze
from pointledger.errors import ReplayCannotBegin
from pointledger.ids import parse_id
from pointledger.observability.replay import audit as replaying
from pointledger.observability.replay import pieces, shelves, standing, tenant
from pointledger.observability.replay.audit import replay
from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.verify import audit
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from tests.ledger import Ledger, data_of
from tests.observability.verify.beside import applying
from tests.observability.verify.forgeries import FORGERIES, Forgery
from tests.observability.verify.forgeries import tell as tell_shortly
from tests.observability.verify.tampering import tamper


def found_by(report: ReplayReport) -> str:
    """The checks under which something differs."""
    return " ".join(check.id for check, found in report.found.items() if found.differences)


def rows_of(report: ReplayReport) -> list[dict[str, Any]]:
    return [row for found in report.found.values() for row in found.rows]


def test_an_empty_ledger_is_replayed(ledger: Ledger) -> None:
    report = replay(ledger.database)
    assert (report.differences, report.commands, report.tenants) == (0, 0, 0)


def test_a_ledger_in_which_everything_has_happened_comes_out_the_same(eventful: Ledger) -> None:
    decided = eventful.rows("SELECT count(*) FROM outcomes WHERE reason IS DISTINCT FROM 'CANCELLED'")[0][0]

    report = replay(eventful.database)

    assert rows_of(report) == []
    assert [report.commands, report.entries] == [decided, *eventful.counts("entries")]
    assert (report.tenants, report.without_order, report.moved_on) == (5, {}, 0)


def test_it_comes_out_the_same_in_any_time_zone_of_the_session(eventful: Ledger, settings: Settings) -> None:
    database = engine_for(settings.database, options="-c TimeZone=Asia/Tokyo")
    assert rows_of(replay(database)) == []
    database.dispose()


def test_what_an_erasure_took_is_taken_on_trust_and_told(eventful: Ledger) -> None:
    """Edna's visit has lost its facts; what her rules wanted is in its outcome, and that is decided on."""
    assert replay(eventful.database).on_trust == 1

    tamper(
        eventful,
        """UPDATE outcomes SET data = regexp_replace(data::text, '"granted": *5', '"granted": 6')::json
           WHERE id IN (SELECT id FROM journal WHERE kind = 'apply-rule' AND user_id LIKE 'erased:%')""",
    )
    assert found_by(replay(eventful.database)) == ""  # what was granted is only repeated there
    tamper(
        eventful,
        """UPDATE outcomes SET data = regexp_replace(data::text, '"wanted": *5', '"wanted": 6')::json
           WHERE id IN (SELECT id FROM journal WHERE kind = 'apply-rule' AND user_id LIKE 'erased:%')""",
    )
    assert "R3" in found_by(replay(eventful.database))


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.of)
def test_each_forgery_is_found_by_exactly_these(ledger: Ledger, forgery: Forgery) -> None:
    tell_shortly(ledger)
    assert rows_of(replay(ledger.database)) == []

    tamper(ledger, forgery.sql)

    report = audit(ledger.database)
    assert " ".join(f.invariant.id for f in report.findings if f.violations) == forgery.audit_finds
    assert found_by(replay(ledger.database)) == forgery.found_by


def test_every_check_has_a_forgery_that_it_finds() -> None:
    assert {each for forgery in FORGERIES for each in forgery.found_by.split()} == {
        check.id for check in Check
    }


def test_a_difference_names_the_command_and_shows_what_is_kept_and_what_was_decided(ledger: Ledger) -> None:
    tell_shortly(ledger)
    refused = ledger.rows("SELECT id FROM outcomes WHERE reason = 'BELOW_MINIMUM'")[0][0]
    tamper(ledger, "UPDATE outcomes SET reason = 'LIMIT_REACHED' WHERE reason = 'BELOW_MINIMUM'")

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


def test_all_differences_count_and_some_are_shown(eventful: Ledger) -> None:
    tamper(eventful, "UPDATE accounts SET created_at = created_at - interval '1 day'")
    report = replay(eventful.database, limit_rows=2)
    assert (report.differences, len(rows_of(report))) == (16, 2)


def test_a_row_that_no_program_writes_spoils_its_tenant_alone(eventful: Ledger) -> None:
    tamper(eventful, "UPDATE lots SET earned_at = 'infinity' WHERE tenant_id = 'cafe'")
    report = replay(eventful.database)
    assert (found_by(report), [row["tenant_id"] for row in rows_of(report)]) == ("R1", ["cafe"])
    assert report.last_tenant == "shop"


def test_rows_that_nothing_has_written_are_found(eventful: Ledger) -> None:
    """An entry of nobody's, a lot, and a user's account with all that it has."""
    tamper(
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


def test_neither_the_size_of_a_piece_nor_what_fits_into_memory_matters(
    eventful: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant, "AT_ONCE", 1)
    monkeypatch.setattr(standing, "_PAGE", 1)
    monkeypatch.setattr(shelves, "ACCOUNTS", 2)
    monkeypatch.setattr(shelves, "OTHERS", 2)
    assert rows_of(replay(eventful.database)) == []

    tamper(eventful, "UPDATE lots SET amount = amount + 1; UPDATE usage SET times = times + 1")
    report = replay(eventful.database, limit_rows=0)
    monkeypatch.undo()
    assert found_by(report) == "R5 R8"
    assert report.found == replay(eventful.database, limit_rows=0).found


def test_one_tenant_or_those_behind_one_are_replayed(eventful: Ledger) -> None:
    tenants = ["bank", "cafe", "kiosk", "nowhere", "shop"]
    counts = dict(eventful.rows("SELECT tenant_id, count(*) FROM outcomes GROUP BY tenant_id"))
    assert sorted(counts) == tenants

    alone = replay(eventful.database, tenant_id="cafe")
    assert (alone.commands, alone.last_tenant) == (counts["cafe"], "cafe")
    behind = replay(eventful.database, after="kiosk")
    assert (behind.commands, behind.tenants) == (counts["nowhere"] + counts["shop"], 2)
    assert replay(eventful.database, after=behind.last_tenant).commands == 0


def test_a_tenant_whose_order_was_not_recorded_is_told_and_left_out(eventful: Ledger) -> None:
    decided = dict(eventful.rows("SELECT tenant_id, count(*) FROM outcomes GROUP BY tenant_id"))
    tamper(
        eventful,
        """UPDATE outcomes SET batch = NULL, place = NULL
           WHERE id IN (SELECT id FROM outcomes WHERE tenant_id = 'kiosk' LIMIT 2);
           UPDATE outcomes SET batch = NULL, place = NULL WHERE tenant_id = 'bank'""",
    )
    report = replay(eventful.database)
    assert (report.differences, report.without_order) == (0, {"bank": decided["bank"], "kiosk": 2})
    assert report.commands == sum(decided.values()) - decided["bank"] - decided["kiosk"]


def test_a_replay_beside_a_worker_finds_nothing(ledger: Ledger) -> None:
    """What workers apply meanwhile is left to the next replay, together with what it has moved."""
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


def test_lots_that_ended_and_came_back_are_compared_as_they_stand(ledger: Ledger) -> None:
    """Spent to the end, refunded, spent again, clawed back: each lot dies and rises, some more than once."""
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
    tamper(ledger, "UPDATE lots SET expired = 1 WHERE state = 'consumed'")
    ended = ledger.rows("SELECT count(*) FROM lots WHERE state = 'consumed'")[0][0]
    assert replay(ledger.database).found[Check.LOT].differences == ended


def test_what_is_still_being_written_is_waited_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has drawn a number and not committed may yet come in between."""
    monkeypatch.setattr(replaying, "_PATIENCE_SECONDS", 0.1)
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM lanes LIMIT 1 FOR UPDATE")
        with pytest.raises(ReplayCannotBegin):
            replay(ledger.database)
    assert replay(ledger.database).differences == 0


def test_progress_goes_up_to_all(eventful: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "AT_ONCE", 10)
    told: list[tuple[int, int]] = []
    replay(eventful.database, on_progress=lambda report, of_all: told.append((report.commands, of_all)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 0

"""Changed expiries, exemptions and notice periods on a real ledger. E7 to E9 and E13 are acceptance cases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger import (
    AnyCommand,
    Earn,
    ExpireDue,
    ExtendExpiry,
    Freeze,
    Refund,
    SetExpiryExemption,
    Spend,
    Transfer,
    Unfreeze,
)
from pointledger.client.acceptor import Acceptance
from pointledger.errors import InvalidCommand
from pointledger.ids import parse_id
from pointledger.jobs.expiry_policy import PolicyChange
from pointledger.jobs.scheduler import JobScheduler
from pointledger.storage.ledger import program
from pointledger.storage.queries import expiring
from tests.engine.soundness import assert_sound
from tests.ledger import Ledger, data_of

NOW = datetime.now(UTC)
ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


@pytest.fixture(autouse=True)
def shop(ledger: Ledger) -> None:
    ledger.tenant()


def days(number: float) -> datetime:
    return NOW + timedelta(days=number)


def midnight(ledger: Ledger, after_days: int, moment: str) -> datetime:
    """Return the start of the day so many days after a moment that the ledger has saved and this SQL reads.
    Midnight may have passed since the import of this module."""
    ((saved,),) = ledger.rows(moment)
    day = (saved.astimezone(UTC) + timedelta(days=after_days)).date()
    return datetime.combine(day, datetime.min.time(), UTC)


def earn(amount: int, expires: float | None, **more: Any) -> Earn:
    ends = None if expires is None else days(expires)
    return Earn(**{**ANNA, "amount": amount, "expires_at": ends, "occurred_at": days(-100), **more})


def extend(**more: Any) -> ExtendExpiry:
    return ExtendExpiry(**{**ANNA, "reason": "sorry", **more})


def lots(ledger: Ledger, user_id: str = "anna") -> list[tuple[int, datetime | None, int]]:
    found = ledger.rows(
        """SELECT l.remaining, l.expires_at, l.expiry_changes
           FROM lots l JOIN accounts a ON a.id = l.account_id
           WHERE a.user_id = %(user)s AND l.state <> 'consumed' ORDER BY l.expires_at, l.id""",
        user=user_id,
    )
    return [tuple(row) for row in found]


def scheduler_of(ledger: Ledger) -> JobScheduler:
    return JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))


def policy_of(ledger: Ledger) -> PolicyChange:
    return PolicyChange(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))


@pytest.mark.parametrize("at_once", [True, False])
def test_an_extension_finds_active_pending_and_held_lots(ledger: Ledger, at_once: bool) -> None:
    """The result does not depend on the batches."""
    ledger.tenant(transfer_enabled=True)
    ledger.apply(Earn(tenant_id="shop", user_id="ben", amount=1))
    commands: list[AnyCommand] = [
        earn(10, 5),
        earn(20, 6),
        earn(30, 7, activates_at=days(1)),
        Freeze(**ANNA, amount=10),
        Transfer(**ANNA, to_user_id="ben", amount=4),
        extend(expiring_before=days(8), expires_at=days(9)),
        Transfer(**ANNA, to_user_id="ben", amount=5),
        Unfreeze(**ANNA, amount=10),
        extend(expiring_before=days(10), days=1),
        Spend(**ANNA, amount=3),
    ]
    batches = [commands] if at_once else [[command] for command in commands]
    outcomes = [outcome for batch in batches for outcome in ledger.apply(*batch)]
    assert [outcome.state for outcome in outcomes] == ["applied"] * len(commands)
    assert (data_of(outcomes[5])["lots_moved"], data_of(outcomes[5])["points_moved"]) == (3, 56)
    assert {(end, changes) for _, end, changes in lots(ledger)} == {(days(10), 2)}
    assert [end for _, end, _ in lots(ledger, "ben")] == [days(6), days(9), None]
    assert ledger.counts("expiry_changes") == [6]
    assert_sound(ledger)


def test_an_extended_lot_does_not_expire_before_its_new_expiry(ledger: Ledger) -> None:
    ledger.apply(earn(10, -2, occurred_at=days(-9)), earn(5, -1, occurred_at=days(-9)))
    ledger.apply(extend(expiring_before=days(-1), expires_at=days(-0.5), occurred_at=days(-9)))
    for as_of, left in ((days(-0.9), 10), (days(-0.4), 0)):
        list(scheduler_of(ledger).expire_now(as_of, "shop"))
        ledger.drain()
        assert ledger.balance("anna") == left
    assert_sound(ledger)


def test_r2_a_refund_follows_the_order_in_which_lots_paid_before_they_were_extended(ledger: Ledger) -> None:
    ledger.apply(earn(10, 5), earn(10, 6), Spend(**ANNA, amount=3), Spend(**ANNA, amount=12))
    both, first = (parse_id(entry["id"]) for entry in ledger.entries("anna")[:2])
    earned = parse_id(ledger.entries("anna")[-1]["id"])
    assert ledger.apply(extend(lots=(earned,), days=9))[0].reason == "RELATED_NOT_FOUND", "nothing is left"
    ledger.apply(Refund(**ANNA, amount=3, related_id=first))
    data_of(ledger.apply(extend(lots=(earned,), days=9))[0])  # the lot that paid first is now the last one
    ledger.apply(Refund(**ANNA, amount=6, related_id=both))
    assert [(left, end) for left, end, _ in lots(ledger)] == [(10, days(6)), (4, days(14))]
    assert_sound(ledger)


def test_explain_entry_describes_how_a_lots_expiry_changed(ledger: Ledger) -> None:
    ledger.apply(earn(10, 5), extend(expiring_before=days(6), never=True))
    (entry,) = ledger.entries("anna")
    explanation = ledger.client.explain_entry("shop", entry["id"])
    (lot,) = explanation.lots_arrived
    (change,) = lot["expiry_changes"]
    assert (change["was"], change["becomes"], change["cause"]) == (entry["expires_at"], None, "extend")
    moved = f"moved the expiry of lot {lot['lot_id']} from {change['was']} to never."
    assert any(moved in sentence for sentence in explanation.sentences)


# ------------------------------------------------------------------------- exemptions, notice periods


def test_e13_the_expiry_job_skips_exempt_accounts_and_queries_report_them(ledger: Ledger) -> None:
    exempt = SetExpiryExemption(**ANNA, exempt=True, reason="the law")
    ben = {"tenant_id": "shop", "user_id": "ben"}
    ledger.apply(earn(10, -1), earn(5, -0.5, **ben), earn(3, 3))
    ledger.apply(exempt)
    (preview,) = ledger.client.preview_expiry("shop")
    assert (preview["points"], preview["exempt_accounts"], preview["exempt_points"]) == (5, 0, 0), (
        "points that were due at the exemption have expired"
    )
    ledger.apply(earn(10, -1, occurred_at=days(-2)))
    (preview,) = ledger.client.preview_expiry("shop")
    assert (preview["points"], preview["exempt_accounts"], preview["exempt_points"]) == (5, 1, 10)
    assert [
        len(receipt.task_ids) for receipt in scheduler_of(ledger).expire_now(tenant_id="shop", limit=1)
    ] == [1]
    ledger.drain()
    assert (ledger.balance("anna"), ledger.balance("ben")) == (13, 0)
    assert ledger.account("anna")["expiry_exempt"] is True
    assert ledger.client.account("shop", "anna", NOW + timedelta(days=1))["expiry_exempt"] is None
    assert ledger.client.expiring("shop", "anna").expiry_exempt is True
    assert_sound(ledger)


def test_e13_lifting_an_exemption_starts_a_notice_period(ledger: Ledger) -> None:
    for exempt in (True, False):
        ledger.apply(earn(1, None), SetExpiryExemption(**ANNA, exempt=exempt, reason="the law"))
    ledger.apply(earn(10, -1, occurred_at=days(-2)))
    ledger.apply(ExpireDue(**ANNA, as_of=days(0)))
    assert ledger.balance("anna") == 12
    assert list(scheduler_of(ledger).expire_now(tenant_id="shop")) == []
    account = ledger.account("anna")
    end = midnight(ledger, 30, "SELECT max(applied_at) FROM outcomes")
    assert account["expires_not_before"] == end.isoformat().replace("+00:00", "Z")
    soon = ledger.client.expiring("shop", "anna", 31)
    assert (soon.points, soon.expires_not_before) == (10, account["expires_not_before"])
    assert ledger.client.expiring("shop", "anna", 29).points == 0
    assert_sound(ledger)


def test_e8_switching_expiry_on_starts_a_notice_period_in_which_nothing_expires(
    ledger: Ledger,
) -> None:
    ledger.tenant(expire_enabled=False)
    ledger.apply(earn(10, -50), earn(5, -40))
    ledger.tenant(expiry_notice_days=10)
    with ledger.database.connect() as connection:
        end = program.tenant(connection, "shop").expires_not_before
    assert end == midnight(ledger, 10, "SELECT max(saved_at) FROM tenant_versions")
    assert list(scheduler_of(ledger).expire_now(tenant_id="shop")) == []
    ledger.apply(ExpireDue(**ANNA, as_of=days(0)), Spend(**ANNA, amount=4))
    assert ledger.balance("anna") == 11
    ledger.tenant(expiry_notice_days=1)
    (preview,) = ledger.client.preview_expiry("shop")
    assert preview["expires_not_before"] == end.isoformat().replace("+00:00", "Z"), "it does not get shorter"
    assert (preview["accounts"], preview["points"]) == (1, 11)
    assert_sound(ledger)


def test_e8_switching_expiry_off_also_stops_commands_that_are_pending(ledger: Ledger) -> None:
    ledger.apply(earn(10, -1))
    assert [receipt.new for receipt in scheduler_of(ledger).expire_now(tenant_id="shop")] == [1]
    ledger.tenant(expire_enabled=False)
    ledger.drain()
    assert ledger.balance("anna") == 10


# ------------------------------------------------------------------------------------ changed policies


def test_e7_a_changed_policy_changes_existing_lots_only_on_request(
    ledger: Ledger,
) -> None:
    ledger.tenant(default_expiry_days=365, transfer_enabled=True)
    ledger.apply(
        earn(10, None),
        earn(20, 300),  # the command's own
        earn(30, None, user_id="ben"),
        Transfer(tenant_id="shop", user_id="ben", to_user_id="anna", amount=5),
    )
    before = lots(ledger)
    ledger.tenant(default_expiry_days=180, transfer_enabled=True)
    assert lots(ledger) == before
    change = policy_of(ledger)

    (counted,) = [report for report, _ in change.apply("shop", dry_run=True)]
    assert (counted.accounts, counted.lots_shorter, counted.points_shorter) == (2, 3, 40)
    assert lots(ledger) == before

    assert [report.accounts for report, _ in change.apply("shop", limit=1)] == [1]
    ledger.drain()
    assert {end for _, end, _ in lots(ledger)} == {days(80), days(300)}
    list(change.apply("shop"))
    list(change.apply("shop"))  # requested again before it is applied
    ledger.drain()
    assert [(left, end, nth) for left, end, nth in lots(ledger, "ben")] == [(25, days(80), 1)]
    assert [report.accounts for report, _ in change.apply("shop")] == [0], (
        "changed lots are not changed again"
    )
    assert_sound(ledger)

    ledger.tenant(default_expiry_days=365, transfer_enabled=True)
    list(change.apply("shop"))
    ledger.drain()
    ledger.tenant(default_expiry_days=180, transfer_enabled=True)
    list(change.apply("shop"))
    ledger.drain()
    assert lots(ledger, "ben") == [(25, days(80), 3)], "back and forth"
    assert_sound(ledger)


def test_e7_lots_that_would_expire_at_once_get_a_notice_period_and_extended_lots_stay(
    ledger: Ledger,
) -> None:
    ledger.tenant(default_expiry_days=365)
    ledger.apply(earn(10, None), earn(20, None))
    named = parse_id(ledger.entries("anna")[0]["id"])
    ledger.apply(extend(lots=(named,), days=1))
    ledger.tenant(default_expiry_days=10, expiry_notice_days=3)
    with pytest.raises(InvalidCommand, match="next midnight"):
        list(policy_of(ledger).apply("shop", NOW))
    ((report, _),) = policy_of(ledger).apply("shop")
    ledger.drain()
    assert report.not_before == midnight(ledger, 3, "SELECT max(accepted_at) FROM journal")
    assert [end for _, end, _ in lots(ledger)] == [report.not_before, days(266)]
    assert_sound(ledger)


# --------------------------------------------------------------------------------------- expiring soon


def test_e14_accounts_with_points_that_expire_within_a_window_are_found_in_pages(
    ledger: Ledger,
) -> None:
    for user, amount, expires in (
        ("anna", 10, 6), ("anna", 5, 6.5), ("anna", 7, 20), ("ben", 3, 2), ("carl", 4, 6), ("dora", 9, 6)
    ):  # fmt: skip
        ledger.apply(earn(amount, expires, user_id=user))
    ledger.apply(
        Freeze(**ANNA, amount=4),
        Spend(tenant_id="shop", user_id="carl", amount=4),
        SetExpiryExemption(tenant_id="shop", user_id="dora", exempt=True, reason="the law"),
    )

    def found(after: float, until: float, reached: Any = (None, ""), **tenant: Any) -> list[Any]:
        with ledger.database.connect() as connection:
            known = program.tenant(connection, "shop").model_copy(update=tenant)
            return expiring.accounts_expiring(connection, known, days(after), days(until), reached, 1)

    (anna,) = found(5, 7)
    assert (anna.user_id, anna.expires_at, anna.lots, anna.points) == ("anna", days(6), 2, 11)
    assert found(5, 7, anna[:2]) == []
    (ben,) = found(0, 7)
    assert (ben.user_id, found(0, 7, ben[:2])[0].user_id) == ("ben", "anna")
    assert found(7, 19) == []
    assert found(5, 7, expires_not_before=days(9)) == []
    at_the_end = found(8, 10, expires_not_before=days(9))
    assert [(each.user_id, each.expires_at) for each in at_the_end] == [("ben", days(9))]

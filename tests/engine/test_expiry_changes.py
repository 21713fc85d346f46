"""Moved expiries, exemptions and notices on the real ledger. E7 to E9 and E13 are the acceptance cases'."""

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
from pointledger.jobs.scheduler import Sweep
from pointledger.observability.verify import audit
from pointledger.storage.ledger import program
from pointledger.storage.queries import expiring
from tests.ledger import Ledger, data_of

NOW = datetime.now(UTC)
ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


@pytest.fixture(autouse=True)
def shop(ledger: Ledger) -> None:
    ledger.tenant()


def days(number: float) -> datetime:
    return NOW + timedelta(days=number)


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


def sweep_of(ledger: Ledger) -> Sweep:
    return Sweep(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))


def policy_of(ledger: Ledger) -> PolicyChange:
    return PolicyChange(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))


def sound(ledger: Ledger) -> bool:
    return audit(ledger.database).violations == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_extended_is_found_wherever_lots_are(ledger: Ledger, at_once: bool) -> None:
    """Active, pending, wholly held; however the commands are cut into batches."""
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
    assert sound(ledger)


def test_an_extended_lot_is_not_swept_before_its_new_expiry(ledger: Ledger) -> None:
    ledger.apply(earn(10, -2, occurred_at=days(-9)), earn(5, -1, occurred_at=days(-9)))
    ledger.apply(extend(expiring_before=days(-1), expires_at=days(-0.5), occurred_at=days(-9)))
    for as_of, left in ((days(-0.9), 10), (days(-0.4), 0)):
        list(sweep_of(ledger).expire_now(as_of, "shop"))
        ledger.drain()
        assert ledger.balance("anna") == left
    assert sound(ledger)


def test_r2_a_refund_goes_by_the_order_in_which_lots_paid_before_they_were_moved(ledger: Ledger) -> None:
    ledger.apply(earn(10, 5), earn(10, 6), Spend(**ANNA, amount=3), Spend(**ANNA, amount=12))
    both, first = (parse_id(entry["id"]) for entry in ledger.entries("anna")[:2])
    earned = parse_id(ledger.entries("anna")[-1]["id"])
    assert ledger.apply(extend(lots=(earned,), days=9))[0].reason == "RELATED_NOT_FOUND", "nothing is left"
    ledger.apply(Refund(**ANNA, amount=3, related_id=first))
    data_of(ledger.apply(extend(lots=(earned,), days=9))[0])  # the lot that paid first is the last one now
    ledger.apply(Refund(**ANNA, amount=6, related_id=both))
    assert [(left, end) for left, end, _ in lots(ledger)] == [(10, days(6)), (4, days(14))]
    assert sound(ledger)


def test_why_tells_how_a_lots_expiry_was_moved(ledger: Ledger) -> None:
    ledger.apply(earn(10, 5), extend(expiring_before=days(6), never=True))
    (entry,) = ledger.entries("anna")
    why = ledger.client.why("shop", entry["id"])
    (lot,) = why.lots_arrived
    (change,) = lot["expiry_changes"]
    assert (change["was"], change["becomes"], change["cause"]) == (entry["expires_at"], None, "extend")
    told = f"The expiry of lot {lot['lot_id']} was moved from {change['was']} to never"
    assert any(sentence.startswith(told) for sentence in why.told)


# --------------------------------------------------------------------------------- exemptions, notices


def test_e13_sweeps_step_over_exempt_accounts_and_lookups_report_them(ledger: Ledger) -> None:
    exempt = SetExpiryExemption(**ANNA, exempt=True, reason="the law")
    ben = {"tenant_id": "shop", "user_id": "ben"}
    ledger.apply(earn(10, -1), earn(5, -0.5, **ben), earn(3, 3))
    ledger.apply(exempt)
    (preview,) = ledger.client.preview_of_sweep("shop")
    assert (preview["points"], preview["exempt_accounts"], preview["exempt_points"]) == (5, 0, 0), (
        "what was due when the account was exempted had expired by then"
    )
    ledger.apply(earn(10, -1, occurred_at=days(-2)))
    (preview,) = ledger.client.preview_of_sweep("shop")
    assert (preview["points"], preview["exempt_accounts"], preview["exempt_points"]) == (5, 1, 10)
    assert [len(receipt.task_ids) for receipt in sweep_of(ledger).expire_now(tenant_id="shop", limit=1)] == [
        1
    ]
    ledger.drain()
    assert (ledger.balance("anna"), ledger.balance("ben")) == (13, 0)
    assert ledger.account("anna")["expiry_exempt"] is True
    assert ledger.client.account("shop", "anna", NOW + timedelta(days=1))["expiry_exempt"] is None
    assert ledger.client.expiring("shop", "anna").expiry_exempt is True
    assert sound(ledger)


def test_e13_a_lifted_exemption_gives_notice(ledger: Ledger) -> None:
    for exempt in (True, False):
        ledger.apply(earn(1, None), SetExpiryExemption(**ANNA, exempt=exempt, reason="the law"))
    ledger.apply(earn(10, -1, occurred_at=days(-2)))
    ledger.apply(ExpireDue(**ANNA, as_of=days(0)))
    assert ledger.balance("anna") == 12
    assert list(sweep_of(ledger).expire_now(tenant_id="shop")) == []
    account = ledger.account("anna")
    midnight = datetime.combine(days(30).date(), datetime.min.time(), UTC)
    assert account["expires_not_before"] == midnight.isoformat().replace("+00:00", "Z")
    soon = ledger.client.expiring("shop", "anna", 31)
    assert (soon.points, soon.expires_not_before) == (10, account["expires_not_before"])
    assert ledger.client.expiring("shop", "anna", 29).points == 0
    assert sound(ledger)


def test_e8_switching_expiry_on_for_old_lots_gives_notice_and_a_sweep_finds_nothing_till_then(
    ledger: Ledger,
) -> None:
    ledger.tenant(expire_enabled=False)
    ledger.apply(earn(10, -50), earn(5, -40))
    ledger.tenant(expiry_notice_days=10)
    with ledger.database.connect() as connection:
        over = program.tenant(connection, "shop").expires_not_before
    assert over == datetime.combine(days(10).date(), datetime.min.time(), UTC)
    assert list(sweep_of(ledger).expire_now(tenant_id="shop")) == []
    ledger.apply(ExpireDue(**ANNA, as_of=days(0)), Spend(**ANNA, amount=4))
    assert ledger.balance("anna") == 11
    ledger.tenant(expiry_notice_days=1)
    (preview,) = ledger.client.preview_of_sweep("shop")
    assert preview["expires_not_before"] == over.isoformat().replace("+00:00", "Z"), "it is not taken back"
    assert (preview["accounts"], preview["points"]) == (1, 11)
    assert sound(ledger)


def test_e8_the_switch_stops_a_sweep_at_once_also_one_whose_commands_wait(ledger: Ledger) -> None:
    ledger.apply(earn(10, -1))
    assert [receipt.new for receipt in sweep_of(ledger).expire_now(tenant_id="shop")] == [1]
    ledger.tenant(expire_enabled=False)
    ledger.drain()
    assert ledger.balance("anna") == 10


# ------------------------------------------------------------------------------------ changed policies


def test_e7_a_changed_policy_is_applied_to_lots_that_are_there_only_where_somebody_asks(
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
    list(change.apply("shop"))  # asked again before it is applied
    ledger.drain()
    assert [(left, end, nth) for left, end, nth in lots(ledger, "ben")] == [(25, days(80), 1)]
    assert [report.accounts for report, _ in change.apply("shop")] == [0], "what was moved is not moved again"
    assert sound(ledger)

    ledger.tenant(default_expiry_days=365, transfer_enabled=True)
    list(change.apply("shop"))
    ledger.drain()
    ledger.tenant(default_expiry_days=180, transfer_enabled=True)
    list(change.apply("shop"))
    ledger.drain()
    assert lots(ledger, "ben") == [(25, days(80), 3)], "to and fro"
    assert sound(ledger)


def test_e7_lots_that_would_be_gone_are_given_notice_and_those_of_an_administrator_are_left(
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
    assert report.not_before == datetime.combine(days(3).date(), datetime.min.time(), UTC)
    assert [end for _, end, _ in lots(ledger)] == [report.not_before, days(266)]
    assert sound(ledger)


# ---------------------------------------------------------------------------------------- who is warned


def test_e14_accounts_of_which_something_expires_within_a_window_are_found_page_by_page(
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
    held_back = found(8, 10, expires_not_before=days(9))
    assert [(each.user_id, each.expires_at) for each in held_back] == [("ben", days(9))]

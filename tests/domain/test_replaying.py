"""Tests that each replayed batch starts from the state of the one before."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pointledger.domain.commands import (
    AnyCommand,
    ApplyRule,
    Clawback,
    ConfirmDeduction,
    Earn,
    EraseUser,
    Freeze,
    Refund,
    Spend,
    Transfer,
)
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Applied, Decision, Refused
from pointledger.domain.decisions.replay import DecidedBatch, TenantBatch, TenantState, decide_batch
from pointledger.domain.program.limits import ALL_USERS
from pointledger.domain.program.matching import Match
from pointledger.domain.program.rule import Rule, rule_from
from pointledger.domain.program.rules import Rules
from pointledger.domain.program.tenant import tenant_from
from pointledger.ids import new_id
from tests.domain.books import NOON, SHOP

ANNA: dict[str, Any] = {"tenant_id": SHOP, "user_id": "anna"}
BEN: dict[str, Any] = {"tenant_id": SHOP, "user_id": "ben"}


class Replay:
    """A tenant's batches, one hour apart."""

    def __init__(self, *rules: dict[str, Any], **config: Any) -> None:
        self.state = TenantState()
        self.tenant = tenant_from({"tenant_id": SHOP, "transfer_enabled": True, **config})
        self.rules = tuple(Rule(new_id(), 1, None, rule_from(rule)) for rule in rules)
        self.batches = 0

    @property
    def now(self) -> datetime:
        return NOON + timedelta(hours=self.batches)

    def batch(self, *commands: AnyCommand, wanted: dict[UUID, list[Match]] | None = None) -> DecidedBatch:
        self.batches += 1
        accepted = [Accepted(nth, command, self.now) for nth, command in enumerate(commands)]
        rules = Rules(self.rules)
        return decide_batch(
            self.state, TenantBatch(SHOP, self.batches, self.now, self.tenant, rules, accepted, wanted or {})
        )

    def one(self, command: AnyCommand) -> Decision | Exception:
        return self.batch(command).made[0]


def data(decision: Decision | Exception) -> dict[str, Any]:
    assert isinstance(decision, Applied), decision
    return decision.data


def reason(decision: Decision | Exception) -> str:
    assert isinstance(decision, Refused), decision
    return decision.reason.value


def test_points_are_earned_and_spent_across_batches() -> None:
    replay = Replay()
    replay.batch(Earn(**ANNA, amount=30), Earn(**BEN, amount=1))
    replay.batch(Spend(**ANNA, amount=10), Transfer(**ANNA, to_user_id="ben", amount=5))
    anna, ben = (replay.state.accounts[user] for user in ("anna", "ben"))
    assert (anna.balance, ben.balance, anna.version) == (15, 6, 3)
    assert [lot.remaining for lot in anna.lots] == [15]


def test_the_same_commands_in_the_same_batches_give_the_same_ids() -> None:
    commands: list[AnyCommand] = [Earn(**ANNA, amount=30), Freeze(**ANNA, amount=5), Spend(**ANNA, amount=3)]
    one, other = (Replay().batch(*commands).book for _ in range(2))
    assert one.entries == other.entries
    assert one.moves == other.moves
    assert [lot.id for lot in one.new_lots] == [lot.id for lot in other.new_lots]


def test_a_spend_is_refunded_to_ended_lots() -> None:
    replay = Replay()
    replay.one(Earn(**ANNA, amount=10, expires_at=NOON + timedelta(days=9)))
    replay.one(Earn(**ANNA, amount=20))
    spend = data(replay.one(Spend(**ANNA, amount=30)))["transactions"][0]["id"]
    assert len(replay.state.lots) == 2
    replay.one(Refund(**ANNA, amount=25, related_id=spend))
    assert [lot.remaining for lot in replay.state.accounts["anna"].lots] == [5, 20]
    assert reason(replay.one(Refund(**ANNA, amount=6, related_id=spend))) == "RELATED_NOT_REVERSIBLE"
    assert reason(replay.one(Refund(**BEN, amount=6, related_id=spend))) == "ACCOUNT_NOT_FOUND"


def test_a_clawback_counts_points_that_expired_in_other_lots() -> None:
    """10 points are granted, transferred, returned and expired, so a clawback takes none."""
    replay = Replay()
    soon = NOON + timedelta(hours=9)
    earned = data(replay.one(Earn(**ANNA, amount=10, expires_at=soon)))["transactions"][0]["id"]
    replay.one(Earn(**BEN, amount=1, expires_at=soon + timedelta(days=9)))
    replay.one(Transfer(**ANNA, to_user_id="ben", amount=10))
    replay.one(Transfer(**BEN, to_user_id="anna", amount=10))
    replay.batches = 9
    taken = data(replay.one(Clawback(**ANNA, related_id=earned, policy="arrears")))
    assert (taken["requested"], taken["clawed_back"], taken["debt_added"]) == (10, 0, 0)
    assert sum(replay.state.elsewhere.values()) == 10


def test_a_closed_hold_stays_known() -> None:
    replay = Replay()
    replay.one(Earn(**ANNA, amount=10))
    hold = data(replay.one(Freeze(**ANNA, amount=10)))["hold_id"]
    replay.one(ConfirmDeduction(**ANNA, hold_id=hold))
    assert not replay.state.accounts["anna"].holds
    again = replay.one(ConfirmDeduction(**ANNA, hold_id=hold))
    assert isinstance(again, Refused)
    assert again.message == "the hold is captured"


def test_user_limits_and_shared_limits_count_across_batches() -> None:
    limits = [{"period": "day", "max": 15}, {"scope": "rule", "period": "day", "max": 25}]
    replay = Replay({"name": "visits", "event_type": "visit", "points": 10, "limits": limits})
    visits = [ApplyRule(**user, event_type="visit") for user in (ANNA, ANNA, BEN, BEN)]
    assert [data(replay.one(visit))["points_earned"] for visit in visits] == [10, 5, 10, 0]
    used = {(window.user_id, window.period): used.points for window, used in replay.state.usage.items()}
    assert used == {("anna", "day"): 15, ("ben", "day"): 10, (ALL_USERS, "day"): 25}


def test_recorded_matches_replace_the_facts_of_a_redacted_event() -> None:
    base = {"kind": "per_unit", "field": "n", "per": 1, "points": 1}
    replay = Replay({"name": "all", "event_type": "visit", "base": base, "daily_limit": 50})
    visit = ApplyRule(**ANNA, event_type="visit")
    assert reason(replay.one(visit)) == "NO_MATCHING_RULE"
    wanted = {visit.id: [Match(replay.rules[0], 70)]}
    assert data(replay.batch(visit, wanted=wanted).made[0])["points_earned"] == 50


def test_an_erased_user_has_the_pseudonym_from_the_first_command() -> None:
    """The replay needs no key, because the commands already have the pseudonym."""
    replay = Replay()
    erased: dict[str, Any] = {"tenant_id": SHOP, "user_id": "erased:0"}
    replay.one(Earn(**erased, amount=10))
    assert data(replay.one(EraseUser(**erased)))["account"]["user_id"] == "erased:0"
    assert reason(replay.one(Earn(**erased, amount=10))) == "ACCOUNT_ERASED"


def test_commands_of_an_unknown_tenant_are_refused() -> None:
    earn = Accepted(1, Earn(**ANNA, amount=1), NOON)
    decided = decide_batch(TenantState(), TenantBatch(SHOP, 1, NOON, None, Rules(), [earn]))
    assert reason(decided.made[0]) == "TENANT_UNKNOWN"


def test_an_undecidable_command_is_reported_and_the_next_one_is_decided() -> None:
    """Only recorded data can be like this, because every entry point validates commands."""
    replay = Replay()
    replay.one(Earn(**ANNA, amount=10))
    replay.state.accounts["anna"].balance = 11  # without a lot
    made = replay.batch(Spend(**ANNA, amount=11), Earn(**BEN, amount=1)).made
    assert isinstance(made[0], AssertionError)
    assert data(made[1])["points_earned"] == 1

"""Tests refusals: each gives the first applicable reason and changes nothing."""

import re
from pathlib import Path

import pytest

from pointledger.domain.commands.outcomes import Outcome, Reason, State
from tests.domain.books import APRIL, Shop, refusal_of
from tests.domain.refusals import CHAINS
from tests.domain.shops import new_shop

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("chain", CHAINS)
def test_a_refusal_gives_the_first_reason_in_order(chain: str) -> None:
    apply_command, faults = CHAINS[chain]
    given = []
    for cured in range(len(faults)):
        shop = new_shop()
        for _, break_it in reversed(faults[cured:]):
            break_it(shop)
        given.append(refusal_of(apply_command(shop)).reason)
    assert given == [reason for reason, _ in faults]
    order = list(Reason)
    assert given == sorted(given, key=order.index)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_refusal_changes_nothing(chain: str) -> None:
    apply_command, faults = CHAINS[chain]
    for _, break_it in faults:
        shop = new_shop()
        break_it(shop)
        before = _state(shop)
        refusal_of(apply_command(shop))
        assert _state(shop) == before


def _state(shop: Shop) -> str:
    book = shop.book
    used = {window: usage for window, usage in book.usage.items() if usage.changed}
    return repr((book.accounts, book.entries, book.new_lots, book.moves, used))


def test_the_reasons_are_in_the_order_of_the_specification() -> None:
    specified = (
        "TENANT_UNKNOWN FEATURE_DISABLED SELF_TRANSFER ACCOUNT_NOT_FOUND ACCOUNT_EXISTS ACCOUNT_SUSPENDED "
        "ACCOUNT_CLOSED ACCOUNT_ERASED "
        "OPEN_HOLDS RECIPIENT_NOT_FOUND RECIPIENT_INACTIVE WALLET_NOT_FOUND WALLET_INACTIVE "
        "CURRENCY_MISMATCH AMOUNT_INVALID RELATED_NOT_FOUND RELATED_NOT_REVERSIBLE "
        "NO_MATCHING_RULE BELOW_MINIMUM LIMIT_REACHED MAX_BALANCE INSUFFICIENT_BALANCE INSUFFICIENT_FROZEN "
        "FIGURE_TOO_LARGE"
    )
    assert [reason.value for reason in Reason] == specified.split()


def test_final_states_are_applied_refused_and_dead() -> None:
    states: tuple[State, ...] = ("pending", "applied", "refused", "dead", "unknown")
    assert [Outcome("x", state=state).is_final for state in states] == [False, True, True, True, False]


def test_an_outcome_has_one_json_form() -> None:
    outcome = Outcome("x", "shop", "spend", "refused", "BELOW_MINIMUM", "too few", APRIL, APRIL)
    assert outcome.as_json() == {
        "task_id": "x",
        "tenant_id": "shop",
        "kind": "spend",
        "state": "refused",
        "reason": "BELOW_MINIMUM",
        "message": "too few",
        "accepted_at": "2026-04-01T00:00:00Z",
        "applied_at": "2026-04-01T00:00:00Z",
        "data": None,
    }


@pytest.mark.parametrize("reason", Reason)
def test_another_test_file_covers_every_reason(reason: Reason) -> None:
    word = re.compile(rf"\b{reason.name}\b")
    assert any(
        word.search(file.read_text(encoding="utf-8"))
        for file in TESTS.rglob("test_*.py")
        if file != Path(__file__)
    )

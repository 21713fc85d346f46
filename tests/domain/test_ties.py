"""Tests ties: lots of equal expiry and age are consumed in order of arrival."""

from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import OpeningLot
from tests.domain.books import NOON, SHOP, Shop, data_of, moment

APRIL, TENTH = moment("2026-04-01"), moment("2026-03-10")
# Ids are hashes of command ids. With these ids, an order by id comes out both ways.
COMMANDS = [UUID(int=number << 64) for number in range(1, 6)]


def earned(shop: Shop, user_id: str, amounts: tuple[int, ...], ids: list[UUID], **more: Any) -> Shop:
    """Earn lots of one moment and expiry by commands with these ids."""
    for amount, command_id in zip(amounts, ids, strict=True):
        data_of(shop.earn(user_id, amount, expires_at=APRIL, id=command_id, **more))
    return shop


def anna_has(ids: list[UUID], **more: Any) -> Shop:
    """Let Anna earn 1, then 2, then 4 points."""
    return earned(Shop(transfer_enabled=True), "anna", (1, 2, 4), ids, **more)


each_way = pytest.mark.parametrize("ids", [COMMANDS[:3], COMMANDS[1:4], COMMANDS[2:], COMMANDS[2::-1]])


@each_way
def test_lots_are_spent_in_order_of_arrival(ids: list[UUID]) -> None:
    shop = anna_has(ids)
    shop.spend("anna", 2)
    assert shop.left("anna") == [1, 4]


@each_way
def test_lots_are_held_captured_and_released_in_order_of_arrival(ids: list[UUID]) -> None:
    shop = anna_has(ids)
    hold = shop.hold("anna", 6)
    assert [(held.lot.amount, held.frozen) for held in hold.lots] == [(1, 1), (2, 2), (4, 3)]
    shop.unfreeze("anna", hold_id=hold.id, amount=4)  # the points that stay held would be spent first
    assert [(held.lot.amount, held.frozen) for held in hold.lots] == [(1, 1), (2, 1), (4, 0)]
    shop.capture("anna", hold.id, amount=1)
    assert shop.left("anna") == [2, 4]


@each_way
def test_a_refund_restores_the_last_lot_first(ids: list[UUID]) -> None:
    shop = anna_has(ids)
    shop.spend("anna", 7)
    shop.refund("anna", 5, shop.last_entry("anna"))
    assert [(lot.amount, lot.remaining) for lot in shop.lots("anna")] == [(2, 1), (4, 4)]


@each_way
def test_transferred_lots_keep_their_order_behind_the_recipients_lots(ids: list[UUID]) -> None:
    shop = earned(anna_has(ids), "ben", (1, 2, 4), [UUID(int=9), UUID(int=8), UUID(int=7)])
    shop.transfer("anna", "ben", 7)
    assert shop.left("ben") == [1, 2, 4, 1, 2, 4]


@each_way
def test_lots_of_one_moment_activate_and_repay_debt_in_order_of_arrival(ids: list[UUID]) -> None:
    shop = anna_has(ids, activates_at=TENTH)
    shop.earn("anna", 2)
    earned = shop.last_entry("anna")
    shop.spend("anna", 2)
    shop.clawback("anna", earned, policy="arrears")
    shop.activate_due("anna", TENTH)
    assert [entry.amount for entry in shop.entries("anna") if entry.subtype == "activation"] == [1, 2, 4]
    assert [(lot.amount, lot.remaining) for lot in shop.lots("anna")] == [(2, 1), (4, 4)]


@each_way
def test_the_first_of_equal_remainders_rounds_up(ids: list[UUID]) -> None:
    shop = earned(Shop(), "anna", (1, 1, 1), ids)
    first = shop.lots("anna")[0]
    shop.expire("anna", 1, strategy="pro_rata")
    assert (first.remaining, first.entry_id) == (0, shop.entries("anna")[0].id)


def test_lots_of_one_entry_are_consumed_in_their_order() -> None:
    shop = Shop()
    shop.open("anna", *(OpeningLot(amount=amount, earned_at=NOON, expires_at=APRIL) for amount in (3, 1, 2)))
    shop.spend("anna", 4)
    assert shop.left("anna") == [2]


@each_way
def test_ids_of_a_batch_sort_in_order_of_creation(ids: list[UUID]) -> None:
    shop = anna_has(ids)
    made = [entry.id for entry in shop.book.entries]
    assert made == sorted(made)


def test_rules_of_equal_priority_grant_in_order_of_creation() -> None:
    shop = Shop()
    first, second = shop.rule(name="b", points=1), shop.rule(name="a", points=2)
    shop.rule(name="b", points=3, in_force_from=moment("2026-02-01"))
    rules = shop.book.rules[SHOP].for_event("visit", NOON)
    assert [rule.id for rule in rules] == [first.id, second.id]

"""`link`, `link_error` and `chain`: another service's Celery worker receives them after the final outcome."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, group

from pointledger.domain.values.actor import Actor
from tests.integrations.running import SECONDS, RunningLedger
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def shop(running: RunningLedger) -> Iterator[Celery]:
    """Another service's worker on the queue `shop`. Its task returns its arguments."""
    with running.shop() as app:
        yield app


def remember(app: Celery, *args: object, **options: Any) -> Any:
    """Return a signature of the shop's task with a known id, so that its result can be read."""
    return app.signature("shop.remember", args=args, queue="shop", task_id=str(uuid.uuid4()), **options)


def received(app: Celery, signature: Any) -> list[Any]:
    """Return the arguments that the signature's task received."""
    positional, _ = app.AsyncResult(signature.options["task_id"]).get(timeout=SECONDS)
    return list(positional)


def test_a_link_is_called_with_the_outcome_of_what_was_applied(running: RunningLedger, shop: Celery) -> None:
    after, instead = remember(shop, "and more"), remember(shop)
    outcome = running.outcome_of(link=after, link_error=instead)
    assert received(shop, after) == [outcome, "and more"]
    assert shop.AsyncResult(instead.options["task_id"]).state == "PENDING"


def test_an_error_link_is_called_with_the_outcome_of_what_was_refused(
    running: RunningLedger, shop: Celery
) -> None:
    after, instead = remember(shop), remember(shop)
    outcome = running.outcome_of(name="points.spend", kwargs=running.user(), link=after, link_error=instead)
    assert outcome["reason"] == "ACCOUNT_NOT_FOUND"
    assert received(shop, instead) == [outcome]
    assert shop.AsyncResult(after.options["task_id"]).state == "PENDING"


@pytest.mark.parametrize(
    "invalid",
    [
        {"name": "points.earnn"},
        {"kwargs": {"tenant_id": "shop"}},
        {"expires": -1},
        {"args": [1]},
        {"chord": {"task": "shop.all"}},
    ],
)
def test_a_rejected_message_calls_its_error_link(
    running: RunningLedger, shop: Celery, invalid: dict[str, Any]
) -> None:
    instead = remember(shop)
    outcome = running.outcome_of(link_error=instead, **invalid)
    assert outcome["state"] == "refused"
    assert received(shop, instead) == [outcome]


def test_an_immutable_link_is_called_with_its_own_arguments(running: RunningLedger, shop: Celery) -> None:
    after = remember(shop, "as it is", immutable=True)
    running.outcome_of(link=after)
    assert received(shop, after) == ["as it is"]


def test_several_links_groups_and_chains_are_all_called(running: RunningLedger, shop: Celery) -> None:
    one, two, three = (remember(shop, immutable=True) for _ in range(3))
    first, second = remember(shop, "first"), remember(shop, "second")
    outcome = running.outcome_of(link=[one, group([two, three]), chain(first, second)])
    assert [received(shop, each) for each in (one, two, three)] == [[], [], []]
    assert received(shop, first) == [outcome, "first"]
    assert received(shop, second) == [[[outcome, "first"], {}], "second"]


def test_a_chain_continues_after_a_command_and_can_be_awaited(running: RunningLedger, shop: Celery) -> None:
    user = running.user()
    earn = shop.signature("points.earn", kwargs=user, queue="points.commands")
    spend = shop.signature(
        "points.spend", kwargs=user | {"amount": 2}, queue="points.commands", immutable=True
    )
    last = chain(earn, spend, shop.signature("shop.remember", queue="shop")).apply_async()
    (outcome,), _ = last.get(timeout=SECONDS)
    assert (outcome["kind"], outcome["data"]["account"]["balance"]) == ("spend", 3)
    assert last.parent.get(timeout=SECONDS)["kind"] == "spend"
    assert last.parent.parent.get(timeout=SECONDS)["kind"] == "earn"


def test_a_chain_ends_with_a_refusal_and_calls_its_error_link(running: RunningLedger, shop: Celery) -> None:
    instead = remember(shop)
    spend = shop.signature("points.spend", kwargs=running.user(), queue="points.commands")
    last = chain(spend, shop.signature("shop.remember", queue="shop")).apply_async(link_error=instead)
    (outcome,) = received(shop, instead)
    assert outcome["reason"] == "ACCOUNT_NOT_FOUND"
    assert last.state == "PENDING"


def test_a_command_as_a_link_needs_no_queue(running: RunningLedger, shop: Celery) -> None:
    user, task_id = running.user(), str(uuid.uuid4())
    follow = shop.signature("points.spend", kwargs=user, immutable=True, task_id=task_id)
    running.outcome_of(kwargs=user, link=follow)
    assert running.get(shop.AsyncResult(task_id))["state"] == "applied"


def test_a_link_of_a_duplicate_is_called_with_the_first_outcome(running: RunningLedger, shop: Celery) -> None:
    keyed = running.user() | {"idempotency_key": str(uuid.uuid4())}
    first = running.outcome_of(kwargs=keyed)
    after = remember(shop)
    again = running.outcome_of(kwargs=keyed, link=after)
    assert again["data"] == first["data"]
    assert received(shop, after) == [again]


def test_a_link_of_a_deferred_command_is_called_after_it_was_applied(
    running: RunningLedger, shop: Celery
) -> None:
    after = remember(shop)
    outcome = running.outcome_of(countdown=1, link=after)
    assert received(shop, after) == [outcome]


def test_a_canceled_command_calls_its_error_link(running: RunningLedger, shop: Celery) -> None:
    client = running.ledger.client
    instead = remember(shop)
    client.pause("shop", Actor())
    try:
        sent = running.send(link_error=instead)
        wait_until(lambda: client.outcome(sent.id).state == "pending", "it is accepted")
        client.cancel(sent.id, Actor())
    finally:
        client.resume("shop", Actor())
    (outcome,) = received(shop, instead)
    assert outcome["reason"] == "CANCELLED"


def test_a_link_that_cannot_be_sent_does_not_block_others(running: RunningLedger, shop: Celery) -> None:
    hopeless = {
        "task": "celery.chain",
        "args": [],
        "kwargs": {"tasks": []},
        "options": {},
        "subtask_type": "chain",
    }
    after = remember(shop)
    outcome = running.outcome_of(link=[hopeless, after])
    assert received(shop, after) == [outcome]

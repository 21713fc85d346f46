"""link, link_error and chain: what follows a command is sent when its outcome is final, to somebody's own
worker, which is Celery's."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, group

from pointledger.domain.values.actor import By
from tests.integrations.house import SECONDS, House
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def shop(shop_house: House) -> Iterator[Celery]:
    """Somebody's worker on the queue `shop`; its task tells what it was called with."""
    with shop_house.shop() as app:
        yield app


def remember(app: Celery, *args: object, **options: Any) -> Any:
    """A signature of the shop's task under an id that is known, so that what came of it can be asked."""
    return app.signature("shop.remember", args=args, queue="shop", task_id=str(uuid.uuid4()), **options)


def heard(app: Celery, signature: Any) -> list[Any]:
    """With what the task of this signature was called."""
    positional, _ = app.AsyncResult(signature.options["task_id"]).get(timeout=SECONDS)
    return list(positional)


def test_a_link_is_called_with_the_outcome_of_what_was_applied(shop_house: House, shop: Celery) -> None:
    after, instead = remember(shop, "and more"), remember(shop)
    outcome = shop_house.outcome_of(link=after, link_error=instead)
    assert heard(shop, after) == [outcome, "and more"]
    assert shop.AsyncResult(instead.options["task_id"]).state == "PENDING"


def test_an_error_link_is_called_with_the_outcome_of_what_was_refused(
    shop_house: House, shop: Celery
) -> None:
    after, instead = remember(shop), remember(shop)
    outcome = shop_house.outcome_of(
        name="points.spend", kwargs=shop_house.user(), link=after, link_error=instead
    )
    assert outcome["reason"] == "ACCOUNT_NOT_FOUND"
    assert heard(shop, instead) == [outcome]
    assert shop.AsyncResult(after.options["task_id"]).state == "PENDING"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "points.earnn"},
        {"kwargs": {"tenant_id": "shop"}},
        {"expires": -1},
        {"args": [1]},
        {"chord": {"task": "shop.all"}},
    ],
)
def test_what_was_refused_at_the_door_calls_its_error_link_too(
    shop_house: House, shop: Celery, wrong: dict[str, Any]
) -> None:
    instead = remember(shop)
    outcome = shop_house.outcome_of(link_error=instead, **wrong)
    assert outcome["state"] == "refused"
    assert heard(shop, instead) == [outcome]


def test_an_immutable_link_is_called_as_it_is(shop_house: House, shop: Celery) -> None:
    after = remember(shop, "as it is", immutable=True)
    shop_house.outcome_of(link=after)
    assert heard(shop, after) == ["as it is"]


def test_several_links_groups_and_chains_are_all_called(shop_house: House, shop: Celery) -> None:
    one, two, three = (remember(shop, immutable=True) for _ in range(3))
    first, second = remember(shop, "first"), remember(shop, "second")
    outcome = shop_house.outcome_of(link=[one, group([two, three]), chain(first, second)])
    assert [heard(shop, each) for each in (one, two, three)] == [[], [], []]
    assert heard(shop, first) == [outcome, "first"]
    assert heard(shop, second) == [[[outcome, "first"], {}], "second"]


def test_a_chain_goes_on_behind_a_command_and_its_end_can_be_awaited(shop_house: House, shop: Celery) -> None:
    user = shop_house.user()
    earn = shop.signature("points.earn", kwargs=user, queue="points.commands")
    spend = shop.signature(
        "points.spend", kwargs=user | {"amount": 2}, queue="points.commands", immutable=True
    )
    last = chain(earn, spend, shop.signature("shop.remember", queue="shop")).apply_async()
    (outcome,), _ = last.get(timeout=SECONDS)
    assert (outcome["kind"], outcome["data"]["account"]["balance"]) == ("spend", 3)
    assert last.parent.get(timeout=SECONDS)["kind"] == "spend"
    assert last.parent.parent.get(timeout=SECONDS)["kind"] == "earn"


def test_a_chain_ends_with_a_refusal_and_calls_its_error_link(shop_house: House, shop: Celery) -> None:
    instead = remember(shop)
    spend = shop.signature("points.spend", kwargs=shop_house.user(), queue="points.commands")
    last = chain(spend, shop.signature("shop.remember", queue="shop")).apply_async(link_error=instead)
    (outcome,) = heard(shop, instead)
    assert outcome["reason"] == "ACCOUNT_NOT_FOUND"
    assert last.state == "PENDING"


def test_a_command_of_ours_needs_no_queue_as_a_link(shop_house: House, shop: Celery) -> None:
    user, task_id = shop_house.user(), str(uuid.uuid4())
    follow = shop.signature("points.spend", kwargs=user, immutable=True, task_id=task_id)
    shop_house.outcome_of(kwargs=user, link=follow)
    assert shop_house.get(shop.AsyncResult(task_id))["state"] == "applied"


def test_a_link_of_a_repeated_message_is_called_with_the_first_outcome(
    shop_house: House, shop: Celery
) -> None:
    keyed = shop_house.user() | {"idempotency_key": str(uuid.uuid4())}
    first = shop_house.outcome_of(kwargs=keyed)
    after = remember(shop)
    again = shop_house.outcome_of(kwargs=keyed, link=after)
    assert again["data"] == first["data"]
    assert heard(shop, after) == [again]


def test_a_link_of_a_command_for_later_is_called_when_it_was_applied(shop_house: House, shop: Celery) -> None:
    after = remember(shop)
    outcome = shop_house.outcome_of(countdown=1, link=after)
    assert heard(shop, after) == [outcome]


def test_a_command_that_is_withdrawn_calls_its_error_link(shop_house: House, shop: Celery) -> None:
    client = shop_house.ledger.client
    instead = remember(shop)
    client.pause("shop", By())
    try:
        sent = shop_house.send(link_error=instead)
        wait_until(lambda: client.outcome(sent.id).state == "pending", "it is accepted")
        client.cancel(sent.id, By())
    finally:
        client.resume("shop", By())
    (outcome,) = heard(shop, instead)
    assert outcome["reason"] == "CANCELLED"


def test_a_link_that_nobody_can_send_stands_in_nobodys_way(shop_house: House, shop: Celery) -> None:
    hopeless = {
        "task": "celery.chain",
        "args": [],
        "kwargs": {"tasks": []},
        "options": {},
        "subtask_type": "chain",
    }
    after = remember(shop)
    outcome = shop_house.outcome_of(link=[hopeless, after])
    assert heard(shop, after) == [outcome]

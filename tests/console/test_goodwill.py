"""Support gives goodwill up to its limits, of a gift and of a day."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pointledger import Earn, Refund
from pointledger.ids import new_id
from tests.console.acting import add_member, checked
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment

User = Callable[[], str]
Browse = Callable[[str], Browsing]


def test_support_gives_goodwill_up_to_its_limit(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    add_member(console, anna)
    most = console.ledger.settings.console_goodwill_limit
    support = browse("support")
    page = support.html(f"/console/shop/members/{anna}/actions/goodwill")
    refused = support.send(page.form("/check"), amount=str(most + 1))
    assert refused.status_code == 422 and "at most 1,000" in Html(refused.text).words
    form = checked(support, anna, "goodwill", amount=str(most)).form("/goodwill")
    assert support.send(form, reason="late", amount=str(most + 1)).status_code == 422, (
        "the server checks again"
    )
    assert support.send(form, reason="late").status_code == 200
    assert console.ledger.balance(anna) == 700 + most
    checked(browse("admin"), anna, "goodwill", amount=str(most + 1))


def test_support_gives_goodwill_up_to_its_limit_of_a_day(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    own: dict[str, Any] = {"actor": "person:agent", "reason": "earlier today", "user_id": anna}
    applied(
        console,
        Earn(tenant_id="shop", user_id=anna, amount=1),
        Earn(tenant_id="other", user_id=anna, amount=1),
        Refund(tenant_id="shop", amount=9_000, **own),
        Refund(tenant_id="other", amount=900, **own),  # another tenant's
        Refund(tenant_id="shop", amount=900, related_id=new_id(), **own),  # refused
    )
    agent = browse("agent")
    first, second = (checked(agent, anna, "goodwill", amount="600").form("/goodwill") for _ in range(2))
    for _ in range(2):  # a double click counts once
        assert agent.send(first, reason="late").status_code == 200
    form = agent.html(f"/console/shop/members/{anna}/actions/goodwill").form("/check")
    for refused in (agent.send(second, reason="late"), agent.send(form, amount="401")):
        words = Html(refused.text).words
        assert refused.status_code == 422
        assert "you gave 9,600 of at most 10,000 a day, so 400 are left today" in words
    checked(agent, anna, "goodwill", amount="400")
    checked(browse("clerk"), anna, "goodwill", amount="600")
    checked(browse("admin"), anna, "goodwill", amount="10001")
    assert console.ledger.balance(anna) == 9_601


def test_gifts_at_once_are_counted_one_after_the_other(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    applied(console, Earn(tenant_id="shop", user_id=anna, amount=1))
    agent = browse("clerk")
    most, limit = (
        console.ledger.settings.console_goodwill_limit,
        console.ledger.settings.console_goodwill_daily_limit,
    )
    gifts = limit // most + 4
    forms = [checked(agent, anna, "goodwill", amount=str(most)).form("/goodwill") for _ in range(gifts)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda form: agent.send(form, reason="late").status_code, forms))
    assert sorted(answers) == [200] * (limit // most) + [422] * 4
    assert console.ledger.balance(anna) == 1 + limit

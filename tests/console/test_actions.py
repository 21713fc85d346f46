"""Each action shows what it would do, wants a reason, is one command even if it is sent twice, is audited."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pointledger import Earn, Freeze, Refund, Spend
from pointledger.api.console.pages.action_table import ACTIONS
from pointledger.domain.values.actor import check_actor, is_machine_name
from pointledger.ids import new_id, parse_id
from pointledger.settings import Settings
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment, open_console

User = Callable[[], str]
Browse = Callable[[str], Browsing]


@dataclass
class Case:
    """An action with fields that the ledger applies, and what changes then."""

    fields: Callable[[ConsoleEnvironment, str], dict[str, str]]
    changed: dict[str, Any] = field(default_factory=dict)


def _entry(console: ConsoleEnvironment, user: str, kind: str) -> str:
    return next(str(entry["id"]) for entry in console.ledger.entries(user) if entry["type"] == kind)


def _hold(console: ConsoleEnvironment, user: str) -> str:
    return str(console.ledger.client.holds("shop", user, state="open").holds[0]["id"])


# The member has earned 1,000 points that expire in 30 days and 80 that are pending, has spent 100 and 200 are
# frozen: 700 are available.
CASES = {
    "goodwill": Case(lambda *_: {"amount": "50"}, {"balance": 750}),
    "adjust": Case(lambda *_: {"amount": "-70"}, {"balance": 630}),
    "freeze": Case(lambda *_: {"amount": "30"}, {"balance": 670, "frozen_balance": 230}),
    "release": Case(
        lambda console, user: {"hold_id": _hold(console, user)}, {"balance": 900, "frozen_balance": 0}
    ),
    "capture": Case(lambda console, user: {"hold_id": _hold(console, user)}, {"frozen_balance": 0}),
    "refund": Case(
        lambda console, user: {"related_id": _entry(console, user, "spend"), "amount": "40"},
        {"balance": 740},
    ),
    "clawback": Case(
        lambda console, user: {
            "related_id": _oldest(console, user),
            "amount": "500",
            "policy": "within_balance",
        },
        {"balance": 200},
    ),
    "cancel-pending": Case(
        lambda console, user: {"related_id": _pending(console, user)}, {"pending_balance": 0}
    ),
    "extend": Case(lambda *_: {"expiring_before": "2999-01-01T00:00", "days": "10"}),
    "extend-lot": Case(lambda console, user: {"lots": _oldest(console, user), "days": "10"}),
    "exempt": Case(lambda *_: {"exempt": "yes"}, {"expiry_exempt": True}),
    "status": Case(lambda *_: {"status": "suspended"}, {"status": "suspended"}),
    "wallet": Case(lambda *_: {"type": "deposit", "amount": "12.50"}),
}
OTHERWISE = {"erase"}  # the member is gone afterwards, so it has tests of its own


def _oldest(console: ConsoleEnvironment, user: str) -> str:
    return str(console.ledger.entries(user)[-1]["id"])


def _pending(console: ConsoleEnvironment, user: str) -> str:
    return next(str(entry["id"]) for entry in console.ledger.entries(user) if entry["delta_pending"] > 0)


def _member(console: ConsoleEnvironment, user: str) -> None:
    now = datetime.now(UTC)
    applied(
        console,
        Earn(tenant_id="shop", user_id=user, amount=1_000, expires_at=now + timedelta(days=30)),
        Earn(tenant_id="shop", user_id=user, amount=80, activates_at=now + timedelta(days=3)),
        Spend(tenant_id="shop", user_id=user, amount=100),
        Freeze(tenant_id="shop", user_id=user, amount=200),
    )


def _acts(console: ConsoleEnvironment, user: str) -> list[dict[str, Any]]:
    return console.ledger.client.audit_log("shop", user_id=user, actor="person:admin")


def _check(browsing: Browsing, user: str, action: str, **fields: str) -> Html:
    """Fill in the form, and return the page that shows what it would do."""
    form = browsing.html(f"/console/shop/members/{user}/actions/{action}").form(f"/{action}/check")
    answer = browsing.send(form, **fields)
    assert answer.status_code == 200, Html(answer.text).words
    return Html(answer.text)


@pytest.mark.parametrize(
    "action", [each for each in ACTIONS if each.name not in OTHERWISE], ids=lambda action: action.name
)
def test_every_action_is_tried_first_then_confirmed_with_a_reason_and_audited(
    console: ConsoleEnvironment, browse: Browse, user: User, action: Any
) -> None:
    anna, case = user(), CASES[action.name]
    _member(console, anna)
    before = console.ledger.account(anna)
    browsing = browse("admin")
    check = _check(browsing, anna, action.name, **case.fields(console, anna))
    assert "Nothing has changed yet" in check.words
    assert console.ledger.account(anna) == before, "a dry run changes nothing"
    assert not _acts(console, anna)
    for figure in ("balance", "frozen_balance", "pending_balance"):
        if figure in case.changed:
            assert f"{before[figure]:,} {case.changed[figure]:,}" in check.words

    form = check.form(f"/{action.name}")
    without = browsing.send(form, reason=" ")
    assert without.status_code == 422 and "say why" in Html(without.text).words
    assert browsing.send(form, reason="x" * 201).status_code == 422
    assert not _acts(console, anna)

    done = browsing.send(form, reason="a test of it")
    assert done.status_code == 200 and f"{action.command.kind}: applied" in Html(done.text).words
    after = console.ledger.account(anna)
    assert {name: after[name] for name in case.changed} == case.changed
    (act,) = _acts(console, anna)
    assert (act["kind"], act["reason"], act["state"]) == (action.command.kind, "a test of it", "applied")


def test_the_wallet_is_shown_before_and_after_and_on_the_members_page(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    _member(console, anna)
    browsing = browse("admin")
    check = _check(browsing, anna, "wallet", type="deposit", amount="12.5")
    assert "Wallet, CNY none 12.50" in check.words
    browsing.send(check.form("/wallet"), reason="a complaint")
    assert "Wallet, CNY 12.50" in browsing.html(f"/console/shop/members/{anna}").words
    check = _check(browsing, anna, "wallet", type="withdraw", amount="0.50")
    assert "Wallet, CNY 12.50 12.00" in check.words
    check = _check(browsing, anna, "wallet", type="withdraw", amount="13")
    assert "INSUFFICIENT_BALANCE" in check.words
    form = browsing.html(f"/console/shop/members/{anna}/actions/wallet").form("/check")
    assert "AMOUNT_INVALID" in Html(browsing.send(form, type="deposit", amount="1.005").text).words


def test_a_member_is_erased_when_an_administrator_has_typed_the_id_once_more(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    applied(console, Earn(tenant_id="shop", user_id=anna, amount=70))
    account_id = console.ledger.account(anna)["id"]
    browsing = browse("admin")
    form = browsing.html(f"/console/shop/members/{anna}/actions/erase").form("/check")
    other = browsing.send(form, user_id="anna")
    assert other.status_code == 422 and "not the id of the member" in Html(other.text).words
    check = _check(browsing, anna, "erase", user_id=anna)
    assert "Points forfeited 70" in check.words and "active erased" in check.words
    assert console.ledger.balance(anna) == 70
    assert browsing.send(check.form("/erase"), reason="").status_code == 422

    done = browsing.send(check.form("/erase"), reason="asked for by letter")
    assert "/commands/" in done.url.path and "erase-user applied" in Html(done.text).words
    again = browsing.send(check.form("/erase"), reason="asked for by letter")
    assert again.url.path == done.url.path, "a double click is one command"
    assert browsing.get(f"/console/shop/members/{anna}").status_code == 404
    found = "SELECT user_id, status FROM accounts WHERE id = %(id)s"
    ((pseudonym, status),) = console.ledger.rows(found, id=parse_id(account_id))
    assert pseudonym.startswith("erased:") and status == "erased"
    acts = console.ledger.client.audit_log("shop", kind="erase-user", actor="person:admin")
    assert [act["state"] for act in acts if act["after"]["account"]["id"] == account_id] == ["applied"]


def test_a_refusal_is_shown_before_and_after_with_what_to_do(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    _member(console, anna)
    browsing = browse("admin")
    check = _check(browsing, anna, "adjust", amount="-701")
    assert "INSUFFICIENT_BALANCE" in check.words and "Ask for no more than the balance" in check.words
    assert not [form for form in check.forms if form.action.endswith("/adjust")], "nothing to confirm"

    check = _check(browsing, anna, "adjust", amount="-700")
    applied(console, Spend(tenant_id="shop", user_id=anna, amount=1))  # meanwhile
    ended = browsing.send(check.form("/adjust"), reason="too late")
    assert "/commands/" in ended.url.path
    assert "INSUFFICIENT_BALANCE" in Html(ended.text).words
    assert console.ledger.balance(anna) == 699


def test_a_form_that_is_sent_twice_is_one_command_and_with_other_content_none(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    _member(console, anna)
    browsing = browse("admin")
    form = _check(browsing, anna, "adjust", amount="5").form("/adjust")
    first = browsing.send(form, reason="once")
    second = browsing.send(form, reason="once")
    assert parse_qs(urlsplit(str(first.url)).query) == parse_qs(urlsplit(str(second.url)).query)
    assert console.ledger.balance(anna) == 705
    other = browsing.send(form, reason="once more")
    assert other.status_code == 409 and "sent before" in Html(other.text).words
    assert console.ledger.balance(anna) == 705
    again = _check(browsing, anna, "adjust", amount="5").form("/adjust")
    browsing.send(again, reason="once")
    assert console.ledger.balance(anna) == 710, "a form that is opened anew is another command"


def test_support_gives_goodwill_up_to_its_limit(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    _member(console, anna)
    most = console.ledger.settings.console_goodwill_limit
    support = browse("support")
    page = support.html(f"/console/shop/members/{anna}/actions/goodwill")
    refused = support.send(page.form("/check"), amount=str(most + 1))
    assert refused.status_code == 422 and "at most 1,000" in Html(refused.text).words
    form = _check(support, anna, "goodwill", amount=str(most)).form("/goodwill")
    assert support.send(form, reason="late", amount=str(most + 1)).status_code == 422, (
        "the server checks again"
    )
    assert support.send(form, reason="late").status_code == 200
    assert console.ledger.balance(anna) == 700 + most
    _check(browse("admin"), anna, "goodwill", amount=str(most + 1))


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
    first, second = (_check(agent, anna, "goodwill", amount="600").form("/goodwill") for _ in range(2))
    for _ in range(2):  # a double click counts once
        assert agent.send(first, reason="late").status_code == 200
    form = agent.html(f"/console/shop/members/{anna}/actions/goodwill").form("/check")
    for refused in (agent.send(second, reason="late"), agent.send(form, amount="401")):
        words = Html(refused.text).words
        assert refused.status_code == 422
        assert "you gave 9,600 of at most 10,000 a day, so 400 are left today" in words
    _check(agent, anna, "goodwill", amount="400")
    _check(browse("clerk"), anna, "goodwill", amount="600")
    _check(browse("admin"), anna, "goodwill", amount="10001")
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
    forms = [_check(agent, anna, "goodwill", amount=str(most)).form("/goodwill") for _ in range(gifts)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda form: agent.send(form, reason="late").status_code, forms))
    assert sorted(answers) == [200] * (limit // most) + [422] * 4
    assert console.ledger.balance(anna) == 1 + limit


@pytest.mark.parametrize(
    ("action", "fields", "named"),
    [
        ("adjust", {"amount": ""}, "Points: fill this in"),
        ("adjust", {"amount": "0"}, "0 changes nothing"),
        ("adjust", {"amount": "1.5"}, "a whole number from"),
        ("adjust", {"amount": "1,000"}, "in digits without commas"),
        ("adjust", {"amount": "٣"}, "a whole number from"),
        ("adjust", {"amount": "9" * 16}, "to 1,000,000,000,000,000"),
        ("freeze", {"amount": "-1"}, "a whole number from 1"),
        ("freeze", {"amount": "1", "expires_at": "tomorrow"}, "like 2027-01-31T18:00"),
        ("freeze", {"amount": "1", "expires_at": "2027-02-30T10:00"}, "this day does not exist"),
        ("extend", {"expiring_before": "2027-01-01T00:00", "days": "99999"}, "to 36,500"),
        ("status", {"status": "gone"}, "one of suspended, active, closed"),
        ("clawback", {"related_id": "x", "policy": "arrears"}, "related_id"),
        ("release", {}, "hold_id"),
        ("wallet", {"type": "deposit", "amount": "0.00"}, "an amount above 0 like 12.50"),
        ("wallet", {"type": "deposit", "amount": "1,5"}, "of at most 20 digits, without commas"),
        ("wallet", {"type": "burn", "amount": "1"}, "one of deposit, withdraw"),
        ("erase", {"user_id": ""}, "User id: fill this in"),
    ],
)
def test_a_wrong_field_is_named_with_its_limit_and_what_was_typed_stays(
    console: ConsoleEnvironment, browse: Browse, user: User, action: str, fields: dict[str, str], named: str
) -> None:
    anna = user()
    browsing = browse("admin")
    form = browsing.html(f"/console/shop/members/{anna}/actions/{action}").form("/check")
    answer = browsing.send(form, **fields)
    html = Html(answer.text)
    assert answer.status_code == 422
    assert named in html.words
    kept = html.form("/check").fields
    assert kept["key"] == form.fields["key"]
    assert {name: kept[name] for name in fields if name not in ("status", "type")} == {
        name: value for name, value in fields.items() if name not in ("status", "type")
    }


def test_a_session_that_ends_in_the_middle_leads_back_to_the_form_as_it_was(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    _member(console, anna)
    browsing = browse("admin")
    form = _check(browsing, anna, "adjust", amount="5").form("/adjust")
    browsing.client.cookies.clear()
    typed = ("was typed, übrigens " * 10).strip()
    ended = browsing.send(form, reason=typed)
    assert ended.status_code == 401 and "Nothing was changed" in Html(ended.text).words
    assert console.ledger.balance(anna) == 700

    again = Html(browsing.log_in("admin", Html(ended.text).links["Log in again"]).text).form("/adjust")
    assert again.fields["reason"] == typed
    assert (again.fields["amount"], again.fields["key"]) == ("5", form.fields["key"])
    browsing.send(again)
    assert console.ledger.balance(anna) == 705
    browsing.send(again)
    assert console.ledger.balance(anna) == 705


def test_a_command_that_stays_pending_has_a_page_and_its_form_stays_the_same_command(
    settings: Settings,
) -> None:
    with open_console(settings, worker=False) as console:
        console.ledger.tenant("shop")
        console.ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=10))
        browsing = Browsing(console)
        browsing.log_in("admin")
        form = _check(browsing, "anna", "adjust", amount="5").form("/adjust")
        pending = browsing.send(form, reason="a slow day")
        assert "/commands/" in pending.url.path
        assert "Nothing is lost if you leave" in Html(pending.text).words
        console.ledger.drain()
        applied_page = browsing.get(str(pending.url))
        assert "adjust applied" in Html(applied_page.text).words
        assert console.ledger.balance("anna") == 15


def test_a_form_without_its_key_is_refused(console: ConsoleEnvironment, browse: Browse, user: User) -> None:
    anna = user()
    _member(console, anna)
    browsing = browse("admin")
    form = _check(browsing, anna, "adjust", amount="5").form("/adjust")
    assert browsing.send(form, reason="x", key="").status_code == 400
    assert browsing.send(form, reason="x", key="' OR 1=1").status_code == 400
    assert console.ledger.balance(anna) == 700


def test_a_persons_name_is_the_ledgers_own_so_no_other_sender_has_it() -> None:
    assert is_machine_name("person:admin")
    with pytest.raises(ValueError, match="the ledger itself uses"):
        check_actor("person:admin")

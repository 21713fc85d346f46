"""Each action shows what it would do, wants a reason, names a wrong field, and is audited."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pointledger import Earn, Spend
from pointledger.api.console.pages.action_table import ACTIONS
from pointledger.domain.values.actor import check_actor, is_machine_name
from pointledger.ids import parse_id
from tests.console.acting import add_member, checked
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment

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


# For the member of `add_member`.
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


def _acts(console: ConsoleEnvironment, user: str) -> list[dict[str, Any]]:
    return console.ledger.client.audit_log("shop", user_id=user, actor="person:admin")


@pytest.mark.parametrize(
    "action", [each for each in ACTIONS if each.name not in OTHERWISE], ids=lambda action: action.name
)
def test_every_action_is_tried_first_then_confirmed_with_a_reason_and_audited(
    console: ConsoleEnvironment, browse: Browse, user: User, action: Any
) -> None:
    anna, case = user(), CASES[action.name]
    add_member(console, anna)
    before = console.ledger.account(anna)
    browsing = browse("admin")
    check = checked(browsing, anna, action.name, **case.fields(console, anna))
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
    add_member(console, anna)
    browsing = browse("admin")
    check = checked(browsing, anna, "wallet", type="deposit", amount="12.5")
    assert "Wallet, CNY none 12.50" in check.words
    browsing.send(check.form("/wallet"), reason="a complaint")
    assert "Wallet, CNY 12.50" in browsing.html(f"/console/shop/members/{anna}").words
    check = checked(browsing, anna, "wallet", type="withdraw", amount="0.50")
    assert "Wallet, CNY 12.50 12.00" in check.words
    check = checked(browsing, anna, "wallet", type="withdraw", amount="13")
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
    check = checked(browsing, anna, "erase", user_id=anna)
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
    add_member(console, anna)
    browsing = browse("admin")
    check = checked(browsing, anna, "adjust", amount="-701")
    assert "INSUFFICIENT_BALANCE" in check.words and "Ask for no more than the balance" in check.words
    assert not [form for form in check.forms if form.action.endswith("/adjust")], "nothing to confirm"

    check = checked(browsing, anna, "adjust", amount="-700")
    applied(console, Spend(tenant_id="shop", user_id=anna, amount=1))  # meanwhile
    ended = browsing.send(check.form("/adjust"), reason="too late")
    assert "/commands/" in ended.url.path
    assert "INSUFFICIENT_BALANCE" in Html(ended.text).words
    assert console.ledger.balance(anna) == 699


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


def test_a_persons_name_is_the_ledgers_own_so_no_other_sender_has_it() -> None:
    assert is_machine_name("person:admin")
    with pytest.raises(ValueError, match="the ledger itself uses"):
        check_actor("person:admin")

"""A form of an action is one command: if it is sent twice, after a new login, or while no worker runs."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from pointledger import Earn
from pointledger.settings import Settings
from tests.console.acting import add_member, checked
from tests.console.browsing import Browsing, Html
from tests.console.environment import ConsoleEnvironment, open_console

User = Callable[[], str]
Browse = Callable[[str], Browsing]


def test_a_form_that_is_sent_twice_is_one_command_and_with_other_content_none(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    add_member(console, anna)
    browsing = browse("admin")
    form = checked(browsing, anna, "adjust", amount="5").form("/adjust")
    first = browsing.send(form, reason="once")
    second = browsing.send(form, reason="once")
    assert parse_qs(urlsplit(str(first.url)).query) == parse_qs(urlsplit(str(second.url)).query)
    assert console.ledger.balance(anna) == 705
    other = browsing.send(form, reason="once more")
    assert other.status_code == 409 and "sent before" in Html(other.text).words
    assert console.ledger.balance(anna) == 705
    again = checked(browsing, anna, "adjust", amount="5").form("/adjust")
    browsing.send(again, reason="once")
    assert console.ledger.balance(anna) == 710, "a form that is opened anew is another command"


def test_a_session_that_ends_in_the_middle_leads_back_to_the_form_as_it_was(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    anna = user()
    add_member(console, anna)
    browsing = browse("admin")
    form = checked(browsing, anna, "adjust", amount="5").form("/adjust")
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
        form = checked(browsing, "anna", "adjust", amount="5").form("/adjust")
        pending = browsing.send(form, reason="a slow day")
        assert "/commands/" in pending.url.path
        assert "Nothing is lost if you leave" in Html(pending.text).words
        console.ledger.drain()
        applied_page = browsing.get(str(pending.url))
        assert "adjust applied" in Html(applied_page.text).words
        assert console.ledger.balance("anna") == 15


def test_a_form_without_its_key_is_refused(console: ConsoleEnvironment, browse: Browse, user: User) -> None:
    anna = user()
    add_member(console, anna)
    browsing = browse("admin")
    form = checked(browsing, anna, "adjust", amount="5").form("/adjust")
    assert browsing.send(form, reason="x", key="").status_code == 400
    assert browsing.send(form, reason="x", key="' OR 1=1").status_code == 400
    assert console.ledger.balance(anna) == 700

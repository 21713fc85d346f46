"""People log in at the provider. The console believes only what the provider has signed for this login."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx
import jwt
import pytest
from starlette.responses import Response

from pointledger.api.console.addresses import address, is_page, segment, text_of
from pointledger.api.console.configuration import configuration_of
from pointledger.api.console.oidc import texts_of
from pointledger.api.console.session import Sessions
from pointledger.errors import ConsoleNotConfigured
from pointledger.messaging import redis_client
from pointledger.settings import Settings
from pointledger_demo.provider import Provider
from tests.console.browsing import Browsing, Html
from tests.console.environment import KEY, PEOPLE, ConsoleEnvironment, console_settings

SUPPORT = next(person for person in PEOPLE if person.subject == "support")


def test_a_person_who_is_not_logged_in_comes_back_to_the_page_that_was_asked(
    console: ConsoleEnvironment,
) -> None:
    ended = Browsing(console).log_in("admin", "/console/shop/members?q=nobody-has-this")
    assert ended.url.raw_path == b"/console/shop/members?q=nobody-has-this"
    assert "No member is called" in Html(ended.text).words


def test_the_login_uses_pkce_state_and_nonce_and_its_cookie_is_for_no_script(stranger: httpx.Client) -> None:
    asked = stranger.get("/console/-/login")
    sent = dict(httpx.URL(asked.headers["location"]).params)
    assert sent["code_challenge_method"] == "S256"
    assert min(len(sent[name]) for name in ("state", "nonce", "code_challenge")) >= 32
    cookie = asked.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=600"))


def test_over_https_the_cookies_are_host_cookies(settings: Settings) -> None:
    url = "https://points.example.com"
    configuration = configuration_of(console_settings(settings, "https://login.example.com", url))
    sessions = Sessions(configuration, 8, redis_client.connect_asyncio(settings, 1, 1), "test")
    response = Response()
    sessions.begin(response, subject="a", name="A", roles=("admin",), tenants=("shop",))
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-pointledger=")
    assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/", "Max-Age=28800"))
    assert "Domain" not in cookie


def test_a_person_sees_only_the_tenants_of_the_token(browse: Callable[[str], Browsing]) -> None:
    browsing = browse("elsewhere")
    assert browsing.get("/console/other/members").status_code == 200
    assert browsing.get("/console/shop/members").status_code == 404
    assert browsing.get("/console/no-such-tenant/members").status_code == 404


def test_a_person_with_several_tenants_chooses(browse: Callable[[str], Browsing]) -> None:
    assert {"shop", "other"} <= browse("both").html("/console").links.keys()


@pytest.mark.parametrize(("person", "missing"), [("nothing", "no role"), ("homeless", "no tenant")])
def test_a_login_without_role_or_tenant_is_refused_and_says_what_is_missing(
    console: ConsoleEnvironment, person: str, missing: str
) -> None:
    ended = Browsing(console).log_in(person)
    assert ended.status_code == 403
    assert missing in Html(ended.text).words


def test_a_canceled_login_leads_back_to_the_login(console: ConsoleEnvironment) -> None:
    browsing = Browsing(console)
    asked = browsing.get("/console")
    ended = browsing.get(str(asked.url.join(Html(asked.text).links["Cancel"])))
    assert (ended.status_code, "Log in" in Html(ended.text).links) == (403, True)
    assert "canceled" in Html(ended.text).words


def test_logging_out_ends_the_session_also_for_a_copy_of_the_cookie(
    console: ConsoleEnvironment, browse: Callable[[str], Browsing]
) -> None:
    browsing = browse("admin")
    copied: Any = dict(browsing.client.cookies)
    form = browsing.html("/console/shop/members").form("/logout")
    assert browsing.send(form).url.path == "/console/-/goodbye"
    assert browsing.get("/console/shop/members").url.path == "/authorize"
    with httpx.Client(base_url=console.url, cookies=copied) as thief:
        assert thief.get("/console/shop/members").status_code == 303


# ------------------------------------------------------------------------------------------- forgeries


def _other_key(console: ConsoleEnvironment, nonce: str) -> str:
    """Return a token that another key has signed under the id of the provider's key."""
    forger = Provider(console.provider.issuer, "", PEOPLE)
    forger._kid = console.provider._kid
    return forger.id_token(SUPPORT, nonce)


def _without(console: ConsoleEnvironment, nonce: str, claim: str) -> str:
    token = console.provider.id_token(SUPPORT, nonce)
    claims = jwt.decode(token, options={"verify_signature": False, "verify_aud": False})
    del claims[claim]
    return jwt.encode(claims, console.provider._key, "ES256", {"kid": console.provider._kid})


def _unsigned(console: ConsoleEnvironment, nonce: str) -> str:
    claims = jwt.decode(
        console.provider.id_token(SUPPORT, nonce), options={"verify_signature": False, "verify_aud": False}
    )
    return jwt.encode(claims | {"roles": ["admin"]}, "", "none", {"kid": console.provider._kid})


FORGERIES: dict[str, Callable[[ConsoleEnvironment, str], str]] = {
    "audience": lambda console, nonce: console.provider.id_token(SUPPORT, nonce, aud="another-program"),
    "audiences": lambda console, nonce: console.provider.id_token(
        SUPPORT, nonce, aud=["pointledger-console", "another"], azp="another"
    ),
    "issuer": lambda console, nonce: console.provider.id_token(SUPPORT, nonce, iss="https://evil.example"),
    "expired": lambda console, nonce: console.provider.id_token(
        SUPPORT, nonce, iat=int(time.time()) - 900, exp=int(time.time()) - 600
    ),
    "nonce": lambda console, nonce: console.provider.id_token(SUPPORT, "of another login"),
    "no nonce": lambda console, nonce: _without(console, nonce, "nonce"),
    "no end": lambda console, nonce: _without(console, nonce, "exp"),
    "a number as subject": lambda console, nonce: console.provider.id_token(SUPPORT, nonce, sub=7),
    "a long subject": lambda console, nonce: console.provider.id_token(SUPPORT, nonce, sub="x" * 300),
    "no subject": lambda console, nonce: console.provider.id_token(SUPPORT, nonce, sub=""),
    "another key": _other_key,
    "no signature": _unsigned,
    "no token": lambda console, nonce: "not.a.token",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_token_that_does_not_prove_this_login_is_refused(
    console: ConsoleEnvironment, monkeypatch: pytest.MonkeyPatch, forgery: str
) -> None:
    browsing = Browsing(console)
    forged = {"token": ""}
    made = FORGERIES[forgery]
    original = Provider(console.provider.issuer, "", PEOPLE)
    original._key, original._kid = console.provider._key, console.provider._kid
    stand_in = ConsoleEnvironment(console.ledger, original, console.url)

    def id_token(_person: object, nonce: str) -> str:
        forged["token"] = made(stand_in, nonce)
        return forged["token"]

    monkeypatch.setattr(console.provider, "id_token", id_token)
    ended = browsing.log_in("support")
    assert forged["token"]
    assert ended.status_code == 403
    assert not any(
        name.startswith("pointledger-console") and "login" not in name for name in browsing.cookies
    )


def test_an_answer_counts_once_and_only_in_the_browser_that_began(console: ConsoleEnvironment) -> None:
    browsing = Browsing(console)
    asked = browsing.get("/console")
    link = next(href for href in Html(asked.text).links.values() if "person=admin" in href)
    browsing.client.follow_redirects = False
    answer = browsing.get(str(asked.url.join(link))).headers["location"]

    assert httpx.get(answer).status_code == 403, "another browser has no cookie of this login"
    assert browsing.get(answer).status_code == 303
    assert browsing.get(answer).status_code == 403, "its state is used up"
    other_state = str(httpx.URL(answer).copy_set_param("state", "x" * 43))
    assert browsing.get(other_state).status_code == 403
    other_issuer = str(httpx.URL(answer).copy_set_param("iss", "https://evil.example"))
    assert browsing.get(other_issuer).status_code == 403


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/console\\evil",
        "/consoleevil",
        "/console/-/logout",
        "javascript:alert(1)",
        "/console/\r\nSet-Cookie: a=b",
    ],
)
def test_a_login_leads_to_pages_of_the_console_only(console: ConsoleEnvironment, target: str) -> None:
    assert not is_page(target)
    browsing = Browsing(console)
    asked = browsing.client.get("/console/-/login", params={"next": target})
    link = next(href for href in Html(asked.text).links.values() if "person=admin" in href)
    ended = browsing.get(str(asked.url.join(link)))
    assert str(ended.url).startswith(f"{console.url}/console")
    assert "/shop" in ended.url.path


def test_only_five_logins_of_a_browser_are_kept(stranger: httpx.Client) -> None:
    for _ in range(9):
        stranger.get("/console/-/login")
    assert len(stranger.cookies) == 5


# ------------------------------------------------------------------------------------- what it is made of


def test_a_session_ends_after_its_time_and_no_other_key_can_make_one(settings: Settings) -> None:
    url = "http://127.0.0.1:8010"
    client = redis_client.connect_asyncio(settings, 1, 1)

    def cookie_of(key: str, hours: float) -> str:
        configuration = configuration_of(console_settings(settings, url, url, console_key=key))
        response = Response()
        sessions = Sessions(configuration, hours, client, "test")
        sessions.begin(response, subject="a", name="A", roles=("admin",), tenants=("shop",))
        return response.headers["set-cookie"].partition("=")[2].partition(";")[0]

    own = Sessions(configuration_of(console_settings(settings, url, url)), 8, client, "test")
    assert own.read(cookie_of(KEY, 8)) is not None
    assert own.read(cookie_of(KEY, 0.0001)) is None
    assert own.read(cookie_of("x" * 40, 8)) is None
    assert own.read(cookie_of(KEY, 8)[:-2] + "xx") is None
    assert own.read("") is None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"console_issuer": None}, "POINTLEDGER_CONSOLE_ISSUER"),
        ({"console_key": None}, "POINTLEDGER_CONSOLE_KEY"),
        ({"console_url": "http://points.example.com"}, "POINTLEDGER_CONSOLE_URL"),
        ({"console_url": "https://points.example.com/console"}, "POINTLEDGER_CONSOLE_URL"),
        ({"console_issuer": "http://login.example.com"}, "POINTLEDGER_CONSOLE_ISSUER"),
    ],
)
def test_a_process_without_what_a_login_needs_does_not_start(
    settings: Settings, changed: dict[str, Any], named: str
) -> None:
    url = "https://points.example.com"
    wrong = console_settings(settings, "https://login.example.com", url).model_copy(update=changed)
    with pytest.raises(ConsoleNotConfigured, match=named):
        configuration_of(wrong)


def test_roles_and_tenants_come_in_the_forms_of_known_providers() -> None:
    assert texts_of({"roles": ["admin", 7, "admin"]}, "roles") == ("admin",)
    assert texts_of({"roles": "admin support"}, "roles") == ("admin", "support")
    assert texts_of({"realm_access": {"roles": ["admin"]}}, "realm_access.roles") == ("admin",)
    assert texts_of({"https://example.com/roles": ["admin"]}, "https://example.com/roles") == ("admin",)
    assert texts_of({"roles": {"admin": True}}, "roles") == ()
    assert texts_of({}, "roles") == ()


@pytest.mark.parametrize("text", ["anna", "a/b", "..", ".", "-", "~", "~x", "50%", "ä ö", "a?b#c", "%2F"])
def test_every_id_has_an_address_that_leads_back_to_it(text: str) -> None:
    assert segment(text) not in (".", "..", "-")
    assert text_of(unquote(segment(text))) == text
    assert is_page(address("shop", "members", text))

"""No other site can use a person's session, no text becomes a script, and no page shows a trace."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from pointledger import Earn
from pointledger.api.console.static_files import FILES, file_of
from pointledger.settings import Settings
from tests.api.test_naughty_strings import TEXTS
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment, open_console

User = Callable[[], str]
Browse = Callable[[str], Browsing]

MOST_SCRIPT_BYTES = 120 * 1024
MOST_STYLE_BYTES = 40 * 1024
_INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)
_MARKUP = ("<", ">", "'", '"', "&", "{", "$")
_TEMPLATES = Path(str(files("pointledger.api.console") / "templates"))


def test_every_answer_has_the_headers_that_protect_it(browse: Browse, stranger: httpx.Client) -> None:
    browsing = browse("admin")
    script = re.findall(r'src="([^"]*console\.js[^"]*)"', browsing.get("/console/shop/members").text)[0]
    paths = ("/console/shop/members", "/console/shop/none", "/console/-/goodbye", script)
    for answer in [
        *map(browsing.get, paths),
        stranger.get("/console/shop"),
        stranger.get("/console/-/login"),
    ]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "nonce" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        is_static = "/static/" in answer.url.path
        assert ("no-store" in answer.headers["cache-control"]) != is_static


def test_no_template_has_an_inline_script_or_style() -> None:
    for template in _TEMPLATES.glob("*.html"):
        assert not _INLINE.search(template.read_text()), template.name


def test_scripts_and_styles_stay_small_and_are_sent_packed(stranger: httpx.Client) -> None:
    sizes = {name: len(file_of(name).packed) for name in FILES}
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) <= MOST_SCRIPT_BYTES
    assert sum(size for name, size in sizes.items() if name.endswith(".css")) <= MOST_STYLE_BYTES
    for name in FILES:
        answer = stranger.get(f"/console/-/static/{name}", params={"v": file_of(name).version})
        assert answer.headers["content-encoding"] == "gzip"
        assert "immutable" in answer.headers["cache-control"]
    assert stranger.get("/console/-/static/console.css?v=old").headers["cache-control"] == "no-cache"
    for name in ("README.md", "htmx.min.js.gz", "..%2fapp.py", ""):
        assert stranger.get(f"/console/-/static/{name}").status_code == 404


OTHERS: tuple[dict[str, str], ...] = (
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "OWN", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "OWN", "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin"},
)


@pytest.mark.parametrize("headers", OTHERS, ids=str)
def test_a_form_of_another_site_changes_nothing(
    console: ConsoleEnvironment, browse: Browse, user: User, headers: dict[str, str]
) -> None:
    anna = user()
    applied(console, Earn(tenant_id="shop", user_id=anna, amount=50))
    browsing = browse("admin")
    check = browsing.html(f"/console/shop/members/{anna}/actions/adjust/check?amount=5")
    own = {name: value.replace("OWN", console.url) for name, value in headers.items()}
    answer = browsing.send_with(own, check.form("/adjust"), reason="a test")
    assert answer.status_code == 403
    assert console.ledger.counts("audit_log")  # the ledger answers
    assert console.ledger.balance(anna) == 50


@pytest.mark.parametrize("token", ["", "0" * 64, "ä"])
def test_a_form_without_the_sessions_token_changes_nothing(
    console: ConsoleEnvironment, browse: Browse, user: User, token: str
) -> None:
    anna = user()
    applied(console, Earn(tenant_id="shop", user_id=anna, amount=50))
    browsing = browse("admin")
    check = browsing.html(f"/console/shop/members/{anna}/actions/adjust/check?amount=5")
    assert browsing.send(check.form("/adjust"), reason="a test", _token=token).status_code == 403
    others = browse("both").html("/console/shop").form("/logout").fields["_token"]
    assert browsing.send(check.form("/adjust"), reason="a test", _token=others).status_code == 403
    assert console.ledger.balance(anna) == 50


def test_text_that_looks_like_markup_stays_text(
    console: ConsoleEnvironment, browse: Browse, user: User
) -> None:
    markup = [text for text in TEXTS if any(each in text for each in _MARKUP) and len(text) <= 200]
    assert len(markup) > 200
    anna = user()
    applied(
        console,
        *(Earn(tenant_id="shop", user_id=anna, amount=1, reason=text) for text in markup if "\0" not in text),
    )
    browsing = browse("admin")
    pages = [f"/console/shop/members/{anna}"]
    while pages[-1] and len(pages) < 10:
        html = browsing.html(pages[-1])
        pages.append(html.links.get("Older", ""))
        assert html.scripts == 2, "the page's own"
        assert not html.handlers

    def search(text: str) -> None:
        asked = browsing.client.get("/console/shop/members", params={"q": text})
        html = Html(asked.text)
        assert asked.status_code in (200, 400)
        assert (html.scripts, html.handlers) == (2, [])
        form = browsing.client.get(
            f"/console/shop/members/{anna}/actions/adjust/check", params={"amount": text, "reason": text}
        )
        assert form.status_code in (200, 422, 400), form.status_code
        assert (Html(form.text).scripts, Html(form.text).handlers) == (2, [])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(search, markup))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/console/shop/members/%ff", 400),
        ("/console/shop/members/%", 400),
        ("/console/shop/members?q=" + "x" * 300, 400),
        ("/console/shop/members?q=" + "x" * 9000, 414),
        ("/console/shop/members?q=a&q=b", 400),
        ("/console/shop/members/none/", 404),
        ("/console/shop/members/none", 404),
        ("/console/shop/members/none?type=bribe", 400),
        ("/console/shop/members/none?before=-1", 400),
        ("/console/shop/members/none?before=99999999999999999999", 400),
        ("/console/shop/members/none/entries/x", 400),
        ("/console/shop/members/none/statement?from=yesterday", 404),
        ("/console/shop/commands/x", 400),
        ("/console/shop/commands/01M7YS5T0G1V9RJ7Y6C6V2Q3XA", 404),
        ("/console/shop/members/none/actions/steal", 404),
        ("/console/shop/members/none/actions/adjust?key=short", 400),
    ],
)
def test_a_wrong_address_gets_a_page_that_says_what_is_wrong(browse: Browse, path: str, status: int) -> None:
    answer = browse("admin").get(path)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert Html(answer.text).words


def test_a_form_that_no_page_has_is_refused(console: ConsoleEnvironment, browse: Browse) -> None:
    browsing = browse("admin")
    own = {"Origin": console.url}
    path = "/console/shop/members/none/actions/adjust"
    form = "application/x-www-form-urlencoded"

    def status_of(content: bytes, kind: str = form) -> int:
        return browsing.client.post(path, content=content, headers=own | {"Content-Type": kind}).status_code

    assert status_of(b"{}", "application/json") == 400
    assert status_of(b"a=1&a=2") == 400
    assert status_of(b"&".join(b"a%d=1" % number for number in range(200))) == 400
    assert status_of(b"a=%ff") == 400
    assert status_of(b"a=" + b"x" * 300_000) == 413
    assert browsing.client.put(path, headers=own).status_code == 405


def test_a_session_that_asks_too_fast_waits(settings: Settings) -> None:
    with open_console(settings, worker=False, console_rate=1) as console:
        browsing = Browsing(console)
        browsing.log_in("admin")
        answers = [browsing.get("/console/-/goodbye") for _ in range(6)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "Try again" in Html(answers[-1].text).words


def test_without_postgres_a_page_says_so_and_without_redis_pages_go_on(
    settings: Settings, console: ConsoleEnvironment
) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://a:b@127.0.0.1:1/none"})
    with open_console(away, worker=False) as without_postgres:
        browsing = Browsing(without_postgres)
        ended = browsing.log_in("admin", "/console/shop/members")
        assert ended.status_code == 503
        assert "The database does not answer" in Html(ended.text).words
        assert "Traceback" not in ended.text and "127.0.0.1:1" not in ended.text

    known = console.ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with open_console(known, worker=False) as without_redis:
        browsing = Browsing(without_redis)
        assert browsing.log_in("admin", "/console/shop/members").status_code == 200
        assert browsing.get("/console/shop/members?q=x").status_code == 200


def test_without_the_provider_a_page_says_so(settings: Settings) -> None:
    with open_console(settings, worker=False, console_issuer="http://127.0.0.1:1") as console:
        answer = httpx.get(f"{console.url}/console/-/login")
    assert answer.status_code == 503
    assert "login provider does not answer" in Html(answer.text).words

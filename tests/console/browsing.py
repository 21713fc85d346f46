"""Ways to browse the console: with a client that follows links and forms, and with Chromium."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx

from tests import environments
from tests.console.environment import ConsoleEnvironment

CHROMIUM = "/usr/bin/chromium"  # Debian's; `./dev test --long` says how to install it
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Options of a page for `check_with_axe`: it runs a foreign script, and colors must not fade between themes.
FOR_AXE: dict[str, Any] = {"color_scheme": "light", "bypass_csp": True, "reduced_motion": "reduce"}
# The themes differ in colors only, so every other rule is checked once.
_RULES: dict[str, dict[str, Any]] = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}
_PAGE_MS = 20_000  # for a page on a busy machine; it takes a tenth of a second


class Form:
    """A form of a page: where it goes, and its fields with their values."""

    def __init__(self, attributes: Mapping[str, str | None]) -> None:
        self.action = attributes.get("action") or ""
        self.method = (attributes.get("method") or "get").lower()
        self.fields: dict[str, str] = {}


class Html(HTMLParser):
    """The links, forms and words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: dict[str, str] = {}  # by their words
        self.forms: list[Form] = []
        self.words = ""
        self.scripts = 0
        self.handlers: list[str] = []  # attributes that would run a script
        self._link: str | None = None
        self._area: str | None = None
        self._select: str | None = None
        self.feed(text)
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        name = attributes.get("name")
        self.scripts += tag == "script"
        self.handlers += [each for each in attributes if each.startswith("on")]
        if tag == "a":
            self._link = attributes.get("href")
        elif tag == "form":
            self.forms.append(Form(attributes))
        elif tag == "input" and name and self.forms:
            if attributes.get("type") not in ("checkbox", "radio") or "checked" in attributes:
                self.forms[-1].fields[name] = attributes.get("value") or ""
        elif tag == "textarea" and name:
            self._area = name
            self.forms[-1].fields[name] = ""
        elif tag == "select" and name:
            self._select = name
            self.forms[-1].fields[name] = ""
        elif tag == "option" and self._select and "selected" in attributes:
            self.forms[-1].fields[self._select] = attributes.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = None
        elif tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        self.words += data + " "
        if self._link is not None and data.strip():
            self.links.setdefault(" ".join(data.split()), self._link)
        if self._area is not None:
            self.forms[-1].fields[self._area] += data.removeprefix("\n")

    def form(self, action: str) -> Form:
        """Return the form whose address ends so."""
        return next(form for form in self.forms if form.action.partition("?")[0].endswith(action))


class Browsing:
    """A browser without scripts: it follows redirects, keeps cookies, and sends forms as browsers do."""

    def __init__(self, console: ConsoleEnvironment) -> None:
        self.console = console
        self.client = httpx.Client(base_url=console.url, timeout=30, follow_redirects=True)
        self.last: httpx.Response | None = None

    @property
    def cookies(self) -> list[str]:
        """The names of its cookies."""
        return list(dict(self.client.cookies))

    def log_in(self, person: str, path: str = "/console") -> httpx.Response:
        """Log in with one click on the provider's page, and return the page on which that ends."""
        asked = self.get(path)
        assert asked.url.path == "/authorize", f"the login, not {asked.url}"
        link = next(href for href in Html(asked.text).links.values() if f"person={person}" in href)
        return self.get(urljoin(str(asked.url), link))

    def get(self, path: str, **headers: str) -> httpx.Response:
        self.last = self.client.get(path, headers=_named(headers))
        return self.last

    def html(self, path: str) -> Html:
        """Return a page that must be there."""
        found = self.get(path)
        assert found.status_code == 200, f"{found.status_code}: {Html(found.text).words}"
        return Html(found.text)

    def send(self, form: Form, **fields: str) -> httpx.Response:
        """Send a form with these fields changed, as a page of the console does."""
        return self.send_with({"Origin": self.console.url, "Sec-Fetch-Site": "same-origin"}, form, **fields)

    def send_with(self, headers: Mapping[str, str], form: Form, **fields: str) -> httpx.Response:
        """Send a form with these headers, which say from where."""
        content = form.fields | fields
        if form.method == "get":
            self.last = self.client.get(form.action, params=content)
            return self.last
        self.last = self.client.post(form.action, data=content, headers=dict(headers))
        return self.last


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class BrowserPages:
    """One Chromium, and the contexts of a test in it: each is a browser of its own, with its own cookies."""

    def __enter__(self) -> "BrowserPages":
        from playwright.sync_api import sync_playwright  # noqa: PLC0415  long tests only

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._playwright.stop()

    @contextmanager
    def of_a_test(self, console: ConsoleEnvironment) -> Iterator[Callable[..., Any]]:
        """Yield a function that logs a person in and returns a page. Scripts must raise no error."""
        contexts: list[Any] = []
        errors: list[str] = []

        def log_in(person: str | None, path: str = "/console", **options: Any) -> Any:
            context = self._browser.new_context(base_url=console.url, **options)
            context.set_default_timeout(_PAGE_MS)
            contexts.append(context)
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda line: errors.append(line.text) if _is_violation(line) else None)
            page.goto(path)
            if person is not None:
                page.click(f"a[href*='person={person}']")
                page.wait_for_url(lambda url: url.startswith(f"{console.url}/console"))
            return page

        try:
            yield log_in
        finally:
            for context in contexts:
                context.close()
        assert not errors, errors


def _is_violation(line: Any) -> bool:
    """Return whether the browser reports that a page broke the console's own policy."""
    return line.type == "error" and "Content Security Policy" in line.text


def check_with_axe(page: Any) -> None:
    """Fail if axe-core finds that the page is not accessible, in either theme. The light one stays."""
    axe = environments.node("console-scripts") / "node_modules" / "axe-core" / "axe.min.js"
    page.add_script_tag(path=str(axe))
    for theme, rules in _RULES.items():
        page.emulate_media(color_scheme=theme)
        found = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **rules})
        violations = [
            (each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found["violations"]
        ]
        assert not violations, (page.url, theme, json.dumps(violations, indent=1))
    page.emulate_media(color_scheme="light")

"""Runs `./dev pictures`: makes the pictures of the console's pages for the docs.

It starts the system beside a `./dev run`, with data of its own, replays the baskets, logs in by the real
flow, and takes each page of `pages.PAGES` in both themes with Debian's Chromium.
"""

import io
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from pointledger.client.client import PointsClient
from pointledger.domain.commands import AnyCommand, ApplyRule, Earn, Freeze, Spend
from pointledger.domain.values.actor import Actor
from pointledger.errors import LedgerError
from pointledger.settings import Settings
from pointledger_demo.pages import MEMBER, PAGES, PageOfPictures
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from pointledger_demo.run import Demonstration

_FOLDER = Path("docs/assets")
_THEMES = ("light", "dark")
_SIZE = {"width": 1280, "height": 860}  # what fits on a small laptop
_PERSON = "admin-1"  # who may see every page
_PAGE_MS = 20_000
_WAIT_SECONDS = 60.0  # for an outcome, on a busy machine
_BROWSER = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update")  # fmt: skip

console = Console(stderr=True)


class Picture(NamedTuple):
    """A picture that was made, or why not: the status of a page that answers with an error."""

    file: str
    bytes: int
    error: str = ""


def main(
    only: Annotated[list[str] | None, typer.Argument(help="pages to take; all, if none is named")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Make a picture of every page of the console, light and dark, into docs/assets."""
    known = {page.name: page for page in PAGES}
    if unknown := sorted(set(only or ()) - known.keys()):
        raise typer.BadParameter(f"no page is called {unknown[0]!r}; there are {', '.join(known)}")
    chromium = shutil.which("chromium")
    if chromium is None:
        console.print("[red]Chromium is missing. On Debian: apt-get install chromium[/red]")
        raise typer.Exit(1)
    pages = [known[name] for name in only or known]
    with tempfile.TemporaryDirectory(prefix="pointledger-pictures-") as data:
        made = _in_system(Path(data), chromium, pages)
    if as_json:
        found = {"pictures": [picture._asdict() for picture in made]}
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _show(made)
    raise typer.Exit(1 if any(picture.error for picture in made) else 0)


def _in_system(data: Path, chromium: str, pages: list[PageOfPictures]) -> list[Picture]:
    """Start the system, fill it, and take the pictures."""
    processes = ProcessGroup(Path.cwd(), data=data, settings=_own(), api_for=TENANT, usual_ports=False)
    try:
        with console.status("starting Postgres, Valkey, two workers, the API and the console"):
            settings = processes.start()
            processes.wait_for_api()
        Demonstration(settings, console).run()
        with console.status("letting a member earn and spend"):
            command = _prepare(settings)
        return _take(processes.api_url, chromium, pages, command)
    except LedgerError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(1) from None
    finally:
        processes.stop()


def _own() -> Settings:
    """Return settings without servers, so that pictures never show the data of others."""
    return Settings().model_copy(update={"database_url": None, "redis_url": None, "owner_url": None})


def _prepare(settings: Settings) -> str:
    """Let a member do something today, and ask for an audit. Return the id of the last basket's command."""
    now = datetime.now(UTC)
    who: dict[str, Any] = {"tenant_id": TENANT, "user_id": MEMBER}
    baskets = ((7_320, "a"), (4_150, "b"), (6_480, "c"))  # the last one exceeds the limit of a day
    commands: list[AnyCommand] = [
        *(
            Earn(**who, amount=points, expires_at=now + timedelta(days=days), source="partner hotel")
            for points, days in ((240, 20), (600, 75), (150, 110), (420, 200))
        ),
        Spend(**who, amount=180, description="A cup"),
        Freeze(**who, amount=75, reason="checkout of order 7"),
        *(
            ApplyRule(**who, event_type="basket.paid", event_id=name, metadata={"amount_minor": cents})
            for cents, name in baskets
        ),
    ]
    with PointsClient(settings) as client:
        task_ids = client.enqueue_many(commands)
        for task_id in task_ids:
            client.wait(task_id, timeout=_WAIT_SECONDS)
        client.verify(TENANT, Actor("person:finance-1", "end of the quarter"))
    return task_ids[-1]


def _take(url: str, chromium: str, pages: list[PageOfPictures], command: str) -> list[Picture]:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    made = []
    with sync_playwright() as playwright, bar:
        shown = bar.add_task("taking pictures", total=len(pages) * len(_THEMES))
        browser = playwright.chromium.launch(executable_path=chromium, args=_BROWSER)
        for theme in _THEMES:
            page = _logged_in(browser, url, theme)
            for wanted in pages:
                made.append(_picture(page, wanted, theme, command))
                bar.advance(shown)
        browser.close()
    return made


def _logged_in(browser: Browser, url: str, theme: Any) -> Page:
    context = browser.new_context(base_url=url, color_scheme=theme, viewport=_SIZE, locale="en-US")  # type: ignore[arg-type]
    context.set_default_timeout(_PAGE_MS)
    page = context.new_page()
    page.goto("/console")
    page.click(f"a[href*='person={_PERSON}']")
    page.wait_for_url(lambda address: address.startswith(f"{url}/console"))
    return page


def _picture(page: Page, wanted: PageOfPictures, theme: str, command: str) -> Picture:
    file = _FOLDER / f"console-{wanted.name}-{theme}.webp"
    answer = page.goto(wanted.address.format(command=command))
    if answer is None or not answer.ok:
        return Picture(str(file), 0, f"the page answers {answer.status if answer else 'nothing'}")
    try:
        if wanted.click:
            page.locator(wanted.click).first.click()
        for selector in wanted.waits_for:
            page.locator(selector).first.wait_for()
    except PlaywrightError as error:
        return Picture(str(file), 0, f"the page is not complete: {error.message.splitlines()[0]}")
    page.evaluate("scrollTo(0, 0)")
    packed = io.BytesIO()
    # Lossless: pages are flat, so it is smaller than lossy compression, and text stays sharp.
    Image.open(io.BytesIO(page.screenshot())).save(packed, "WEBP", lossless=True, quality=100, method=6)
    file.write_bytes(packed.getvalue())
    return Picture(str(file), len(packed.getvalue()))


def _show(made: list[Picture]) -> None:
    table = Table("picture", "KB")
    for picture in made:
        size = f"[red]{picture.error}[/red]" if picture.error else f"{picture.bytes / 1000:,.0f}"
        table.add_row(picture.file, size)
    table.add_row("all", f"{sum(picture.bytes for picture in made) / 1000:,.0f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

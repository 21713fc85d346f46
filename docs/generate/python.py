"""python/*.md: the public names, for mkdocstrings to render. The only pages that know that tool."""

import inspect
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import pointledger
from docs.generate.markdown import anchor, code, link, page
from docs.generate.prose_files import prose
from pointledger import Outcome, PointsClient, Reason
from pointledger.client.queries import results
from pointledger.domain import commands
from pointledger.domain.commands import KINDS
from pointledger.settings import Settings

_PACKAGE = pointledger.__name__
_OPTIONS = {
    "heading_level": 2,
    "show_root_heading": True,
    "show_signature_annotations": True,
    "separate_signature": True,
    "members_order": "source",
    "show_source": False,
}


class _Page(NamedTuple):
    title: str
    holds: Callable[[str], bool]


def _of_commands(name: str) -> bool:
    return name in commands.__all__


def _of_outcomes(name: str) -> bool:
    return getattr(pointledger, name) in (Outcome, Reason)


def _of_queries(name: str) -> bool:
    return inspect.getmodule(results).__package__ == _package_of(name)  # type: ignore[union-attr]


_PAGES = {
    "commands": _Page("Commands", _of_commands),
    "outcomes": _Page("Outcomes", _of_outcomes),
    "queries": _Page("Results of queries", _of_queries),
    "client": _Page("Client", lambda name: True),  # and all else
}


def python_pages() -> dict[str, Callable[[], str]]:
    """The pages by file."""
    return {f"python/{name}.md": partial(_page, name) for name in _PAGES}


def names_on(name: str) -> list[str]:
    """The public names that this page shows, the client first."""
    found = [public for public in pointledger.__all__ if _place_of(public) == name]
    return sorted(found, key=lambda each: (each != PointsClient.__name__, each))


def _place_of(public: str) -> str:
    """The first page that holds the name."""
    return next(name for name, each in _PAGES.items() if each.holds(public))


def _page(name: str) -> str:
    directives = (part for public in names_on(name) for part in _directive(public))
    return page(_PAGES[name].title, prose(f"python-{name}.md"), *directives)


def _directive(public: str) -> Iterator[str]:
    shown = getattr(pointledger, public)
    options: dict[str, object] = dict(_OPTIONS)
    if shown is PointsClient:
        options["inherited_members"] = True
    elif shown is Settings or shown in KINDS.values():
        options["members"] = False  # another page says what each field means
    lines = [f"      {name}: {json.dumps(value)}" for name, value in options.items()]
    yield "\n".join([f"::: {_PACKAGE}.{public}", "    options:", *lines])
    if shown in KINDS.values():
        yield f"Fields and refusals: {link(code(shown.kind), f'../commands.md#{anchor(shown.kind)}')}."
    elif shown is Settings:
        yield f"Fields: {link('Settings', '../settings.md')}."


def _package_of(name: str) -> str | None:
    module = inspect.getmodule(getattr(pointledger, name))
    return module.__package__ if module else None

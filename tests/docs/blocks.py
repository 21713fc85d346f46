"""Parses the fenced blocks of a page with Sybil."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_ANY_FENCE = RawFencedCodeBlockLexer(re.compile(r"(?P<info>[^\n]*)\n"))


class Block(NamedTuple):
    """A fenced block. `info` has the words after the fence, like `python no-run`."""

    info: str
    text: str
    line: int

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def purpose(self) -> str:
        """Return the words after the language, if any."""
        return self.info.partition(" ")[2]


def pages(folder: str) -> list[str]:
    """Return the pages below a folder of `docs`, as paths from the top level."""
    return sorted(str(path.relative_to(ROOT)) for path in (DOCS / folder).rglob("*.md"))


def every_page() -> list[str]:
    """Return the README and all pages of `docs`."""
    return ["README.md", *pages("")]


def document_of(page: str, evaluate: Callable[[Example], str | None] = lambda _: None) -> Document:
    """Parse a page into examples, one per block. `evaluate` returns what is wrong with a block, or None."""

    def blocks(document: Document) -> Iterable[Region]:
        for region in _ANY_FENCE(document):
            line = document.text.count("\n", 0, region.start) + 1
            block = Block(region.lexemes["info"].strip(), str(region.lexemes["source"]), line)
            yield Region(region.start, region.end, block, evaluate)

    return Sybil(parsers=[blocks]).parse(ROOT / page)


def blocks_of(page: str) -> list[Block]:
    return [example.parsed for example in document_of(page).examples()]


def block(info: str, containing: str = "") -> str:
    """Return the text of the only block with this info that contains a text, on any pages."""
    found = {
        each.text
        for page in every_page()
        for each in blocks_of(page)
        if each.info == info and containing in each.text
    }
    assert len(found) == 1, f"{len(found)} different blocks {info!r} contain {containing!r}"
    return found.pop()

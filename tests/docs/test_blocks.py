"""Every page is in the navigation, and every block of a page has a handler."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.blocks import DOCS, ROOT, blocks_of, every_page
from tests.docs.comparing import json_difference, text_difference
from tests.docs.session import BLOCK_HANDLERS

# Blocks that run need a system. test_tutorial.py and test_guides.py start one for these pages.
_READ = ("README.md", "docs/tutorial/", "docs/guides/")
_RUNS = ("python", "sh", "sh process", "json CeleryMessage")


def test_every_block_of_the_docs_has_a_handler() -> None:
    infos = {(page, block.info) for page in every_page() for block in blocks_of(page)}
    assert len(infos) >= 20
    assert {(page, info) for page, info in infos if info not in BLOCK_HANDLERS} == set()


def test_blocks_that_run_are_only_on_pages_that_are_read() -> None:
    stray = [
        (page, block.line)
        for page in every_page()
        for block in blocks_of(page)
        if block.info in _RUNS and not page.startswith(_READ)
    ]
    assert stray == []


def test_output_blocks_follow_blocks_that_print() -> None:
    for page in every_page():
        previous = ""
        for block in blocks_of(page):
            if block.purpose == "output":
                assert previous in ("python", "sh"), f"{page}:{block.line}"
            previous = block.info


def test_every_page_is_in_the_navigation_once() -> None:
    listed = list(_pages_in(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - _generator_prose()
    assert sorted(listed) == sorted(there)


def _pages_in(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for target in entry.values() if isinstance(entry, dict) else [entry]:
            if isinstance(target, list):
                yield from _pages_in(target)
            else:
                yield target


def _generator_prose() -> set[str]:
    return {str(path.relative_to(DOCS)) for path in (DOCS / "generate").rglob("*.md")}


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\nb", "a\nc\n", False),
        ("a\nb", "a\nb\nc\n", False),
        ("a  b", "a      b   \n", True),
        ("a b", "a  b", False),
        ("a ... c", "a 1 2 c", True),
        ("a ... c", "a 1 2 d", False),
        ("a\n...", "a\nb\nc", True),
        ("...\nc", "a\nb\nc", True),
        ("...\nd", "a\nb\nc", False),
    ],
)
def test_text_is_compared_except_where_dots_stand(shown: str, printed: str, same: bool) -> None:
    assert (text_difference(shown, printed) is None) is same


@pytest.mark.parametrize(
    ("shown", "given", "same"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "...": "..."}, {"a": 1, "b": 2}, True),
        ({"a": 1, "...": "..."}, {"b": 2}, False),
        ({"a": "..."}, {"a": {"b": 2}}, True),
        ({"a": "x..."}, {"a": "xyz"}, True),
        ({"a": "x..."}, {"a": "yz"}, False),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, False),
        ([1, "..."], [1, 2, 3], True),
        ([1], [1, 2], False),
        ([1, 2], [1], False),
        ([{"a": 1}], [{"a": 2}], False),
    ],
)
def test_json_is_compared_field_by_field(shown: Any, given: Any, same: bool) -> None:
    assert (json_difference(shown, given) is None) is same

"""Checks that every case of the corpus has a test that names it."""

import re
from pathlib import Path

from tests.acceptance.corpus import HTTP, QUEUE

_TESTS = Path(__file__).parents[1]
_FUNCTION = re.compile(r"^def test_((?:\d+_)+)", re.MULTILINE)
_ROW = re.compile(r'^\s+"(\d{1,3})b?(?: [^"]*)?":', re.MULTILINE)
_QUEUE_CASE = re.compile(r"\bQ(\d+)\b")


def _texts(folder: str) -> list[str]:
    return [path.read_text() for path in (_TESTS / folder).glob("test_*.py")]


def _tested_by_http() -> set[int]:
    named = {
        number for text in _texts("api") for name in _FUNCTION.findall(text) for number in name.split("_")
    }
    return {int(number) for number in named | set(_rows()) if number}


def _rows() -> list[str]:
    return [number for text in _texts("api") for number in _ROW.findall(text)]


def test_every_http_case_has_a_test_and_every_number_a_case() -> None:
    assert _tested_by_http() == set(HTTP)


def test_every_queue_case_has_a_test_and_every_number_a_case() -> None:
    tested = {int(number) for text in _texts("events") for number in _QUEUE_CASE.findall(text)}
    assert tested == set(QUEUE)

"""Every case of the corpus has a test that is named after it, or that names it."""

import re
from pathlib import Path

from tests.acceptance.corpus import HTTP, QUEUE

_TESTS = Path(__file__).parents[1]
_FUNCTION = re.compile(r"^def test_((?:\d+_)+)", re.MULTILINE)
_ROW = re.compile(r'^\s+"(\d{1,3})b?(?: [^"]*)?":', re.MULTILINE)
_OF_THE_QUEUE = re.compile(r"\bQ(\d+)\b")


def _texts(folder: str) -> list[str]:
    return [path.read_text() for path in (_TESTS / folder).glob("test_*.py")]


def _shown_by_http() -> set[int]:
    named = {
        number for text in _texts("http") for name in _FUNCTION.findall(text) for number in name.split("_")
    }
    return {int(number) for number in named | set(_rows()) if number}


def _rows() -> list[str]:
    return [number for text in _texts("http") for number in _ROW.findall(text)]


def test_every_case_of_http_is_shown_and_none_that_does_not_exist() -> None:
    assert _shown_by_http() == set(HTTP)


def test_every_case_of_the_queue_is_shown_and_none_that_does_not_exist() -> None:
    shown = {int(number) for text in _texts("events") for number in _OF_THE_QUEUE.findall(text)}
    assert shown == set(QUEUE)

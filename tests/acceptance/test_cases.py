"""Checks that every acceptance case has a test with its name, or a reason for its absence."""

import re
from pathlib import Path

from tests.acceptance.cases import CASES, NOT_YET

_NAMED = re.compile(r"^def test_((?:[a-z]\d+_)+)", re.MULTILINE)


def _tested() -> set[str]:
    texts = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py")]
    return {case.upper() for text in texts for ids in _NAMED.findall(text) for case in ids.split("_") if case}


def test_every_case_has_a_test_or_a_reason() -> None:
    assert set(CASES) - _tested() <= NOT_YET.keys()


def test_every_test_name_refers_to_an_existing_case() -> None:
    assert _tested() <= CASES.keys()


def test_only_cases_without_a_test_have_a_reason() -> None:
    assert not _tested() & NOT_YET.keys()
    assert NOT_YET.keys() <= CASES.keys()

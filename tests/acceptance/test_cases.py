"""Every acceptance case has a test that is named after it, or a reason why not."""

import re
from pathlib import Path

from tests.acceptance.cases import CASES, NOT_NOW

_NAMED = re.compile(r"^def test_((?:[a-z]\d+_)+)", re.MULTILINE)


def _shown() -> set[str]:
    texts = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py")]
    return {case.upper() for text in texts for ids in _NAMED.findall(text) for case in ids.split("_") if case}


def test_every_case_is_shown_or_has_a_reason() -> None:
    assert set(CASES) - _shown() <= NOT_NOW.keys()


def test_no_test_is_named_after_a_case_that_does_not_exist() -> None:
    assert _shown() <= CASES.keys()


def test_a_case_that_is_shown_needs_no_reason() -> None:
    assert not _shown() & NOT_NOW.keys()
    assert NOT_NOW.keys() <= CASES.keys()

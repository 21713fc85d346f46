"""The lists of test files are valid."""

from importlib.util import find_spec

from tests.forked import PRELOADED
from tests.order import HERE, LONGEST_FIRST


def test_every_listed_file_exists_and_is_listed_once() -> None:
    assert [place for place in LONGEST_FIRST if not (HERE / place).is_file()] == []
    assert len(LONGEST_FIRST) == len(set(LONGEST_FIRST))


def test_every_preloaded_module_exists() -> None:
    assert [name for name in PRELOADED if find_spec(name) is None] == []

"""The list of the longest test files is valid."""

from tests.order import HERE, LONGEST_FIRST


def test_every_listed_file_exists_and_is_listed_once() -> None:
    assert [place for place in LONGEST_FIRST if not (HERE / place).is_file()] == []
    assert len(LONGEST_FIRST) == len(set(LONGEST_FIRST))

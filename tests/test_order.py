"""The files that are named as the longest are there."""

from tests.order import HERE, LONGEST_FIRST


def test_every_file_that_is_to_come_first_is_there_and_named_once() -> None:
    assert [place for place in LONGEST_FIRST if not (HERE / place).is_file()] == []
    assert len(LONGEST_FIRST) == len(set(LONGEST_FIRST))

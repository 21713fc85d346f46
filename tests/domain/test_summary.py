"""What a rule awards, in words."""

import pytest

from pointledger.domain.program.rule import Limit
from pointledger.domain.program.summary import limits_in_words


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([], ""),
        ([Limit(period="lifetime", unit="times", max=1)], "once in a lifetime"),
        ([Limit(period="day", max=1), Limit(period="week", max=0)], "1 point a day, 0 points a week"),
        ([Limit(period="month", unit="times", max=2)], "2 times a month"),
        ([Limit(period="lifetime", max=30_000)], "30,000 points in a lifetime"),
    ],
)
def test_limits_are_said_in_words(limits: list[Limit], words: str) -> None:
    assert limits_in_words(limits) == words

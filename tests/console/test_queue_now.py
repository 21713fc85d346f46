"""What the Queue page says first: a verdict, and the lanes that stand. Pure: no servers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger.api.console.pages.queue_now import arranged, slices, state, verdict
from pointledger.api.console.render import rate, span
from pointledger.api.console.shared import Shared
from pointledger.client.queries.queue import Lane, Queue
from pointledger.observability.pulse import Beat
from pointledger.storage.queries.activity import Moment
from pointledger.storage.queries.trouble import Trouble

EMPTY = Lane(0, 0, 0, None, 0.0, 0)
WELL = Trouble(0, 0, 0, 0)
NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)


def lane(number: int, oldest_seconds: float, per_second: float = 1.0, attempts: int = 0) -> Lane:
    return Lane(number, 3, 4, oldest_seconds, per_second, attempts)


def queue(*lanes: Lane, trouble: Trouble = WELL, paused_since: str | None = None) -> Queue:
    return Queue("shop", "2027-01-31T12:00:00Z", paused_since, lanes, trouble)


@pytest.mark.parametrize(
    ("waiting", "word"),
    [
        (EMPTY, "empty"),
        (lane(1, 0.5), "moves"),
        (lane(1, 11), "lags"),
        (lane(1, 3_600), "lags"),
        (lane(1, 61, per_second=0.0), "stands"),
        (lane(1, 59, per_second=0.0), "lags"),
        (lane(1, 1, attempts=2), "moves"),
        (lane(1, 1, attempts=3), "stands"),
    ],
)
def test_a_lane_stands_if_nothing_of_it_is_applied_for_a_minute_or_workers_die(
    waiting: Lane, word: str
) -> None:
    assert state(waiting, paused=False) == word
    assert state(waiting, paused=True) == ("empty" if word == "empty" else "paused")


def test_of_64_lanes_those_that_stand_come_first_and_the_rest_is_folded() -> None:
    lanes = [lane(number, 5 + number) for number in range(20)]
    lanes += [replace(EMPTY, lane=number) for number in range(20, 62)]
    lanes += [lane(62, 70, per_second=0.0), lane(63, 90, per_second=0.0)]
    found = arranged(queue(*lanes))
    assert [(each.lane, word) for each, word in found.first[:3]] == [
        (63, "stands"),
        (62, "stands"),
        (19, "lags"),
    ]
    assert len(found.first) == 8
    assert len(found.first) + len(found.rest) == 64


def test_a_queue_in_which_nothing_waits_shows_no_lane_first() -> None:
    found = arranged(queue(*[replace(EMPTY, lane=number) for number in range(16)]))
    assert (found.first, len(found.rest)) == ([], 16)


@pytest.mark.parametrize(
    ("found", "tone", "title"),
    [
        (queue(EMPTY), "good", "Nothing waits."),
        (queue(lane(1, 2)), "good", "It moves."),
        (queue(lane(1, 20)), "warn", "It lags."),
        (queue(lane(1, 20), trouble=Trouble(0, 1, 0, 0)), "warn", "1 command fails."),
        (queue(lane(1, 20), trouble=Trouble(0, 2, 0, 0)), "warn", "2 commands fail."),
        (queue(lane(1, 20), trouble=Trouble(1, 1, 0, 0)), "warn", "1 dead command."),
        (queue(EMPTY, trouble=Trouble(1_200, 0, 0, 0)), "warn", "1,200 dead commands."),
        (queue(lane(1, 99, 0.0), trouble=Trouble(1, 1, 0, 0)), "bad", "1 lane stands."),
        (queue(lane(1, 99, 0.0), lane(2, 99, 0.0)), "bad", "2 lanes stand."),
        (queue(lane(1, 99, 0.0), paused_since="2027-01-31T11:00:00Z"), "wait", "The tenant is paused."),
    ],
)
def test_the_verdict_says_what_matters_most(found: Queue, tone: str, title: str) -> None:
    said = verdict(found)
    assert (said.tone, said.title) == (tone, title)
    assert said.text


def test_each_slice_of_the_chart_has_the_most_that_waited_in_it() -> None:
    moments = [Moment(NOON + timedelta(seconds=15 * number), 1.0, 5.0, 9.0) for number in range(4)]

    def beat(seconds: float, waiting: int) -> Beat:
        return Beat(NOON + timedelta(seconds=seconds), 1.0, waiting, 0.0)

    found = slices(moments, [beat(-5, 9), beat(16, 2), beat(18, 7), beat(61, 4)])
    assert [each.waiting for each in found] == [None, 7, None, 4]
    assert found[1][:4] == moments[1]
    assert slices([], [beat(0, 1)]) == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"), (0.0, "0 s"), (0.04, "0 s"), (0.44, "0.4 s"), (11.6, "12 s"), (119, "119 s"),
        (120, "2 min"),        (7_199, "120 min"), (7_200, "2 h"), (172_800, "2 d"), (86_400_000, "1,000 d"),
    ],
)  # fmt: skip
def test_a_span_is_shown_in_its_largest_unit(seconds: float | None, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.0166, "0.02"), (3.44, "3.4"), (12.0, "12"), (1234.5, "1,234")]
)
def test_a_rate_has_as_many_digits_as_matter(value: float, shown: str) -> None:
    assert rate(value) == shown


def test_a_shared_value_is_read_once_for_all_until_it_is_old_or_forgotten() -> None:
    now, read = [0.0], list[str]()
    shared = Shared(lambda: now[0])

    def look(key: str) -> Any:
        def reads() -> str:
            read.append(key)
            return f"{key}{len(read)}"

        return shared.get(key, 2.0, reads)

    assert [look("a"), look("a"), look("b")] == ["a1", "a1", "b2"]
    now[0] = 1.9
    assert look("a") == "a1"
    now[0] = 2.0
    assert look("a") == "a3"
    shared.forget("a")
    assert look("a") == "a4"


def test_a_failed_reading_is_not_shared() -> None:
    shared = Shared()

    def fails() -> str:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        shared.get("a", 60.0, fails)
    assert shared.get("a", 60.0, lambda: "read") == "read"

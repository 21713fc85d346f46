"""The part of the Queue page that changes while it is open. All who watch a tenant share one reading."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pointledger.api.console.visit import Visit
from pointledger.client.batches import BatchOutcome
from pointledger.client.queries.queue import Jobs, Lane, Queue
from pointledger.observability.pulse import EVERY_SECONDS, Beat
from pointledger.storage.queries.activity import Moment
from pointledger.storage.queries.queue import JobRun
from pointledger.storage.queries.trouble import DeadGroup, FailingLine

STANDS_SECONDS = 60.0  # a lane in which something waits so long, and nothing was applied meanwhile, stands
_LAGS_SECONDS = 10.0  # workers take milliseconds; ten seconds are a backlog that a person notices
_MOST_ATTEMPTS = 2  # of a lane: a batch that began and did not end is the one that runs; more are deaths
_SHOWN = 8  # lanes that stand first; the rest is folded
_FAILING = 10  # commands that the page lists; more have a common cause
_GROUPS_SECONDS = 10.0  # that causes are kept: comparing 20,000 errors takes some tenths of a second
_BATCHES = 3  # the latest ones, whose progress is counted
_COUNT_SECONDS = 5.0  # that a batch's count is kept: 50,000 commands take a tenth of a second
_SLICE_SECONDS = 15.0  # of the chart: sixty in a quarter of an hour

Standing = tuple[Lane, str]


class Verdict(NamedTuple):
    """What is the case, and what can be done. `tone`: good, wait, warn or bad."""

    tone: str
    title: str
    text: str


class Lanes(NamedTuple):
    """Lanes with their states: those that a person should see first, and the rest."""

    first: list[Standing]
    rest: list[Standing]


class Slice(NamedTuple):
    """A slice of the last quarter of an hour. None: no command was applied, or no one watched."""

    at: datetime
    per_second: float
    median_ms: float | None
    slowest_ms: float | None
    waiting: int | None


class Now(NamedTuple):
    """What waits of a tenant at one moment."""

    queue: Queue
    verdict: Verdict
    lanes: Lanes
    slices: list[Slice]
    failing: list[FailingLine]
    groups: list[DeadGroup]
    """Dead commands by cause."""
    jobs: Jobs
    running: list[BatchOutcome]
    """The latest batches that are not done."""


def now(visit: Visit) -> Now:
    """Read it, or return what another has read within two seconds."""
    return visit.console.shared.get(("queue", visit.tenant.tenant_id), EVERY_SECONDS, lambda: _read(visit))


def _read(visit: Visit) -> Now:
    tenant_id = visit.tenant.tenant_id
    queue = visit.queries.queue(tenant_id)
    beats = visit.console.pulse.beats(tenant_id)
    return Now(
        queue=queue,
        verdict=verdict(queue),
        lanes=arranged(queue),
        slices=slices(visit.queries.activity(tenant_id), beats),
        failing=visit.queries.failing(tenant_id, _FAILING) if queue.trouble.failing else [],
        groups=_groups(visit, queue.trouble.dead) if queue.trouble.dead else [],
        jobs=_latest(visit.queries.jobs(tenant_id)),
        running=_running(visit),
    )


def state(lane: Lane, *, paused: bool) -> str:
    """Say in a word how a lane is: stands, paused, lags, moves or empty."""
    if not lane.own:
        return "empty"
    if paused:
        return "paused"
    has_waited = lane.oldest_seconds or 0.0
    if lane.attempts > _MOST_ATTEMPTS or (has_waited > STANDS_SECONDS and not lane.per_second):
        return "stands"
    return "lags" if has_waited > _LAGS_SECONDS else "moves"


_ORDER = ("stands", "paused", "lags", "moves", "empty")


def arranged(queue: Queue) -> Lanes:
    """Return the lanes, those that stand and wait longest first."""
    states = [(lane, state(lane, paused=queue.paused_since is not None)) for lane in queue.lanes]
    states.sort(key=lambda each: (_ORDER.index(each[1]), -(each[0].oldest_seconds or 0.0), each[0].lane))
    busy = sum(word != "empty" for _, word in states)
    shown = min(busy, _SHOWN)
    return Lanes(states[:shown], states[shown:])


def verdict(queue: Queue) -> Verdict:
    """Say what matters most."""
    if queue.paused_since:
        return Verdict(
            "wait",
            "The tenant is paused.",
            "Its commands are accepted and wait, and its jobs wait, too. Nothing is lost. Resume it when the "
            "cause is put right.",
        )
    standing = sum(state(lane, paused=False) == "stands" for lane in queue.lanes)
    if standing:
        return Verdict(
            "bad",
            f"{standing} lane{'s stand' if standing > 1 else ' stands'}.",
            "Commands have waited for more than a minute, and none was applied meanwhile. Check that workers "
            "run and reach the database; then look at failing and dead commands, which can block a member.",
        )
    if queue.trouble.dead:
        return Verdict(
            "warn",
            f"{queue.trouble.dead:,} dead command{'s' if queue.trouble.dead > 1 else ''}.",
            "Their processing failed again and again. See the causes below, put them right, and retry.",
        )
    if queue.trouble.failing:
        return Verdict(
            "warn",
            f"{queue.trouble.failing:,} command{'s fail' if queue.trouble.failing > 1 else ' fails'}.",
            "They are tried again by themselves, and given up if they go on failing. Later commands of their "
            "members wait meanwhile.",
        )
    if queue.oldest_seconds > _LAGS_SECONDS:
        return Verdict(
            "warn",
            "It lags.",
            "Commands are applied, but more come than workers apply. It catches up by itself, or with more "
            "workers.",
        )
    if queue.waiting:
        return Verdict("good", "It moves.", "What waits is applied within seconds.")
    return Verdict("good", "Nothing waits.", "Every accepted command has its outcome.")


def slices(moments: Sequence[Moment], beats: Sequence[Beat]) -> list[Slice]:
    """Join rates and latencies with the depth: the most that waited in each slice of time."""
    starts = [moment.at.timestamp() for moment in moments]
    most: dict[int, int] = {}
    for beat in beats:
        place = int((beat.at.timestamp() - starts[0]) // _SLICE_SECONDS) if starts else -1
        # The last reading is younger than the last slice: both were read at about the same moment.
        place = min(place, len(starts) - 1)
        if place >= 0:
            most[place] = max(most.get(place, 0), beat.waiting)
    return [Slice(*moment, most.get(place)) for place, moment in enumerate(moments)]


def _groups(visit: Visit, dead: int) -> list[DeadGroup]:
    """Return the causes, read anew when the number of dead commands changes, too."""
    tenant_id = visit.tenant.tenant_id
    key = ("dead groups", tenant_id, dead)
    return visit.console.shared.get(key, _GROUPS_SECONDS, lambda: visit.queries.dead_groups(tenant_id))


def forget(visit: Visit) -> None:
    """Read it anew next time, because this person has just changed it."""
    visit.console.shared.forget(("queue", visit.tenant.tenant_id))


def _latest(jobs: Jobs) -> Jobs:
    """Return the runs that have not ended, and the last one of each other job."""
    return Jobs(tuple(_of_interest(jobs.runs)), jobs.open_erasures, jobs.erasures_since)


def _of_interest(runs: Iterable[JobRun]) -> list[JobRun]:
    seen: set[str] = set()
    found = []
    for run in runs:
        if run.finished_at is None or run.job not in seen:
            found.append(run)
        seen.add(run.job)
    return found


def _running(visit: Visit) -> list[BatchOutcome]:
    latest = visit.queries.batches(visit.tenant.tenant_id, limit=_BATCHES)
    return [found for each in latest if (found := progress(visit, each)).state == "pending"]


def progress(visit: Visit, batch: dict[str, Any]) -> BatchOutcome:
    """Return how far a batch is, counted a few seconds ago at most."""
    key = ("batch", visit.tenant.tenant_id, batch["id"])
    return visit.console.shared.get(key, _COUNT_SECONDS, lambda: visit.client.batch_outcome(batch["id"]))

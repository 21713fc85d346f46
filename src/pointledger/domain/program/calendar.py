"""Computes a tenant's local dates and times, also across changes of its time zone.

A new time zone applies from its first midnight after the change is saved; until then the old zone applies.
Dates never go back: while the new zone still has an earlier date, the last date continues. So each date is
one continuous span, and no window of a limit opens twice. A date that a change skips has no span.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, WithJsonSchema

from pointledger.domain.values.fields import Moment
from pointledger.domain.values.models import StrictModel

_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text().split())


@lru_cache(maxsize=1024)  # there are about 600 zones
def zone(name: str) -> ZoneInfo:
    """Load an IANA zone from the package tzdata, so that dates do not depend on a host's zone files.

    Raises ValueError.
    """
    if name not in _zone_names():
        raise ValueError("not an IANA time zone, like Europe/Berlin")
    with (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def _zone_name(name: str) -> str:
    zone(name)
    return name


_SCHEMA = {"type": "string", "format": "iana-time-zone", "examples": ["Europe/Berlin"]}

ZoneName = Annotated[str, AfterValidator(_zone_name), WithJsonSchema(_SCHEMA)]


class FormerZone(StrictModel):
    """A time zone that applies until a moment."""

    timezone: ZoneName = Field(description="The zone.")
    until: Moment = Field(description="The midnight from which the next zone counts.")


class _Span(NamedTuple):
    """The span of time in which a zone applies. `floor` is the last date before the span."""

    since: datetime
    until: datetime
    zone: str
    floor: date


@dataclass(frozen=True)
class Calendar:
    """The zones of a tenant, in the order in which they apply."""

    spans: tuple[_Span, ...]
    # A decision converts one moment many times, and commands that are accepted together have the same one.
    _last: tuple[datetime, datetime] | None = field(default=None, init=False, compare=False, repr=False)

    def local(self, moment: datetime) -> datetime:
        """Convert a moment to local date and time, without a zone."""
        if self._last and self._last[0] == moment:
            return self._last[1]
        local = self._local(moment)
        object.__setattr__(self, "_last", (moment, local))
        return local

    def _local(self, moment: datetime) -> datetime:
        span = self.spans[-1]
        if moment < span.since:
            span = next(each for each in self.spans if moment < each.until)
        shown = moment.astimezone(zone(span.zone))
        return datetime.combine(max(shown.date(), span.floor), shown.time())

    def instant(self, local: datetime) -> datetime:
        """Convert local time to UTC.

        A time that the clocks skip is read with the offset before the jump, so it lies after the jump. A
        repeated time means its first occurrence (PEP 495, fold=0). A time that a change of zone skips is the
        moment of the change.
        """
        for span in self.spans[:-1]:
            moment = _moment(local, span)
            if moment < span.until:
                return moment
        return _moment(local, self.spans[-1])


def _moment(local: datetime, span: _Span) -> datetime:
    # `local.replace(tzinfo=...)` gives the same and takes five times as long.
    return max(datetime.combine(local.date(), local.time(), zone(span.zone)).astimezone(UTC), span.since)


def calendar_of(timezone: str, former: tuple[FormerZone, ...]) -> Calendar:
    """Build the calendar of a tenant from its current or upcoming zone and its former zones."""
    spans: list[_Span] = []
    since, floor = _EARLIEST, date.min
    for each in former:
        spans.append(_Span(since, each.until, each.timezone, floor))
        since, floor = each.until, Calendar(tuple(spans)).local(each.until - timedelta.resolution).date()
    spans.append(_Span(since, _LATEST, timezone, floor))
    return Calendar(tuple(spans))


def former_zones_after(
    timezone: str, former: tuple[FormerZone, ...], becomes: str, now: datetime
) -> tuple[FormerZone, ...]:
    """Return the former zones after a change from `timezone` to `becomes`.

    The current zone applies until the first midnight of the new one. A change that is still pending is
    dropped.
    """
    if former and former[-1].until > now:
        timezone, former = former[-1].timezone, former[:-1]
    if timezone == becomes:
        return former
    tomorrow = now.astimezone(zone(becomes)).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time.min, zone(becomes)).astimezone(UTC)
    return (*former, FormerZone(timezone=timezone, until=midnight))

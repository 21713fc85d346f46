"""A healthy ledger as Prometheus sees it, and faults: what differs, and which alerts fire.

Two exporters return the figures of the whole ledger, as two processes of the API do; where days are played,
one. Times are in minutes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

_EXPORTERS = ("one:9101", "two:9101")
_API = 'pointledger_http_requests_total{{method="POST",route="/points/{{user_id}}/earn",status="{}"}}'

_DAY = 24 * 60

Pattern = Sequence[tuple[float, int]]
"""Values, each for some minutes, again and again."""


class Fault(NamedTuple):
    """A fault that lasts for `minutes` after as long as all was well. `fires`: the alerts of its last minute.

    `gauges` have these values meanwhile, `counters` grow by so much a minute, and the series in `missing`
    have no samples.
    """

    name: str
    fires: set[str]
    minutes: int = 15
    gauges: Mapping[str, float | Pattern] = {}
    counters: Mapping[str, float] = {}
    missing: Collection[str] = ()
    healthy_minutes: int = 60
    step: int = 1  # minutes between samples; more where days are played


_GAUGES: dict[str, float] = {
    'pointledger_up{server="postgres"}': 1,
    'pointledger_up{server="redis"}': 1,
    'pointledger_lane_lag_seconds{lane="0"}': 0,
    'pointledger_lane_lag_seconds{lane="1"}': 2,
    "pointledger_commands_waiting": 200,
    "pointledger_commands_waiting_limit": 2_000_000,
    'pointledger_tenant_commands_waiting{tenant="shop"}': 200,
    "pointledger_tenant_commands_waiting_limit": 1_000_000,
    "pointledger_commands_dead": 0,
    "pointledger_commands_failing": 0,
    'pointledger_dead_letters{state="dead"}': 0,
    'pointledger_dead_letters{state="deferred"}': 0,
    "pointledger_tenants_paused": 0,
    'pointledger_job_oldest_age_seconds{job="expire-points"}': 600,
    "pointledger_outbox_oldest_age_seconds": 0.4,
    "pointledger_beat_age_seconds": 3,
}
# Their growth in a minute, of an ordinary shop.
_COUNTERS: dict[str, float] = {
    "pointledger_lost_doorbells_total": 0,
    "pointledger_failed_attempts_total": 0,
    "pointledger_commands_given_up_total": 0,
    'pointledger_batch_retries_total{error="40P01"}': 0.05,
    "pointledger_timed_out_alone_total": 0,
    "pointledger_locked_users_total": 0,
    'pointledger_dead_letters_dropped_total{entry_point="ingest"}': 0,
    'pointledger_outcomes_total{reason="",state="applied"}': 5900,
    'pointledger_outcomes_total{reason="INSUFFICIENT_BALANCE",state="refused"}': 100,
    'pointledger_outcome_seconds_bucket{le="1.0"}': 5995,
    "pointledger_outcome_seconds_count": 6000,
    _API.format(200): 6000,
    _API.format(500): 0,
    'pointledger_http_accept_seconds_bucket{le="0.1"}': 5995,
    "pointledger_http_accept_seconds_count": 6000,
}
_OF_POSTGRES = [
    name
    for name in _GAUGES
    if not name.startswith(("pointledger_up", "pointledger_beat", "pointledger_http"))
]
_OF_REDIS = [name for name in _COUNTERS if "http" not in name] + ["pointledger_beat_age_seconds"]


def _alert(*names: str) -> set[str]:
    return {f"Pointledger{name}" for name in names}


_ACCEPTED_FAST = 'pointledger_http_accept_seconds_bucket{le="0.1"}'
_ENDED_FAST = 'pointledger_outcome_seconds_bucket{le="1.0"}'
_STEP = 4  # minutes between the samples of a day: the shortest window, of five, needs two of them
_LAG = 'pointledger_lane_lag_seconds{lane="1"}'
_DEADLOCKS = 'pointledger_batch_retries_total{error="40P01"}'
_DYING = _alert("CommandDead", "CommandsFail")

FAULTS = [
    Fault(
        "Postgres is down",
        _alert("ServerDown"),
        gauges={'pointledger_up{server="postgres"}': 0},
        missing=_OF_POSTGRES,
    ),
    Fault(
        "Redis is down", _alert("ServerDown"), gauges={'pointledger_up{server="redis"}': 0}, missing=_OF_REDIS
    ),
    Fault("no exporter answers", _alert("NoMetrics"), missing=[*_GAUGES, *_COUNTERS]),
    Fault("the API answers 500", _alert("ApiFails"), counters={_API.format(500): 2}),
    Fault("a lane lags", _alert("CommandsLate"), 3, {_LAG: 15}, healthy_minutes=600),
    Fault("the backlog grows", _alert("BacklogHalfFull"), gauges={"pointledger_commands_waiting": 1_200_000}),
    Fault(
        "a tenant's backlog grows",
        _alert("TenantBacklogHalfFull"),
        gauges={'pointledger_tenant_commands_waiting{tenant="shop"}': 600_000},
    ),
    Fault("beat is away", _alert("BeatAway"), gauges={"pointledger_beat_age_seconds": 40}),
    Fault("beat has never run", _alert("BeatAway"), missing=["pointledger_beat_age_seconds"]),
    Fault("doorbells are lost", _alert("DoorbellsLost"), counters={"pointledger_lost_doorbells_total": 1}),
    Fault("a command is dead", _alert("CommandDead"), gauges={"pointledger_commands_dead": 1}),
    Fault("an attempt fails", _alert("CommandsFail"), counters={"pointledger_failed_attempts_total": 0.5}),
    Fault("batches are retried", _alert("BatchesRetried"), counters={_DEADLOCKS: 3}),
    Fault("commands time out", _alert("CommandsTimeOut"), counters={"pointledger_timed_out_alone_total": 1}),
    Fault("a session locks rows", _alert("RowsLocked"), counters={"pointledger_locked_users_total": 1}),
    Fault(
        "a nightly job is late",
        _alert("JobLate"),
        gauges={'pointledger_job_oldest_age_seconds{job="expire-points"}': 4000},
    ),
    Fault(
        "a tenant is paused for a day",
        _alert("TenantPaused"),
        _DAY + 8,
        {"pointledger_tenants_paused": 1},
        step=_STEP,
    ),
    Fault("a tenant is paused for hours", set(), 600, {"pointledger_tenants_paused": 1}, step=_STEP),
    Fault("events are late", _alert("EventsLate"), gauges={"pointledger_outbox_oldest_age_seconds": 75}),
    Fault(
        "a message is no command", _alert("DeadLetters"), gauges={'pointledger_dead_letters{state="dead"}': 1}
    ),
    Fault(
        "messages stay deferred",
        _alert("MessagesDeferred"),
        40,
        {'pointledger_dead_letters{state="deferred"}': 7},
    ),
    Fault(
        "dead letters are dropped",
        _alert("DeadLettersDropped"),
        counters={'pointledger_dead_letters_dropped_total{entry_point="ingest"}': 5},
    ),
    # A budget that burns fast needs a day before it, as every system has that is not new.
    Fault(
        "acceptance is slow",
        _alert("AcceptanceBudgetBurnsFast"),
        16,
        counters={_ACCEPTED_FAST: 1000},
        healthy_minutes=_DAY,
        step=_STEP,
    ),
    Fault("acceptance is slow for some minutes", set(), 4, {}, {_ACCEPTED_FAST: 1000}, (), _DAY, _STEP),
    Fault(
        "outcomes are late",
        _alert("OutcomeBudgetBurnsFast"),
        16,
        counters={_ENDED_FAST: 1000},
        healthy_minutes=_DAY,
        step=_STEP,
    ),
    Fault(
        "many commands die",
        _DYING | _alert("DeadBudgetBurnsFast"),
        16,
        {"pointledger_commands_dead": 700},
        {"pointledger_commands_given_up_total": 45, "pointledger_failed_attempts_total": 270},
        healthy_minutes=_DAY,
        step=_STEP,
    ),
    Fault(
        "a lane lags for long",
        _alert("CommandsLate", "LagBudgetBurnsFast"),
        6,
        {_LAG: 90},
        healthy_minutes=_DAY,
        step=2,
    ),
    # And one that burns slowly, for a day.
    Fault(
        "some acceptances are slow all day",
        _alert("AcceptanceBudgetBurns"),
        _DAY,
        counters={_ACCEPTED_FAST: 5760},
        step=_STEP,
    ),
    Fault(
        "some outcomes are late all day",
        _alert("OutcomeBudgetBurns"),
        _DAY,
        counters={_ENDED_FAST: 5760},
        step=_STEP,
    ),
    Fault(
        "some commands die all day",
        _DYING | _alert("DeadBudgetBurns"),
        _DAY,
        {"pointledger_commands_dead": 2800},
        {"pointledger_commands_given_up_total": 2, "pointledger_failed_attempts_total": 12},
        step=_STEP,
    ),
    Fault("a lane lags at times all day", _alert("LagBudgetBurns"), _DAY, {_LAG: [(2, 96), (12, 4)]}, step=2),
]


def series_of(fault: Fault) -> dict[str, str]:
    """Return the values of every series in promtool's notation, of each exporter."""
    before, during = fault.healthy_minutes // fault.step, fault.minutes // fault.step
    found = {}
    for name, value in _GAUGES.items():
        meanwhile = fault.gauges.get(name, value)
        pattern = [(meanwhile, fault.minutes)] if isinstance(meanwhile, int | float) else meanwhile
        found[name] = [f"{value}x{before - 1}", *_repeated(pattern, during, fault.step)]
    for name, growth in _COUNTERS.items():
        by_then, meanwhile = growth * fault.step * before, fault.counters.get(name, growth) * fault.step
        found[name] = [f"0+{growth * fault.step}x{before - 1}", f"{by_then}+{meanwhile}x{during - 1}"]
    for name in fault.missing:
        found[name][1:] = [f"_x{during}"]
    exporters = _EXPORTERS if fault.healthy_minutes + fault.minutes < _DAY // 2 else _EXPORTERS[:1]
    return {_of(exporter, name): " ".join(parts) for name, parts in found.items() for exporter in exporters}


def _repeated(pattern: Pattern, samples: int, step: int) -> list[str]:
    """Return the pattern for so many samples, from its beginning."""
    values = [value for value, minutes in pattern for _ in range(minutes // step)]
    return [str(values[place % len(values)]) for place in range(samples)]


def _of(exporter: str, series: str) -> str:
    """Add the label of the exporter."""
    name, _, labels = series.rstrip("}").partition("{")
    return f'{name}{{{labels}{"," if labels else ""}instance="{exporter}"}}'

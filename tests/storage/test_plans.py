"""Every statement that a process repeats reads few rows of a large table that was never analyzed.

Autovacuum needs a minute or more until a young table has statistics, and a bulk load makes old ones wrong.
"""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from celery import Celery

from pointledger import AnyCommand, ApplyRule, Earn, Freeze, SetStatus, Spend, Transfer
from pointledger.client.acceptor import Acceptance
from pointledger.client.backlog import Backlog
from pointledger.client.goodwill import Goodwill
from pointledger.client.queries.console import ConsoleQueries
from pointledger.domain.program.tenant import Tenant
from pointledger.embedded import ServerUrls
from pointledger.errors import IdempotencyKeyReused
from pointledger.events.broker import Publisher
from pointledger.events.relay import Relay
from pointledger.ids import show_id
from pointledger.integrations.celery_callbacks import CallbackSender, ResultDestination, TaskDestination
from pointledger.integrations.celery_commands import CommandsByName, open_commands
from pointledger.jobs.day_totals import DayTotals
from pointledger.jobs.reminders import SEND_EXPIRY_REMINDERS, ExpiryReminders
from pointledger.jobs.scheduler import EXPIRE_POINTS, RESET_DAILY_LIMITS, JobScheduler
from pointledger.observability.doctor import work
from pointledger.observability.metrics import Exporter
from pointledger.storage.database import read_only
from pointledger.storage.events import outbox
from pointledger.storage.queries import (
    activity,
    audit_log,
    day_totals,
    health,
    points_by_expiry,
    queue,
    trouble,
)
from pointledger.storage.queue import callbacks, failures, pending
from pointledger.storage.queue.lanes import terminate_stalled
from tests.console.stuck import die
from tests.databases import Clones, settings_of
from tests.events.ingesting import ingest_of, received
from tests.events.sender import earn
from tests.ledger import Ledger
from tests.storage.sent import (
    Plans,
    Read,
    Sent,
    forget_statistics,
    grow,
    recorded,
    remember_as_empty,
)

_GROWING = (
    "journal",
    "pending",
    "outcomes",
    "accounts",
    "entries",
    "lots",
    "outbox",
    "dead_letters",
    "callbacks",
    "failures",
    "audit_log",
)
_EMPTIED = ("pending", "outbox", "dead_letters", "callbacks", "failures")  # whose rows go when they are done
_BATCH = 1_000  # commands of a full batch
_FEW = 5_000  # some statements work on a thousand commands at once and read a few rows for each
_STATEMENTS = 60  # that are recorded at least; fewer mean that the recorder misses some

# A monitor's figures, and the backlog's, count rows up to a bound. A member's page sums one account's lots.
_COUNTED = 1_000_000
_COUNTING = (
    outbox._STATUS,
    callbacks._STATUS,
    health._TROUBLES,
    health._BY_TENANT,
    points_by_expiry._SUMS,
)

# What people look at in the console sums up or searches rows up to bounds of its own.
_LOOKED_AT = day_totals.MOST_SINCE
_LOOKING = (
    day_totals._GRANTS,
    *(day_totals._SINCE.format(moment=moment) for moment in day_totals._MOMENT.values()),
    activity._RECENT,
    audit_log._REACHED,
    queue._LANES,
    queue._TENANTS,
    trouble._COUNTS,
)

# What people do with dead commands reads those that they may mean.
_OF_DEAD = (failures._DEAD, failures._COUNT_DEAD, failures._RETRY_SOME, trouble._GROUPS)

# The copies are all in the state of the first row.
_IN_EVERY_STATE = (
    "UPDATE outbox SET sent_at = NULL WHERE seq % 2 = 0",
    "UPDATE callbacks SET due_at = NULL, try_at = NULL, sent_at = NULL WHERE id % 3 = 0",
    "UPDATE callbacks SET due_at = now(), try_at = now() + interval '1 day', sent_at = NULL WHERE id % 3 = 1",
    "UPDATE dead_letters SET state = 'deferred', deferred_until = now() + interval '1 day' WHERE id % 3 = 0",
)

SHOP: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}

Loaded = tuple[psycopg.Connection[Any], dict[str, Sent]]


def send_by_name(ledger: Ledger) -> None:
    """Send commands through Celery: one for now with callbacks, one for later, and one that is malformed."""
    app = Celery(broker=ledger.settings.broker, backend=ledger.settings.result_url, set_as_current=False)
    link = app.signature("shop.next", queue="shop")
    app.send_task("points.earn", kwargs=SHOP | {"amount": 5}, queue=ledger.settings.commands_queue, link=link)
    app.send_task(
        "points.earn", kwargs=SHOP | {"amount": 5}, queue=ledger.settings.commands_queue, countdown=60
    )
    app.send_task("points.earn", kwargs=SHOP | {"amount": -5}, queue=ledger.settings.commands_queue)
    app.close()


def accept(ledger: Ledger) -> list[str]:
    """Use every way in, also with commands that are known already."""
    first = Earn(**SHOP, amount=50, idempotency_key="k")
    commands: list[AnyCommand] = [
        ApplyRule(**SHOP, event_type="paid", event_id="e"),
        Freeze(**SHOP, amount=5),
        Spend(**SHOP, amount=1),
        Transfer(**SHOP, to_user_id="ben", amount=1),
        SetStatus(**SHOP, status="suspended", reason="asked for"),
    ]
    task_ids = [ledger.client.enqueue(first), *ledger.client.enqueue_many(commands)]
    ledger.client.enqueue_many([first, *commands])
    with suppress(IdempotencyKeyReused):
        ledger.client.enqueue(Earn(**SHOP, amount=51, idempotency_key="k"))
    with ledger.database.begin() as connection:
        ledger.client.accept([Earn(**SHOP, amount=1)], connection)
    acceptance = Acceptance(
        ledger.database, ledger.doorbells, ledger.settings, Backlog(ledger.database, ledger.settings)
    )
    acceptance.accept_each([Earn(**SHOP, amount=1), first])
    acceptance.has_room([0, 1])
    return task_ids


def work_in_every_process(ledger: Ledger) -> None:
    """Do once what each process repeats."""
    settings, database = ledger.settings, ledger.database
    acceptance = Acceptance(database, ledger.doorbells, settings, Backlog(database, settings))
    # First a full batch of several lanes: the plan of a few values can be a good one by chance. Users without
    # an account leave no rows in other tables.
    users = [("ben", "carl", "dora")[number % 3] for number in range(_BATCH)]
    ledger.client.enqueue_many([Spend(tenant_id="shop", user_id=user, amount=1) for user in users])
    ledger.drain()
    task_ids = accept(ledger)
    ledger.drain()
    ledger.client.outcomes(task_ids)
    ledger.client.points_by_expiry(**SHOP)
    by_name, queue = CommandsByName(database, acceptance, settings, lambda: None), open_commands(settings)
    send_by_name(ledger)
    by_name.step(queue, wait_seconds=1)
    by_name.accept_deferred()
    queue.close()
    ingest = ingest_of(ledger, per_minute=1)
    for number in range(3):  # the second one is over the quota
        received(ingest, earn(number))
    received(ingest, b"garbage")
    ingest.retry_deferred()
    ledger.drain()
    for destination in (TaskDestination(settings), ResultDestination(settings)):
        sender = CallbackSender(database, settings, destination)
        sender.run(iter([False, True]).__next__, lambda: None, lambda _: None)
        sender.close()
    jobs(ledger, acceptance)
    relay(ledger)
    work_of_operators(ledger)
    look_at_every_page(ledger, task_ids[0])


def jobs(ledger: Ledger, acceptance: Acceptance) -> None:
    scheduler = JobScheduler(
        ledger.database, acceptance, help_on=lambda lanes: [ledger.engine.drain(lane) for lane in lanes]
    )
    for job in (EXPIRE_POINTS, RESET_DAILY_LIMITS, SEND_EXPIRY_REMINDERS):
        scheduler.open_runs(job, from_today=True)
    while scheduler.expire_points() or scheduler.reset_daily_limits():
        pass
    while ExpiryReminders(ledger.database).send_expiring():
        pass
    scheduler.activate_points()
    scheduler.release_holds()
    scheduler.finish_erasures()
    for _ in range(2):  # the first call asks which transactions are open
        DayTotals(ledger.database, lag_seconds=0).sum_up()
    list(scheduler.expire_now())
    ledger.client.enqueue(Earn(**SHOP, amount=1))
    with ledger.database.connect() as connection:  # the task that beat sends every two seconds
        terminate_stalled(connection, ledger.settings.lock_ttl_ms)
        pending.waiting_lanes(connection, 0.0)
        pending.full_lanes(connection, [0, 1], 0)


def relay(ledger: Ledger) -> None:
    publisher = Publisher(ledger.settings)
    sender = Relay(ledger.database, publisher, ledger.settings)
    states = iter([False] * 4 + [True])
    sender.run(lambda: next(states), lambda _: None)
    publisher.close()


def work_of_operators(ledger: Ledger) -> None:
    """Retry a dead command, then all others, and read what a monitor reads every few seconds."""
    with read_only(ledger.database) as connection:
        ledger.client.retry(show_id(failures.dead(connection)[0].id))
        list(ledger.client.retry_all(failures.ALL_DEAD))
        work.examine(connection, ledger.settings, 1.0)
    list(Exporter(ledger.database, ledger.redis, ledger.settings).collect())


def look_at_every_page(ledger: Ledger, task_id: str) -> None:
    """What people read in the console."""
    console = ConsoleQueries(ledger.database)
    moment: datetime = ledger.rows("SELECT now()")[0][0]
    week = timedelta(days=7)
    rule, *_ = console.rules("shop")
    for by in ("recorded", "occurred"):
        console.days("shop", by=by)
    console.outstanding("shop")
    console.rule_versions("shop", show_id(rule.rule.id))
    console.configurations("shop")
    console.checks("shop")
    console.past_checks("shop")
    console.queue("shop")
    console.waiting_by_tenant(["shop"])
    console.activity("shop")
    console.dead_groups("shop")
    console.dead_commands("shop")
    console.count_dead("shop")
    console.dead_letters("shop")
    console.batches("shop")
    console.jobs("shop")
    for each in (task_id, ledger.client.enqueue(Earn(**SHOP, amount=1))):
        console.command("shop", each)
    console.find_members("shop", "an")
    console.entries("shop", "anna", type="spend")
    console.statement("shop", "anna", moment - week, moment + week)
    list(console.statement_entries("shop", "anna", moment - week, moment + week, most=1_000))
    console.acts("shop")
    goodwill = Goodwill(ledger.database, ledger.settings)
    goodwill.given_today(Tenant(tenant_id="shop"), "person:eva")


@pytest.fixture(scope="module", params=[20_000, pytest.param(200_000, marks=pytest.mark.long)])
def loaded(request: pytest.FixtureRequest, servers: ServerUrls, clones: Clones) -> Iterator[Loaded]:
    """A large ledger, and the statements of all processes. Its statistics are of when it was small."""
    prefix = f"plans-{secrets.token_hex(4)}"
    with clones.one() as url:
        settings = settings_of(
            servers, url, servers.redis_url, redis_prefix=prefix, result_url=servers.redis_url,
            commands_queue=prefix, events_exchange=prefix, events_queues=(prefix,),
        )  # fmt: skip
        with psycopg.connect(url, autocommit=True) as connection, Ledger(settings) as ledger:
            for table in _GROWING:
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            ledger.tenant(events="all", transfer_enabled=True)
            ledger.rule(name="paid", event_type="paid", points=3, limits=[{"period": "day", "max": 100}])
            die(ledger, "shop", "anna", ["broken"] * 3)  # which reads the command's whole lane
            with recorded() as statements:
                work_in_every_process(ledger)
            die(ledger, "shop", "anna", ["broken"])
            connection.execute("ANALYZE")
            connection.execute("SET session_replication_role = replica")  # no triggers: rows without others
            for table in _GROWING:
                grow(connection, table, request.param)
            for statement in _IN_EVERY_STATE:
                connection.execute(statement)
            yield connection, statements


@pytest.mark.parametrize("generic", [False, True], ids=["for these values", "for any values"])
@pytest.mark.parametrize("statistics", ["of when it was small", "none", "of an empty queue"])
def test_no_repeated_statement_reads_a_large_table(loaded: Loaded, statistics: str, generic: bool) -> None:
    connection, statements = loaded
    assert set(_LOOKING) <= set(statements)
    if statistics != "of when it was small":
        forget_statistics(connection, _GROWING)
    if statistics == "of an empty queue":
        remember_as_empty(connection, _EMPTIED)
    plans = Plans(connection)
    wrong: dict[str, list[Read]] = {}
    for sent in statements.values():
        most = _COUNTED if sent.text in _COUNTING else _LOOKED_AT if sent.text in _LOOKING else _FEW
        growing = set(_GROWING) - ({"failures"} if sent.text in _OF_DEAD else set())
        found = [read for read in plans.reads(sent, generic=generic) if read.table in growing]
        if bad := [read for read in found if not read.is_within(most)]:
            wrong[sent.text] = bad
    assert len(statements) > _STATEMENTS
    assert not wrong, "\n".join("\n    ".join([text, *map(str, found)]) for text, found in wrong.items())

"""Events out: `relay` sends them, `outbox` shows what waits. Events in: `intake` takes them."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from pointledger.cli.output import FAILED, Json, note, print_fields, print_json
from pointledger.cli.session import opened_acceptance, opened_database, opened_settings, reading
from pointledger.client.backlog import Backlog
from pointledger.events.broker import Publisher
from pointledger.events.ingest import Intake, load_producers
from pointledger.events.ingest_queue import open_mailbox
from pointledger.events.relay import Relay
from pointledger.integrations.celery_commands import ByName
from pointledger.messaging.redis_client import connect
from pointledger.observability.counters import sending
from pointledger.observability.doctor import require_safe
from pointledger.settings import Settings
from pointledger.storage.events import outbox as storage


def relay(
    once: Annotated[bool, typer.Option("--once", help="Send what waits, and end.")] = False,
    json: Json = False,
) -> None:
    """Send outgoing events to the broker until stopped. Any number may run, on any machine."""
    with opened_settings() as settings, opened_database(settings) as database, stop_signals() as stop:
        publisher = Publisher(settings)
        try:
            sender = Relay(database, publisher, settings)
            if not once:
                note(f"Relaying events to the exchange {settings.events_exchange}; Ctrl-C ends it.", "dim")
                with sending(connect(settings), settings):
                    sender.run(stop.is_set, stop.wait)
                return
            sent = sender.send_all()
        finally:
            publisher.close()
        with database.connect() as connection:
            waiting = storage.status(connection)
    (print_json if json else print_fields)({"sent": sent.events, "waiting": waiting.events})


def intake(
    once: Annotated[bool, typer.Option("--once", help="Take what is there, and end.")] = False,
    json: Json = False,
) -> None:
    """Take other services' events from the queue until stopped. Who may send stands in a file of keys."""
    with opened_intake() as (settings, taker), stop_signals() as stop:
        mailbox = open_mailbox(settings.events, settings.intake_queue, quorum=True)
        counts: Counter[str] = Counter(accepted=0, dead=0, held=0)
        try:
            if not once:
                note(f"Taking events from the queue {settings.intake_queue}; Ctrl-C ends it.", "dim")
                with sending(connect(settings), settings):
                    taker.run(mailbox, stop.is_set, stop.wait)
                return
            while taken := taker.step(mailbox, wait_seconds=0.2):
                counts += taken
            counts += taker.retry_held()
        finally:
            mailbox.close()
    (print_json if json else print_fields)({name: counts[name] for name in ("accepted", "dead", "held")})


@contextmanager
def opened_intake() -> Iterator[tuple[Settings, Intake]]:
    """The intake of these settings. Raises InvalidProducers and UnsafeConfiguration."""
    with opened_settings() as settings, opened_database(settings) as database:
        require_safe(database, settings)
        producers = load_producers(settings)
        with opened_acceptance(database, settings, Backlog(database, settings)) as acceptance:
            yield settings, Intake(database, acceptance, producers)


@contextmanager
def opened_by_name() -> Iterator[ByName]:
    """What makes commands of messages that were sent by name. Raises UnsafeConfiguration."""
    with opened_settings() as settings, opened_database(settings) as database:
        require_safe(database, settings)
        with opened_acceptance(database, settings, Backlog(database, settings)) as acceptance:
            yield ByName(database, acceptance, settings)


def outbox(
    within: Annotated[
        float | None,
        typer.Option("--within", metavar="SECONDS", help="Exit status 1 if the oldest has waited longer."),
    ] = None,
    json: Json = False,
) -> None:
    """Show how far the relays are behind: events that wait, and for how long the oldest has."""
    with reading() as connection:
        found = storage.status(connection)
    shown: dict[str, Any] = {
        "waiting": found.events,
        "rows": found.rows,
        "slots": found.slots,
        "oldest_seconds": found.oldest_seconds,
    }
    (print_json if json else print_fields)(shown)
    if within is not None and (found.oldest_seconds or 0) > within:
        raise typer.Exit(FAILED)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Set by SIGTERM or SIGINT: what is at hand is finished first."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

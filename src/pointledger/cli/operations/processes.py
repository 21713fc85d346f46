"""Commands that run or watch event processes: `relay`, `ingest`, `outbox`."""

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
from pointledger.events.ingest import Ingest
from pointledger.events.ingest_queue import open_ingest_queue
from pointledger.events.reader import load_producers
from pointledger.events.relay import Relay
from pointledger.integrations.celery_commands import CommandsByName
from pointledger.messaging.redis_client import connect
from pointledger.observability.counters import flushing
from pointledger.observability.heartbeat import Heartbeat, Process
from pointledger.observability.span_export import send_spans
from pointledger.settings import Settings
from pointledger.storage.events import outbox as storage
from pointledger.storage.queue.dead_letters import Bounds


def relay(
    once: Annotated[bool, typer.Option("--once", help="Send the waiting events, then exit.")] = False,
    json: Json = False,
) -> None:
    """Send outgoing events to the broker until stopped. Several relays can run at the same time."""
    with (
        opened_settings() as settings,
        stop_signals(Heartbeat(settings.health_folder, Process.RELAY)) as stop,
        opened_database(settings, None if once else stop) as database,
    ):
        send_spans(settings, "relay")
        publisher = Publisher(settings)
        try:
            sender = Relay(database, publisher, settings)
            if not once:
                note(f"Relaying events to the exchange {settings.events_exchange}; Ctrl-C stops it.", "dim")
                with flushing(connect(settings), settings):
                    sender.run(stop.is_set, stop.wait)
                return
            sent = sender.send_all()
        finally:
            publisher.close()
        with database.connect() as connection:
            waiting = storage.status(connection)
    (print_json if json else print_fields)({"sent": sent.events, "waiting": waiting.events})


def ingest(
    once: Annotated[bool, typer.Option("--once", help="Receive the waiting events, then exit.")] = False,
    json: Json = False,
) -> None:
    """Receive events of other services from the queue until stopped.

    POINTLEDGER_INGEST_KEYS_FILE names the file of producers and their keys.
    """
    with (
        opened_settings() as settings,
        stop_signals(Heartbeat(settings.health_folder, Process.INGEST)) as stop,
        opened_ingest(settings, None if once else stop) as events,
    ):
        send_spans(settings, "ingest")
        ingest_queue = open_ingest_queue(settings.events, settings.ingest_queue, quorum=True)
        counts: Counter[str] = Counter(accepted=0, dead=0, deferred=0)
        try:
            if not once:
                note(f"Receiving events from the queue {settings.ingest_queue}; Ctrl-C stops it.", "dim")
                with flushing(connect(settings), settings):
                    events.run(ingest_queue, stop.is_set, stop.wait)
                return
            while received := events.step(ingest_queue, wait_seconds=0.2):
                counts += received
            counts += events.retry_deferred()
        finally:
            ingest_queue.close()
    (print_json if json else print_fields)({name: counts[name] for name in ("accepted", "dead", "deferred")})


@contextmanager
def opened_ingest(settings: Settings, stop: threading.Event | None = None) -> Iterator[Ingest]:
    """Open the ingest. Raises InvalidProducers and UnsafeConfiguration.

    With `stop`, wait until the database answers.
    """
    with opened_database(settings, stop, safe=True) as database:
        producers = load_producers(settings)
        with opened_acceptance(settings, Backlog(database, settings, shares=False)) as acceptance:
            bounds = Bounds(settings.dead_letters_signed, settings.dead_letters_unsigned)
            yield Ingest(database, acceptance, producers, bounds=bounds)


@contextmanager
def opened_celery_commands() -> Iterator[CommandsByName]:
    """Open the entry point for commands from Celery. Raises UnsafeConfiguration."""
    with (
        opened_settings() as settings,
        opened_database(settings, safe=True) as database,
        opened_acceptance(settings, Backlog(database, settings, shares=False)) as acceptance,
    ):
        yield CommandsByName(database, acceptance, settings)


def outbox(
    within: Annotated[
        float | None,
        typer.Option(
            "--within", metavar="SECONDS", help="Exit with status 1 if the oldest event has waited longer."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show how far the relays are behind: the number of waiting events and the age of the oldest."""
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


class _Stop(threading.Event):
    """An event that also beats when it is asked, because each loop asks it in every round."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        super().__init__()
        self._heartbeat = heartbeat

    def is_set(self) -> bool:
        self._heartbeat.beat()
        return super().is_set()


@contextmanager
def stop_signals(heartbeat: Heartbeat | None = None) -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set, so that a process can finish its current work.

    With `heartbeat`, `is_set()` of the event beats.
    """
    stop = _Stop(heartbeat) if heartbeat else threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

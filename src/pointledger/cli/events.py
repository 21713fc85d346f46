"""Events out: `relay` sends them, `outbox` shows what waits."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from pointledger.broker import Publisher
from pointledger.cli.opening import opened_database, opened_settings, reading
from pointledger.cli.output import Json, note, print_fields, print_json
from pointledger.relay import Relay
from pointledger.storage import outbox as storage


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
                sender.run(stop.is_set, stop.wait)
                return
            sent = sender.send_all()
        finally:
            publisher.close()
        with database.connect() as connection:
            waiting = storage.status(connection)
    (print_json if json else print_fields)({"sent": sent.events, "waiting": waiting.events})


def outbox(json: Json = False) -> None:
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

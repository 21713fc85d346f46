"""A ledger restored from a dump is sound, but lacks what callers and consumers have seen since.

These tests show the facts that docs/operate/back-up-and-restore.md relies on.
"""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pointledger import AnyCommand, ApplyRule, Earn, EraseUser, Spend
from pointledger.embedded import ServerUrls
from pointledger.embedded.binaries import find_postgres
from pointledger.observability.doctor import examine
from pointledger.observability.replay.replay import replay
from pointledger.observability.verify import verify
from pointledger.storage.events import outbox
from pointledger.storage.migrate import migrate
from tests.databases import fresh_database, settings_of
from tests.ledger import Ledger, data_of

ANNA: dict[str, Any] = {"tenant_id": "store", "user_id": "anna"}


@pytest.fixture
def store(ledger: Ledger) -> Ledger:
    """A ledger with a tenant that publishes events."""
    ledger.tenant("store", events="all")
    return ledger


def _dump(ledger: Ledger, folder: Path) -> Path:
    """Write a dump as an operator's nightly pg_dump does."""
    target = folder / "ledger.dump"
    _postgres("pg_dump", "--format=custom", f"--file={target}", f"--dbname={ledger.settings.owner}")
    return target


@contextmanager
def _restored(servers: ServerUrls, ledger: Ledger, dump: Path) -> Iterator[Ledger]:
    """Restore the dump to an empty database as the page says, with the same Redis."""
    with fresh_database(servers, f"restored_{secrets.token_hex(4)}") as url:
        _postgres(
            "pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={url}", str(dump)
        )
        migrate(url, app_url=servers.worker_url)
        with Ledger(settings_of(servers, url, ledger.settings.redis)) as opened:
            yield opened


def _postgres(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(find_postgres() / program), *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def _unsent(ledger: Ledger) -> dict[str, str]:
    """Return the pending events about entries: the command id of each event id."""
    with ledger.database.connect() as connection:
        seqs = [seq for (seq,) in ledger.rows("SELECT seq FROM outbox WHERE sent_at IS NULL ORDER BY seq")]
        events = outbox.events(connection, seqs)
    entries = [event for event in events if "transaction" in event.data]
    return {str(event.id): event.data["transaction"]["command_id"] for event in entries}


def _send(ledger: Ledger) -> dict[str, str]:
    """Mark the pending events as sent and return them."""
    sent = _unsent(ledger)
    with ledger.database.begin() as connection:
        outbox.mark_sent(connection, [seq for (seq,) in ledger.rows("SELECT seq FROM outbox")])
    return sent


def test_a_ledger_restored_from_a_dump_is_sound_and_applies_commands(
    eventful: Ledger, servers: ServerUrls, tmp_path: Path
) -> None:
    eventful.tenant("store")
    with _restored(servers, eventful, _dump(eventful, tmp_path)) as restored:
        assert verify(restored.database).violations == 0
        assert replay(restored.database).differences == 0
        found = {finding.check: finding.verdict for finding in examine(restored.settings).findings}
        assert (found["migrations"], found["postgres-role"]) == ("fine", "fine")

        assert restored.apply(Earn(**ANNA, amount=10))[0].state == "applied"
        assert verify(restored.database).violations == 0


def test_after_a_restore_commands_sent_again_apply_once(
    store: Ledger, servers: ServerUrls, tmp_path: Path
) -> None:
    before = Earn(**ANNA, amount=100, idempotency_key="before")
    store.apply(before)
    dump = _dump(store, tmp_path)
    since: list[AnyCommand] = [Spend(**ANNA, amount=30, idempotency_key="since"), Earn(**ANNA, amount=5)]
    assert [outcome.state for outcome in store.apply(*since)] == ["applied", "applied"]

    with _restored(servers, store, dump) as restored:
        states = [restored.client.outcome(str(each.id)).state for each in (before, *since)]
        assert states == ["applied", "unknown", "unknown"]

        restored.apply(before, *since, Spend(**ANNA, amount=30, idempotency_key="since"))

        assert restored.balance("anna", "store") == store.balance("anna", "store") == 75
        assert verify(restored.database).violations == 0
        assert replay(restored.database).differences == 0


def test_after_a_restore_events_keep_their_command_ids(
    store: Ledger, servers: ServerUrls, tmp_path: Path
) -> None:
    """Events from before the dump are sent again with the same id.

    A command from after the dump that its caller sends again makes an event with a new id.
    """
    _send(store)
    store.apply(Earn(**ANNA, amount=100))
    dump = _dump(store, tmp_path)
    older = _send(store)
    since = Earn(**ANNA, amount=5)
    store.apply(since)
    lost = _send(store)

    with _restored(servers, store, dump) as restored:
        assert _send(restored) == older

        restored.apply(since)

        again = _send(restored)
        assert set(again.values()) == set(lost.values())
        assert set(again).isdisjoint(lost)


def test_after_a_restore_a_later_erasure_must_be_repeated(
    store: Ledger, servers: ServerUrls, tmp_path: Path
) -> None:
    store.apply(Earn(**ANNA, amount=100))
    dump = _dump(store, tmp_path)
    erasure = EraseUser(**ANNA)
    assert store.apply(erasure)[0].state == "applied"

    with _restored(servers, store, dump) as restored:
        assert restored.balance("anna", "store") == 100, "the dump contains the user"

        assert restored.apply(erasure)[0].state == "applied"

        named = "SELECT FROM accounts WHERE tenant_id = 'store' AND user_id = 'anna'"
        assert restored.rows(named) == []


def test_a_rule_saved_again_after_a_restore_does_not_apply_to_earlier_events(
    store: Ledger, servers: ServerUrls, tmp_path: Path
) -> None:
    """A rule's version applies from the time at which it is saved, so earlier events get the older one."""
    rule: dict[str, Any] = {"name": "visit", "event_type": "visited"}
    store.rule("store", **rule, points=10)
    dump = _dump(store, tmp_path)
    store.rule("store", **rule, points=20)
    visit = ApplyRule(**ANNA, event_type="visited")
    assert data_of(store.apply(visit)[0])["points_earned"] == 20
    happened = store.rows("SELECT accepted_at FROM journal ORDER BY seq DESC LIMIT 1")[0][0]

    with _restored(servers, store, dump) as restored:
        restored.rule("store", **rule, points=20)
        then = ApplyRule(**ANNA, event_type="visited", occurred_at=happened)
        now = ApplyRule(**ANNA, event_type="visited")

        outcomes = restored.apply(then, now)

        assert [data_of(outcome)["points_earned"] for outcome in outcomes] == [10, 20]

"""Plays histories with other ids, batches and neighbors, and compares the results without ids."""

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pointledger.domain.commands.records import lane_of
from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks
from pointledger.ids import show_id
from pointledger.storage.ledger import erasures
from tests.ledger import Ledger
from tests.model.actions import Played, Sent
from tests.model.histories import History, PutConfig, PutRule, Round
from tests.model.random_histories import END
from tests.model.system import System

BATCH_SIZES = (1, 3, 20, 1000)

# ------------------------------------------------------------------------------------------- histories


def reduced(history: History, *, alone: bool) -> History:
    """Return the history with only accepted commands and changes of the program.

    `alone` also removes commands that affect two users: transfers, and grants under shared limits.
    """
    rounds, latest = [], history.rounds[0].sends[0].at or END
    for each in history.rounds:
        latest = max([latest, *(send.at for send in each.sends if send.at)])
        changes = [change for change in each.before if isinstance(change, PutConfig | PutRule)]
        dated = tuple(_dated(change, latest, alone=alone) for change in changes)
        accepted = [replace(send, key=None) for send in each.sends if send.again is None]
        sends = tuple(send for send in accepted if not (alone and send.kind == "transfer"))
        rounds.append(Round(dated, sends))
    rules = tuple(_own(rule) for rule in history.rules) if alone else history.rules
    return History(history.config, rules, tuple(rounds))


def _dated(change: PutConfig | PutRule, moment: datetime, *, alone: bool) -> PutConfig | PutRule:
    change = replace(change, at=change.at or moment)
    return replace(change, rule=_own(change.rule)) if alone and isinstance(change, PutRule) else change


def _own(rule: Any) -> dict[str, Any]:
    """Return the rule without shared limits."""
    limits = [limit for limit in rule.get("limits", ()) if limit.get("scope", "user") == "user"]
    return {**rule, "limits": limits} if "limits" in rule else dict(rule)


# --------------------------------------------------------------------------------------------- playing


class ReplayingSystem(System):
    """A system that plays histories with fixed moments of acceptance, in random batches."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        super().__init__(ledger, random.Random(seed))
        self._engine_of = {size: self._engine(size) for size in BATCH_SIZES}

    def _engine(self, size: int) -> Engine:
        settings = self._ledger.settings.model_copy(update={"batch_size": size})
        return Engine(
            self._ledger.database, Locks(self._ledger.redis, settings), self._ledger.doorbells, settings
        )

    def play(self, histories: Sequence[History], prefix: str) -> list[Played]:
        """Play the histories, and finish all erasures."""
        worlds = super().play(histories, prefix)
        with self._ledger.database.begin() as connection:
            while erasures.search_next(connection) is not None:
                pass
        return worlds

    def _send(self, worlds: list[Played], nth: int) -> None:
        names = self._names(worlds, nth)
        made = [
            (world, [self._made(world, send, names) for send in world.history.rounds[nth].sends])
            for world in worlds
        ]
        for group in self._groups(made):
            self._accept([sent for _, sent in group])
            self._date(group)
            self._drain()

    def _groups(self, made: list[tuple[Played, list[Sent]]]) -> Iterator[list[tuple[Played, Sent]]]:
        """Yield all commands in one random order that keeps each tenant's order."""
        queues = [[(world, sent) for sent in theirs] for world, theirs in made if theirs]
        mixed = []
        while queues:
            queue = self._chance.choice(queues)
            mixed.append(queue.pop(0))
            if not queue:
                queues.remove(queue)
        yield mixed

    def _date(self, group: list[tuple[Played, Sent]]) -> None:
        """Set the moment of acceptance to when a command happened, or to the end of the history."""
        with self._ledger.owner.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER USER")
            connection.exec_driver_sql(
                """UPDATE journal SET accepted_at = given.moment
                   FROM unnest(%(ids)s::uuid[], %(moments)s::timestamptz[]) AS given (id, moment)
                   WHERE journal.id = given.id""",
                {
                    "ids": [sent.command.id for _, sent in group],
                    "moments": [sent.send.at or END for _, sent in group],
                },
            )
            connection.exec_driver_sql("ALTER TABLE journal ENABLE TRIGGER USER")

    def _drain(self) -> None:
        while self._ledger.counts("pending") != [0]:
            lanes = self._ledger.waiting_lanes()
            self._chance.shuffle(lanes)
            for lane in lanes:
                self._engine_of[self._chance.choice(BATCH_SIZES)].drain(lane)


class OrderedReplay(ReplayingSystem):
    """A system that applies commands in a recorded order. `order` has their places by world and label."""

    def __init__(self, ledger: Ledger, seed: int, order: dict[tuple[int, int], int]) -> None:
        super().__init__(ledger, seed)
        self._order = order

    def _groups(self, made: list[tuple[Played, list[Sent]]]) -> Iterator[list[tuple[Played, Sent]]]:
        """Yield groups of commands in which different lanes change no common state."""
        everything = [
            (world, sent, self._order[_nth(world), sent.send.label])
            for world, theirs in made
            for sent in theirs
        ]
        group: list[tuple[Played, Sent]] = []
        lanes: dict[Any, int] = {}
        for world, sent, _ in sorted(everything, key=lambda each: each[2]):
            lane = lane_of(world.tenant_id, sent.send.user, self._ledger.settings.lanes)
            changed = [(world.tenant_id, user) for user in sent.command.users]
            if sent.send.kind in ("apply-rule", "clawback", "cancel-pending"):
                changed.append((world.tenant_id, ""))  # they can count in a shared limit
            if any(lanes.get(each, lane) != lane for each in changed):
                yield group
                group, lanes = [], {}
            group.append((world, sent))
            lanes |= dict.fromkeys(changed, lane)
        if group:
            yield group


def _nth(world: Played) -> int:
    return int(world.tenant_id.rpartition("-")[2])


def order_of(ledger: Ledger, worlds: Sequence[Played]) -> dict[tuple[int, int], int]:
    """Return the place of each command in the recorded order of application, by world and label.

    Duplicates of another command, such as jobs of one moment, come last.
    """
    places = {
        command_id: place
        for place, (command_id,) in enumerate(ledger.rows("SELECT id FROM outcomes ORDER BY batch, place"))
    }
    return {
        (_nth(world), label): places.get(sent.command.id, len(places))
        for world in worlds
        for label, sent in world.sent.items()
    }


# ------------------------------------------------------------------------------- results, without ids

_ID = re.compile(
    r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|0[0-9A-HJKMNP-TV-Z]{25})\b|erased:[0-9a-f]{32}"
)

# The columns of each table that depend on when a row was written, or on the rows that a batch loaded.
_TABLES: dict[str, tuple[str, ...]] = {
    "accounts": ("created_at", "updated_at", "next_expiry_at", "next_activation_at"),
    "entries": ("created_at",),
    "lots": (),
    "lot_moves": (),
    "holds": (),
    "hold_lots": (),
    "usage": (),
    "shared_usage": (),
    "wallets": ("created_at", "updated_at"),
    "wallet_entries": ("created_at",),
    "wallet_lines": (),
    "expiry_changes": ("recorded_at",),
    "outcomes": ("applied_at", "batch", "place", "tenant_version", "rule_versions"),
}


def results_of(ledger: Ledger, worlds: Sequence[Played]) -> dict[str, list[str]]:
    """Return all rows of these worlds, by table and world, sorted, with names in place of ids."""
    names = dict(_names(ledger, worlds))
    found = {}
    for table, excluded in _TABLES.items():
        for world in worlds:
            query = f"SELECT * FROM {table} WHERE tenant_id = %(tenant)s"
            if table == "shared_usage":  # a batch creates the counters that it reads, and may count in none
                query += " AND (points, times) <> (0, 0)"
            rows = ledger.rows(f"SELECT to_jsonb(t) AS row FROM ({query}) t", tenant=world.tenant_id)
            texts = (_text(row.row, excluded, names).replace(world.tenant_id, "the tenant") for row in rows)
            found[f"{table} of {_nth(world)}"] = sorted(texts)
    return found


def _text(row: dict[str, Any], excluded: Sequence[str], names: dict[str, str]) -> str:
    shown = {name: value for name, value in row.items() if name not in (*excluded, "tenant_id")}
    if isinstance(shown.get("data"), dict) and isinstance(shown["data"].get("wallet"), dict):
        shown["data"]["wallet"] = {**shown["data"]["wallet"], "created_at": None, "updated_at": None}
    text = json.dumps(shown, sort_keys=True)
    return _ID.sub(lambda match: names.get(match[0], match[0]), text)


_MADE = """
SELECT tenant_id, id::text, 'account of ' || user_id AS name FROM accounts
UNION ALL
SELECT tenant_id, id::text, 'wallet of ' || user_id FROM wallets
UNION ALL
SELECT DISTINCT tenant_id, rule_id::text, 'rule ' || name FROM rule_versions
UNION ALL
SELECT e.tenant_id, e.id::text, a.user_id || '/' || e.seq
FROM entries e JOIN accounts a ON a.id = e.account_id
UNION ALL
SELECT l.tenant_id, l.id::text, a.user_id || '/' || l.seq || '/' || l.place
FROM lots l JOIN accounts a ON a.id = l.account_id
UNION ALL
SELECT e.tenant_id, e.id::text, 'money of ' || w.user_id || '/' || e.seq
FROM wallet_entries e JOIN wallets w ON w.id = e.wallet_id
UNION ALL
SELECT tenant_id, pseudonym, 'erased by ' || command_id FROM erasures"""


def _names(ledger: Ledger, worlds: Sequence[Played]) -> Iterator[tuple[str, str]]:
    """Yield a name for each id, in both spellings, and for each pseudonym."""
    commands = {
        str(sent.command.id): f"command {label}" for world in worlds for label, sent in world.sent.items()
    }
    tenants = {world.tenant_id for world in worlds}
    erased: dict[str, str] = {}
    made = [(made_id, name) for tenant, made_id, name in ledger.rows(_MADE) if tenant in tenants]
    for made_id, name in [*commands.items(), *made]:
        if made_id.startswith("erased:"):
            erased[made_id] = commands[name.removeprefix("erased by ")]
    for made_id, name in [*commands.items(), *made]:
        readable = _ID.sub(
            lambda match: f"erased by {erased[match[0]]}" if match[0] in erased else match[0], name
        )
        if made_id in erased:
            yield made_id, f"erased by {erased[made_id]}"
        else:
            yield made_id, readable
            yield show_id(UUID(made_id)), readable

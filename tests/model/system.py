"""Plays histories side by side through client, workers and Postgres, so that their commands share batches."""

import json
import random
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pointledger import command_from
from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks
from pointledger.errors import IdempotencyKeyReused
from pointledger.ids import show_id
from pointledger.storage.errors import DATABASE_ERRORS, is_transient
from tests.engine.many_workers import GrantAllLocks
from tests.ledger import Ledger
from tests.model.acceptor import AcceptorModel, acceptance_of
from tests.model.actions import REUSED, Played, Sent, begin, do
from tests.model.histories import History, Pause, Ref, Send

_CALLS = (1, 50, 1000, 1000)  # commands that are accepted together
BATCH_SIZES = (1, 7, *[40] * 3, *[1000] * 25)  # small ones split a user's commands


class System:
    """The ledger in this process, with several workers."""

    def __init__(self, ledger: Ledger, chance: random.Random, workers: int = 1) -> None:
        self._ledger, self._chance = ledger, chance
        self._workers = [self._engines() for _ in range(workers)]
        self._acceptors: dict[str, AcceptorModel] = {}

    def _engines(self) -> dict[int, Engine]:
        """Return a worker for each batch size, sometimes without Redis locks."""
        made, ledger = {}, self._ledger
        locks_class = self._chance.choice((Locks, Locks, GrantAllLocks))
        for size in sorted(set(BATCH_SIZES)):
            settings = ledger.settings.model_copy(update={"batch_size": size})
            locks = locks_class(ledger.redis, settings)
            made[size] = Engine(ledger.database, locks, ledger.doorbells, settings)
        return made

    def play(self, histories: Sequence[History], prefix: str) -> list[Played]:
        """Play each history under its own tenant."""
        worlds = [Played(history, f"{prefix}-{nth}") for nth, history in enumerate(histories)]
        begin(self._ledger, worlds)
        for nth in range(max((len(history.rounds) for history in histories), default=0)):
            self._play_round([world for world in worlds if nth < len(world.history.rounds)], nth)
        do(self._ledger, [(world, Pause(on=False)) for world in worlds if _is_paused(world.history)])
        self._drain()
        return worlds

    def _play_round(self, worlds: list[Played], nth: int) -> None:
        do(self._ledger, [(world, action) for world in worlds for action in world.history.rounds[nth].before])
        self._send(worlds, nth)
        do(self._ledger, [(world, action) for world in worlds for action in world.history.rounds[nth].after])
        self._drain()

    # --------------------------------------------------------------------------------------------- send

    def _send(self, worlds: list[Played], nth: int) -> None:
        """Accept the commands of all worlds, mixed, but each world's in order."""
        names = self._names(worlds, nth)
        queues = []
        for world in worlds:
            sent = [self._made(world, send, names) for send in world.history.rounds[nth].sends]
            if sent:
                queues.append(sent)
        mixed: list[Sent] = []
        while queues:
            queue = self._chance.choice(queues)
            mixed.append(queue.pop(0))
            if not queue:
                queues.remove(queue)
        while mixed:
            size = self._chance.choice(_CALLS)
            self._accept(mixed[:size])
            mixed = mixed[size:]

    def _accept(self, sent: list[Sent]) -> None:
        """Accept commands in one call, except those that fail, because they would fail the whole call."""
        together = [each for each in sent if not self._is_reused(each)]
        try:
            answers = self._ledger.client.enqueue_many([each.command for each in together])
        except IdempotencyKeyReused:  # the ledger differs from the model, so accept one by one
            together = []
        else:
            for each, answer in zip(together, answers, strict=True):
                each.answer = answer
        for each in sent:
            if not each.answer:
                each.answer = self._accepted_alone(each)

    def _is_reused(self, sent: Sent) -> bool:
        acceptor = self._acceptors.setdefault(sent.command.tenant_id, AcceptorModel())
        return acceptor.accept(*acceptance_of(sent.command)) == REUSED

    def _accepted_alone(self, sent: Sent) -> str:
        try:
            return self._ledger.client.enqueue(sent.command)
        except IdempotencyKeyReused:
            return REUSED

    def _made(self, world: Played, send: Send, names: Mapping[Any, UUID]) -> Sent:
        fields = payload(send, world.tenant_id, names)
        if send.again is not None and send.again in world.sent:
            fields["id"] = str(world.sent[send.again].command.id)
        world.sent[send.label] = Sent(send, command_from(send.kind, fields))
        return world.sent[send.label]

    def _names(self, worlds: list[Played], nth: int) -> dict[Any, UUID]:
        """Return the ids of entries and lots that the commands of this round name."""
        refs_by_command = defaultdict(list)
        for world in worlds:
            for send in world.history.rounds[nth].sends:
                for ref in refs(send.fields):
                    if ref.label in world.sent:
                        refs_by_command[world.sent[ref.label].command.id].append((world.tenant_id, ref))
        if not refs_by_command:
            return {}
        made: defaultdict[tuple[UUID, bool], list[UUID]] = defaultdict(list)
        for command_id, is_lot, made_id, _ in self._ledger.rows(_MADE, ids=list(refs_by_command)):
            made[command_id, is_lot].append(made_id)
        names = {}
        for command_id, named in refs_by_command.items():
            for tenant_id, ref in named:
                found = made[command_id, ref.lot]
                if ref.nth < len(found):
                    names[tenant_id, ref] = found[ref.nth]
        return names

    # -------------------------------------------------------------------------------------------- drain

    def _drain(self) -> None:
        """Let the workers apply all runnable commands, then drain what they left to each other."""
        failures: list[BaseException] = []
        threads = [threading.Thread(target=self._work, args=(each, failures)) for each in self._workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        self._ledger.drain()

    def _work(self, engines: Mapping[int, Engine], failures: list[BaseException]) -> None:
        """Drain lanes until no command can be applied; a time slice is at most a quarter of a second."""
        try:
            waiting = -1
            while waiting != (waiting := self._ledger.counts("pending")[0]):
                lanes = self._ledger.waiting_lanes()
                self._chance.shuffle(lanes)
                for lane in lanes:
                    self._drain_lane(engines[self._chance.choice(BATCH_SIZES)], lane)
        except BaseException as error:
            failures.append(error)

    def _drain_lane(self, engine: Engine, lane: int) -> None:
        """Drain a lane. After a transient error, such as a lock timeout, the next round tries again."""
        try:
            engine.drain(lane)
        except DATABASE_ERRORS as error:
            if not is_transient(error):
                raise


# A command's own entries first, and of a transfer the sender's; then those that the clock caused. Lots are
# sorted by content, so another run names the same ones.
_MADE = """
SELECT e.command_id, false, e.id,
       row_number() OVER (ORDER BY e.subtype IN ('scheduled', 'activation', 'timeout'),
                                   e.related_id IS NOT NULL AND e.subtype = 'transfer_in', e.seq) AS place
FROM entries e WHERE e.command_id = ANY(%(ids)s)
UNION ALL
SELECT e.command_id, true, l.id,
       row_number() OVER (ORDER BY e.subtype = 'transfer_in', e.seq, l.amount, l.earned_at, l.expires_at)
FROM entries e JOIN lots l ON l.tenant_id = e.tenant_id AND l.entry_id = e.id
WHERE e.command_id = ANY(%(ids)s)
ORDER BY place"""


def _is_paused(history: History) -> bool:
    actions = [action for each in history.rounds for action in (*each.before, *each.after)]
    return next((action.on for action in reversed(actions) if isinstance(action, Pause)), False)


def payload(send: Send, tenant_id: str, names: Mapping[Any, UUID]) -> dict[str, Any]:
    """Return a command's fields as JSON, as producers in any language send them."""
    fields = resolved(dict(send.fields), tenant_id, names)
    fields |= {"tenant_id": tenant_id, "user_id": send.user, "actor": send.actor}
    if send.key is not None:
        fields["idempotency_key"] = send.key
    if send.at is not None:
        fields["occurred_at"] = send.at
    made: dict[str, Any] = json.loads(json.dumps(fields, default=_as_json))
    return made


def refs(value: Any) -> list[Ref]:
    """Return all references in a command's fields."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, Mapping):
        return [ref for each in value.values() for ref in refs(each)]
    if isinstance(value, list | tuple):
        return [ref for each in value for ref in refs(each)]
    return []


def resolved(value: Any, tenant_id: str, names: Mapping[Any, UUID]) -> Any:
    """Replace references by ids."""
    if isinstance(value, Ref):
        return show_id(names.get((tenant_id, value), value.missing))
    if isinstance(value, Mapping):
        return {name: resolved(each, tenant_id, names) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(each, tenant_id, names) for each in value]
    return value


def _as_json(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)

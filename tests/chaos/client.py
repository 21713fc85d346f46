"""A client process: it sends commands, writes its journal and queries outcomes.

If it was killed, it goes on where its journal ends. It ends when its standard input does, and leaves nothing
ambiguous.

    python -m tests.chaos.client NUMBER SEED PATH RATE ENTRY_POINTS

ENTRY_POINTS is a list with commas. Each call uses one of them; while that is unavailable, the client waits.
"""

import random
import select
import sys
import threading
import time
from collections import deque
from pathlib import Path

from pointledger import AnyCommand, PointsClient, Spend
from pointledger.errors import AccountMissing, IdempotencyKeyReused, InvalidCommand, LedgerError
from pointledger.failpoints import InjectedFault
from pointledger.ids import show_id
from pointledger.settings import Settings
from tests.chaos.entry_points import (
    API,
    BULK,
    BY_NAME,
    LIBRARY,
    QUEUE,
    ByName,
    EntryPoint,
    HttpApi,
    IngestQueue,
    Library,
    Unavailable,
)
from tests.chaos.journal import ACCEPTED, REFUSED, Call, Journal
from tests.chaos.load import TENANT, USERS, Load

AGAIN_SECONDS = 0.1  # until an ambiguous call is sent again
QUERY_EVERY = 8  # calls, until this client queries outcomes of older ones
QUERIED = 40  # commands in one such query


class ChaosClient:
    """One client."""

    def __init__(self, number: int, seed: str, path: Path, rate: float, used: list[str]) -> None:
        settings = Settings()
        self._client = PointsClient(settings)  # `connect` would raise while the database is down
        self._entry_points: dict[str, EntryPoint] = {
            LIBRARY: Library(self._client),
            BULK: Library(self._client),
            API: HttpApi(),
            QUEUE: IngestQueue(settings, f"/chaos/client-{number}"),
            BY_NAME: ByName(self._client, settings),
        }
        self._journal = Journal(path)
        life = f"{seed}/client/{number}/{self._journal.count}"
        self._chance = random.Random(life)
        self._load = Load(number, self._chance)
        self._rate = rate
        self._used = used
        self._accepted: deque[AnyCommand] = deque(maxlen=2_000)
        self._versions: dict[str, int] = {}

    def run(self) -> None:
        for call in self._journal.ambiguous:
            self._settle(call)
        began, sent = time.monotonic(), 0
        while not _input_has_ended(max(began + sent / self._rate - time.monotonic(), 0)):
            sent += self._call()
            if self._chance.random() < 1 / QUERY_EVERY:
                sent += self._query()
            if sent / self._rate < time.monotonic() - began - 1:
                began, sent = time.monotonic(), 0  # after a fault the rate stays the same
        self._journal.close()
        self._client.close()

    def _call(self) -> int:
        """Make one call and return its number of commands."""
        entry_point = self._chance.choice(self._used)
        loads = {LIBRARY: self._load.call, QUEUE: self._load.message, BULK: self._load.bulk}
        make = loads.get(entry_point, self._load.request)
        return self._send(make(), entry_point)

    def _send(self, commands: list[AnyCommand], entry_point: str = LIBRARY) -> int:
        call = self._journal.send(commands, entry_point)
        self._settle(call)
        if call.answer == ACCEPTED and entry_point != QUEUE:  # the ledger may not know it yet
            self._accepted.extend(call.commands)
        return len(commands)

    def _settle(self, call: Call) -> None:
        """Send the same commands until the answer is certain. Repetitions have no effect."""
        while call.answer is None:
            try:
                ids = self._entry_points[call.entry_point].send(call.commands)
            except IdempotencyKeyReused:
                self._journal.answered(call, REFUSED)
            except InvalidCommand:
                raise  # the load makes none
            except (Unavailable, LedgerError, InjectedFault):
                time.sleep(AGAIN_SECONDS)
            else:
                self._journal.answered(call, ACCEPTED, ids)

    def _query(self) -> int:
        """Query outcomes of accepted commands and the version of an account, and send what follows.

        Return the number of commands sent.
        """
        if not self._accepted:
            return 0
        asked = self._chance.sample(self._accepted, min(QUERIED, len(self._accepted)))
        try:
            outcomes = self._client.outcomes([show_id(command.id) for command in asked])
            self._read(f"user-{self._chance.randrange(USERS)}")
        except LedgerError:
            return 0
        for outcome in outcomes:
            if outcome.state == "unknown":
                self._journal.note_violation(unknown=outcome.task_id)
        following = [undo for outcome in outcomes if (undo := self._load.undo(outcome))]
        if following:
            self._send(following)
        keyed = [command for command in asked if isinstance(command, Spend) and command.idempotency_key]
        if keyed:
            self._send([self._load.reused(keyed[0])])
        return len(following) + 1

    def _read(self, user: str) -> None:
        try:
            version = self._client.account(TENANT, user)["version"]
        except AccountMissing:
            return
        if version < self._versions.get(user, 0):
            self._journal.note_violation(backwards=user)
        self._versions[user] = version


def _input_has_ended(seconds: float) -> bool:
    """Wait for so many seconds. Return early, and True, if the standard input ends."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    number, seed, path, rate, used = sys.argv[1:]
    ChaosClient(int(number), seed, Path(path), float(rate), used.split(",")).run()

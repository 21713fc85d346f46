"""A client as a process of its own: sends, notes, asks, and when it was killed and starts again, goes on
where its journal ends. It ends when its standard input does, with nothing left ambiguous.

    python -m tests.chaos.client NUMBER SEED PATH RATE DOORS

Each call goes through one of the doors: a client of the gateway or the queue stands still while they do.
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
from tests.chaos.doors import BY_NAME, GATEWAY, LIBRARY, QUEUE, ByName, Door, Gateway, Library, Mail, NotNow
from tests.chaos.journal import ACCEPTED, REFUSED, Call, Journal
from tests.chaos.load import TENANT, USERS, Load

AGAIN_SECONDS = 0.1  # until an ambiguous call is sent again
LOOK_EVERY = 8  # calls, until this client looks up what came of older ones
ASKED_ABOUT = 40  # commands, in one such look


class ChaosClient:
    """One client."""

    def __init__(self, number: int, seed: str, path: Path, rate: float, through: list[str]) -> None:
        settings = Settings()
        self._client = PointsClient(settings)  # not `connect`: the database may be away
        self._doors: dict[str, Door] = {
            LIBRARY: Library(self._client),
            GATEWAY: Gateway(),
            QUEUE: Mail(settings, f"/chaos/client-{number}"),
            BY_NAME: ByName(self._client, settings),
        }
        self._journal = Journal(path)
        life = f"{seed}/client/{number}/{self._journal.count}"
        self._chance = random.Random(life)
        self._load = Load(number, self._chance)
        self._rate = rate
        self._through = through
        self._accepted: deque[AnyCommand] = deque(maxlen=2_000)
        self._versions: dict[str, int] = {}

    def run(self) -> None:
        for call in self._journal.ambiguous:
            self._settle(call)
        began, sent = time.monotonic(), 0
        while not _told_to_end(max(began + sent / self._rate - time.monotonic(), 0)):
            sent += self._call()
            if self._chance.random() < 1 / LOOK_EVERY:
                sent += self._look()
            if sent / self._rate < time.monotonic() - began - 1:
                began, sent = time.monotonic(), 0  # what a fault has cost is not made up for in a rush
        self._journal.close()
        self._client.close()

    def _call(self) -> int:
        """One call; how many commands."""
        door = self._chance.choice(self._through)
        make = {LIBRARY: self._load.call, QUEUE: self._load.dead_letter}.get(door, self._load.request)
        return self._send(make(), door)

    def _send(self, commands: list[AnyCommand], door: str = LIBRARY) -> int:
        call = self._journal.send(commands, door)
        self._settle(call)
        if call.told == ACCEPTED and door != QUEUE:  # what lies in a queue is not known yet
            self._accepted.extend(call.commands)
        return len(commands)

    def _settle(self, call: Call) -> None:
        """Sends until the answer is clear: the same commands, so that nothing can come of it twice."""
        while call.told is None:
            try:
                ids = self._doors[call.door].send(call.commands)
            except IdempotencyKeyReused:
                self._journal.tell(call, REFUSED)
            except InvalidCommand:
                raise  # nobody here makes one
            except (NotNow, LedgerError, InjectedFault):
                time.sleep(AGAIN_SECONDS)
            else:
                self._journal.tell(call, ACCEPTED, ids)

    def _look(self) -> int:
        """Asks what came of accepted commands, and how far a user's account is; sends what may follow. How
        many commands that were."""
        if not self._accepted:
            return 0
        asked = self._chance.sample(self._accepted, min(ASKED_ABOUT, len(self._accepted)))
        try:
            outcomes = self._client.outcomes([show_id(command.id) for command in asked])
            self._read(f"user-{self._chance.randrange(USERS)}")
        except LedgerError:
            return 0
        for outcome in outcomes:
            if outcome.state == "unknown":
                self._journal.complain(unknown=outcome.task_id)
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
            self._journal.complain(backwards=user)
        self._versions[user] = version


def _told_to_end(seconds: float) -> bool:
    """Waits so long for the end of the standard input."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    number, seed, path, rate, through = sys.argv[1:]
    ChaosClient(int(number), seed, Path(path), float(rate), through.split(",")).run()

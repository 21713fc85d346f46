"""Redis locks on lanes and users: they reduce contention between workers.

They are not needed for correctness: Postgres row locks provide that. If every lock here fails, or Redis is
down, the ledger stays correct and gets slower.

| key            | value                                           | set by                         |
| -------------- | ----------------------------------------------- | ------------------------------ |
| waiting        | lanes that rang, but not those behind a backlog | `Doorbells.ring`               |
| ahead          | lanes with a command that goes before a backlog | `Doorbells.ring`               |
| backlogs       | lanes with more commands than a batch serves    | `next_lanes`, `return_lanes`   |
| door           | a doorbell is on its way                        | `Doorbells.ring`               |
| looking        | its worker takes all waiting lanes next         | `take_lanes`, `next_lanes`,    |
|                |                                                 | `Doorbells.ring`               |
| idle           | workers that a ring can wake, the last one last | `become_idle`                  |
| workers        | those that were at work in the last seconds     | `take_lanes`, `next_lanes`     |
| bulk           | those of them that have a lane with a backlog   | `take_lanes`, `next_lanes`     |
| lane:17        | the holder's token                              | `take_lanes`, `next_lanes`     |
| busy           | a tenant fills batches                          | `note_busy`                    |
| busy:shop      | this tenant does                                | `note_busy`                    |
| hurry          | a command of a calm tenant rings beside a busy  | `Doorbells.ring`               |
| user:shop/anna | the holder's token                              | `acquire_users`                |

Phases of a time slice: `take_lanes`; for each batch `acquire_users`, `release_users` and `next_lanes`; at the
end `return_lanes`. A worker takes all lanes that wait and one with a backlog, so that a batch serves all
single commands while other workers can share the backlogs. But while a command is in a hurry, one of several
workers takes no lane with a backlog, and the others leave the lanes that wait to it. So the command waits for
no large batch, unless it is in the same lane.

Bounds: each lock expires after `Settings.lock_ttl_ms`, which frees the locks of a killed worker. Each
`acquire_users` extends the lanes' locks. It locks the free users and reports the busy ones. No call waits for
a lock, so workers cannot deadlock here.

Order: the locks give none; `drain.py` keeps the order of a user's commands. `next_lanes` releases lanes and
takes those that have rung in one script, so no ring can get lost in between. A lane that rings while a worker
holds it stays in `waiting`, where its holder finds it.

The caller passes the token to every script, and every script can run twice. So if a reply is lost and the
client library repeats the call, no lock remains that its holder does not know of.
"""

from collections.abc import Collection
from secrets import token_hex
from typing import Any, NamedTuple

import redis
from redis.commands.core import Script

from pointledger import failpoints
from pointledger.engine import lock_scripts
from pointledger.logs import Log, Outage
from pointledger.messaging.contract import (
    ahead_key,
    bulk_key,
    busy_key,
    door_key,
    idle_key,
    joined,
    lane_key,
    looking_key,
    turn_keys,
    waiting_key,
    workers_key,
)
from pointledger.settings import Settings

User = tuple[str, str]  # tenant and user


_BUSY_MS = 1_000  # longer than a tenant's backlog takes to fill the next batch

_log = Log(__name__)


def new_token() -> str:
    """Return a token for one batch."""
    return token_hex(16)


class Taken(NamedTuple):
    """The lanes that a worker holds, in ascending order.

    `backlog`: the one of them that has more commands than a batch serves. `free`: another such lane, if a
    worker may take it and no doorbell is on its way. `is_hurried`: a tenant with little work waits behind a
    backlog. `is_ahead`: in the lane of `backlog`.
    """

    lanes: list[int]
    backlog: int | None = None
    free: int | None = None
    is_hurried: bool = False
    is_ahead: bool = False

    @property
    def is_for_hurried(self) -> bool:
        """Whether the next batch is for tenants with little work only."""
        return self.is_ahead or (self.is_hurried and self.backlog is None)


class Locks:
    """Locks on lanes and users. Without Redis every call succeeds, and the row locks in Postgres decide."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._ttl = settings.lock_ttl_ms
        self._prefix = prefix = settings.redis_prefix
        self._redis = Outage(_log, "lock")
        self._lane_keys = [lane_key(prefix, lane) for lane in range(settings.lanes)]
        self._door_key = door_key(prefix)
        self._turn_keys = [*turn_keys(prefix), workers_key(prefix), bulk_key(prefix)]
        self._idle_key = idle_key(prefix)
        self.worker = new_token()
        self._take_keys = [*self._turn_keys, *self._lane_keys]
        self._take_lanes = client.register_script(lock_scripts.TAKE_LANES)
        self._next_lanes = client.register_script(lock_scripts.NEXT_LANES)
        self._return_lanes = client.register_script(lock_scripts.RETURN_LANES)
        self._acquire_users = client.register_script(lock_scripts.ACQUIRE_USERS)
        self._release_users = client.register_script(lock_scripts.RELEASE_USERS)
        self._note_busy = client.register_script(lock_scripts.NOTE_BUSY)
        self._become_idle = client.register_script(lock_scripts.BECOME_IDLE)
        self._become_busy = client.register_script(lock_scripts.BECOME_BUSY)

    def take_lanes(self, lane: int, token: str) -> Taken:
        """Lock this lane, all free lanes that wait and one with a backlog, and let doorbells ring again.

        If another worker holds the lane, that worker looks at it after its batch.
        """
        keys = [*self._take_keys, self._idle_key, f"{self._door_key}:{lane}"]
        found = self._run(
            "take-lanes", self._take_lanes, keys, None,
            len(self._lane_keys), self.worker, self._ttl, token, lane,
        )  # fmt: skip
        return Taken([lane]) if found is None else _taken(found)

    def next_lanes(self, token: str, new_token: str, kept: int | None, backlogs: Collection[int]) -> Taken:
        """Release the lanes of the token, and lock those that have rung since under the new token.

        The `kept` lane stays locked, unless this worker has to stay free for commands in a hurry. Those in
        `backlogs` have more commands, and other workers can take them.
        """
        arguments: list[str | int] = [token, new_token, -1 if kept is None else kept, *backlogs]
        found = self._run(
            "next-lanes", self._next_lanes, self._take_keys, None,
            len(self._lane_keys), self.worker, self._ttl, *arguments,
        )  # fmt: skip
        if found is None:
            return Taken([] if kept is None else [kept], kept)
        return _taken(found)

    def return_lanes(self, lanes: Collection[int], token: str, backlogs: Collection[int]) -> int | None:
        """Unlock the lanes; those in `backlogs` have more commands.

        The caller rings these again, and the lane that is returned: it has rung without a doorbell.
        """
        keys = [*self._turn_keys, *(self._lane_keys[lane] for lane in lanes)]
        places = [lane if lane in backlogs else -1 for lane in lanes]
        waiting = self._run("return-lanes", self._return_lanes, keys, None, self.worker, token, *places)
        return None if waiting is None else int(waiting)

    def acquire_users(self, lanes: Collection[int], users: list[User], token: str) -> set[User]:
        """Lock all free users in one round trip, extend the lanes' locks, and return the busy users."""
        keys = [*(self._lane_keys[lane] for lane in lanes), *(self._user_key(user) for user in users)]
        busy = self._run("acquire-users", self._acquire_users, keys, [], token, self._ttl, len(lanes))
        return {users[position] for position in busy}

    def release_users(self, users: list[User], token: str) -> None:
        """Unlock those users that the token holds."""
        self._run("release-users", self._release_users, [self._user_key(user) for user in users], 1, token)

    def note_busy(self, tenant_ids: Collection[str]) -> None:
        """Note that these tenants fill whole batches, so that commands of others go before theirs."""
        keys = [busy_key(self._prefix, tenant_id) for tenant_id in (None, *tenant_ids)]
        self._run("note-busy", self._note_busy, keys, 1, _BUSY_MS)

    def become_idle(self) -> None:
        """Let the next ring wake this worker. `take_lanes` ends that."""
        self._run(
            "become-idle", self._become_idle, [self._idle_key, looking_key(self._prefix)], 1, self.worker
        )

    def become_busy(self) -> int | None:
        """Let no ring wake this worker. Return a lane that waits if a ring has, and is on its way."""
        keys = [self._idle_key, waiting_key(self._prefix), ahead_key(self._prefix)]
        lane = self._run("become-busy", self._become_busy, keys, None, self.worker)
        return None if lane is None else int(lane)

    def has_ahead(self, lanes: Collection[int]) -> bool:
        """Return whether a command that goes before a backlog waits in one of the lanes."""
        try:
            return any(self._client.smismember(ahead_key(self._prefix), sorted(lanes)))
        except redis.RedisError as error:
            self._redis.noticed(error)
            return False

    def _user_key(self, user: User) -> str:
        return f"{self._prefix}:user:{joined(*user)}"

    def _run(
        self, place: str, script: Script, keys: list[str], without_redis: Any, *arguments: str | int
    ) -> Any:
        failpoints.before(place)
        try:
            result = script(keys=keys, args=arguments)
        except redis.RedisError as error:
            self._redis.noticed(error)
            result = without_redis
        else:
            self._redis.over()
        failpoints.after(place)
        return result


def _taken(found: list[int]) -> Taken:
    backlog, free, is_hurried, is_ahead, *lanes = found
    return Taken(
        lanes,
        None if backlog < 0 else backlog,
        None if free < 0 else free,
        is_hurried=bool(is_hurried),
        is_ahead=bool(is_ahead),
    )

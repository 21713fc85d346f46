"""Redis locks on lanes and users: they reduce contention between workers.

They are not needed for correctness: Postgres row locks provide that. If every lock here fails, or Redis is
down, the ledger stays correct and gets slower.

| key            | value                     | set by                    | deleted by             |
| -------------- | ------------------------- | ------------------------- | ---------------------- |
| lane:17        | the holder's token        | `acquire_lane`            | `release_lane_if_idle` |
| dirty:17       | a doorbell rang meanwhile | `acquire_lane`, if locked | `release_lane_if_idle` |
| door:17        | a doorbell is on its way  | `Doorbells.ring`          | `acquire_lane`         |
| express        | lanes to look at next     | `Doorbells.ring`          | `take_express`         |
| busy           | a tenant fills batches    | `note_busy`               | its expiry             |
| busy:shop      | this tenant does          | `note_busy`               | its expiry             |
| user:shop/anna | the holder's token        | `acquire_users`           | `release_users`        |

Phases of a time slice: `acquire_lane`; for each batch `acquire_users` and `release_users`; at the end
`release_lane_if_idle`, or `abandon_lane` if the slice is over or the worker failed.

Bounds: each lock expires after `Settings.lock_ttl_ms`, which frees the locks of a killed worker. Each
`acquire_users` extends the lane's lock. It locks the free users and reports the busy ones. No call waits for
a lock, so workers cannot deadlock here.

Order: the locks give none; `drain.py` keeps the order of a user's commands. `release_lane_if_idle` tests
`dirty` and deletes the lane's key in one script, so no ring can get lost in between.

The caller passes the token to every script, and every script can run twice. So if a reply is lost and the
client library repeats the call, no lock remains that its holder does not know of.
"""

from collections.abc import Collection
from secrets import token_hex
from typing import Any

import redis
from redis.commands.core import Script

from pointledger import failpoints
from pointledger.logs import Log, Outage
from pointledger.messaging.contract import busy_key, express_key, joined, rung_key
from pointledger.settings import Settings

# KEYS: lane, dirty, rung   ARGV: token, ttl
_ACQUIRE_LANE = """
redis.call('DEL', KEYS[3])
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


# KEYS: lane, dirty, rung   ARGV: token, ttl
_RELEASE_LANE_IF_IDLE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
redis.call('DEL', KEYS[3])
if redis.call('DEL', KEYS[2]) == 1 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return 0
end
redis.call('DEL', KEYS[1])
return 1
"""


# KEYS: lane, dirty   ARGV: token
_ABANDON_LANE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2]) end
return 1
"""


# KEYS: lane, then users   ARGV: token, ttl   -> positions of the users that another token holds
_ACQUIRE_USERS = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
local busy = {}
for i = 2, #KEYS do
    local holder = redis.call('GET', KEYS[i])
    if holder and holder ~= ARGV[1] then
        busy[#busy + 1] = i - 2
    else
        redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
    end
end
return busy
"""


# KEYS: users   ARGV: token
_RELEASE_USERS = """
for i = 1, #KEYS do
    if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end
end
return 1
"""

# KEYS: busy tenants   ARGV: ttl
_NOTE_BUSY = """
for i = 1, #KEYS do redis.call('SET', KEYS[i], '1', 'PX', ARGV[1]) end
return 1
"""


# KEYS: express   ARGV: most
_TAKE_EXPRESS = "return redis.call('SPOP', KEYS[1], ARGV[1])"


# The lane's doorbell stays on its way, so its mark stays as well. A busy lane is left to its holder.
# KEYS: lane, express   ARGV: token, ttl, lane
_ACQUIRE_EXPRESS = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    redis.call('SADD', KEYS[2], ARGV[3])
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


# KEYS: lane, dirty   ARGV: token
_RELEASE_EXPRESS = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
redis.call('DEL', KEYS[1])
return 1 - redis.call('DEL', KEYS[2])
"""


User = tuple[str, str]  # tenant and user


_BUSY_MS = 1_000  # longer than a tenant's backlog takes to fill the next batch
_MOST_EXPRESS = 8  # taken at once: each costs a small batch, and other workers take the rest

_log = Log(__name__)


def new_token() -> str:
    """Return a token for one time slice."""
    return token_hex(16)


class Locks:
    """Locks on lanes and users. Without Redis every call succeeds, and the row locks in Postgres decide."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._ttl = settings.lock_ttl_ms
        self._prefix = settings.redis_prefix
        self._redis = Outage(_log, "lock")
        self._acquire_lane = client.register_script(_ACQUIRE_LANE)
        self._release_lane = client.register_script(_RELEASE_LANE_IF_IDLE)
        self._abandon_lane = client.register_script(_ABANDON_LANE)
        self._acquire_users = client.register_script(_ACQUIRE_USERS)
        self._release_users = client.register_script(_RELEASE_USERS)
        self._note_busy = client.register_script(_NOTE_BUSY)
        self._take_express = client.register_script(_TAKE_EXPRESS)
        self._acquire_express = client.register_script(_ACQUIRE_EXPRESS)
        self._release_express = client.register_script(_RELEASE_EXPRESS)

    def acquire_lane(self, lane: int, token: str) -> bool:
        """Lock the lane and let its doorbell ring again. If it is locked, ask its holder to look again."""
        return bool(self._run("acquire-lane", self._acquire_lane, self._lane_keys(lane), 1, token, self._ttl))

    def release_lane_if_idle(self, lane: int, token: str) -> bool:
        """Unlock the lane and return True. If a doorbell rang meanwhile, keep it and return False."""
        return bool(self._run("release-lane", self._release_lane, self._lane_keys(lane), 1, token, self._ttl))

    def abandon_lane(self, lane: int, token: str) -> None:
        """Unlock the lane although it may have pending commands; the caller rings it again."""
        self._run("abandon-lane", self._abandon_lane, self._lane_keys(lane)[:2], 1, token)

    def acquire_users(self, lane: int, users: list[User], token: str) -> set[User]:
        """Lock all free users in one round trip, extend the lane's lock, and return the busy users."""
        keys = [self._lane_keys(lane)[0], *(self._user_key(user) for user in users)]
        busy = self._run("acquire-users", self._acquire_users, keys, [], token, self._ttl)
        return {users[position] for position in busy}

    def release_users(self, users: list[User], token: str) -> None:
        """Unlock those users that the token holds."""
        self._run("release-users", self._release_users, [self._user_key(user) for user in users], 1, token)

    def note_busy(self, tenant_ids: Collection[str]) -> None:
        """Note that these tenants fill whole batches, so that commands of others go before theirs."""
        keys = [busy_key(self._prefix, tenant_id) for tenant_id in (None, *tenant_ids)]
        self._run("note-busy", self._note_busy, keys, 1, _BUSY_MS)

    def take_express(self) -> list[int]:
        """Take the lanes in which a command of a tenant with little work waits behind other work."""
        keys = [express_key(self._prefix)]
        return [int(lane) for lane in self._run("take-express", self._take_express, keys, [], _MOST_EXPRESS)]

    def acquire_express(self, lane: int, token: str) -> bool:
        """Lock a lane that `take_express` returned. If it is locked, its holder takes it after its batch."""
        keys = [self._lane_keys(lane)[0], express_key(self._prefix)]
        return bool(self._run("acquire-express", self._acquire_express, keys, 0, token, self._ttl, lane))

    def release_express(self, lane: int, token: str) -> bool:
        """Unlock the lane. Return False if its doorbell rang meanwhile: the caller rings it again."""
        keys = self._lane_keys(lane)[:2]
        return bool(self._run("release-express", self._release_express, keys, 1, token))

    def _lane_keys(self, lane: int) -> list[str]:
        return [f"{self._prefix}:lane:{lane}", f"{self._prefix}:dirty:{lane}", rung_key(self._prefix, lane)]

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

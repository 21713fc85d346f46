"""The Redis locks: who goes next. They keep workers out of each other's way; they do not make anything
correct. That is what the rows' locks in Postgres are for, and with every lock here failing, or all of
Redis gone, the ledger stays right and only slows down.

| key            | holds                         | taken by                     | freed by                 |
| -------------- | ----------------------------- | ---------------------------- | ------------------------ |
| lane:17        | the draining turn's token     | `enter`, with the doorbell   | `leave`, or its TTL      |
| dirty:17       | somebody rang while it was on | who finds the lane taken     | `leave` reads it         |
| user:shop/anna | the draining turn's token     | `take_users`, all at once     | `release_users`, or TTL  |

Every script is given the token by its caller and may be run twice, so that a lost reply and the client
library's repetition cannot leave a lock behind that its holder does not know of. `leave` tests `dirty` and
frees the lane in one script: nobody can ring unheard in between.
"""

from secrets import token_hex
from typing import Any

import redis
from redis.commands.core import Script

from pointledger import failpoints
from pointledger.logs import Log, Outage
from pointledger.settings import Settings

# KEYS: lane, dirty, door   ARGV: token, ttl
_ENTER = """
redis.call('DEL', KEYS[3])
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


# KEYS: lane, dirty, door   ARGV: token, ttl
_LEAVE = """
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
_ABANDON = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2]) end
return 1
"""


# KEYS: lane, then users   ARGV: token, ttl   -> the positions of those who are busy elsewhere
_TAKE_USERS = """
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


User = tuple[str, str]  # tenant and user


_log = Log(__name__)


def new_token() -> str:
    """What a turn is known by; each turn has its own."""
    return token_hex(16)


class Locks:
    """Turns on lanes and users. Without Redis everybody is let in: Postgres decides."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._ttl = settings.lock_ttl_ms
        self._prefix = settings.redis_prefix
        self._redis = Outage(_log, "lock")
        self._enter = client.register_script(_ENTER)
        self._leave = client.register_script(_LEAVE)
        self._abandon = client.register_script(_ABANDON)
        self._take_users = client.register_script(_TAKE_USERS)
        self._release_users = client.register_script(_RELEASE_USERS)

    def enter(self, lane: int, token: str) -> bool:
        """Takes the lane, silencing its doorbell first; if it is taken, tells its holder to look again."""
        return bool(self._ask("enter", self._enter, self._lane_keys(lane), 1, token, self._ttl))

    def leave(self, lane: int, token: str) -> bool:
        """Frees the lane, unless somebody rang meanwhile: then it is kept, and False says to go on."""
        return bool(self._ask("leave", self._leave, self._lane_keys(lane), 1, token, self._ttl))

    def abandon(self, lane: int, token: str) -> None:
        """Frees the lane although there may be work left; the caller rings again."""
        self._ask("abandon", self._abandon, self._lane_keys(lane)[:2], 1, token)

    def take_users(self, lane: int, users: list[User], token: str) -> set[User]:
        """Takes all who are free, in one round trip, and prolongs the lane's lock; who is busy elsewhere."""
        keys = [self._lane_keys(lane)[0], *(self._user_key(user) for user in users)]
        busy = self._ask("take-users", self._take_users, keys, [], token, self._ttl)
        return {users[position] for position in busy}

    def release_users(self, users: list[User], token: str) -> None:
        """Frees those that the token holds."""
        self._ask("release-users", self._release_users, [self._user_key(user) for user in users], 1, token)

    def _lane_keys(self, lane: int) -> list[str]:
        return [f"{self._prefix}:{name}:{lane}" for name in ("lane", "dirty", "door")]

    def _user_key(self, user: User) -> str:
        return f"{self._prefix}:user:{user[0]}/{user[1]}"

    def _ask(
        self, what: str, script: Script, keys: list[str], without_redis: Any, *arguments: str | int
    ) -> Any:
        failpoints.before(what)
        try:
            answer = script(keys=keys, args=arguments)
        except redis.RedisError as error:
            self._redis.noticed(error)
            answer = without_redis
        else:
            self._redis.over()
        failpoints.after(what)
        return answer

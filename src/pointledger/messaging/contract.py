"""Names that processes of different versions share: tasks, queues and keys in Redis.

They are contracts: a module can move, but these names must not change.
"""

from pointledger.settings import Settings

LOOKING_MS = 20
"""How long a worker promises to take the lanes that wait: as long as a small batch takes."""

_PRIORITIES = range(1, 10)  # kombu has 0 to 9, and a client can configure any subset


_SEPARATORS = ("\x06\x16", ":")  # before a priority: kombu's default, and the one in Celery's manual


def lists_of_commands(settings: Settings) -> list[str]:
    """Return the Redis lists from which commands by name are read, the most urgent first.

    Each priority has its own list, and an older version used a queue under the prefix.
    """
    queue, older = settings.commands_queue, f"{settings.redis_prefix}:points.commands"
    urgent = [f"{queue}{separator}{priority}" for priority in _PRIORITIES for separator in _SEPARATORS]
    return [queue, *urgent, older]


def joined(*parts: str) -> str:
    """Join texts of any characters to a part of a Redis key, with their lengths: no two lists share one."""
    return "".join(f"{len(part)}:{part}" for part in parts)


def lane_key(prefix: str, lane: int) -> str:
    """Return the Redis key of the lane's lock."""
    return f"{prefix}:lane:{lane}"


def waiting_key(prefix: str) -> str:
    """Return the Redis key of the lanes that have rung and that no worker has taken since."""
    return f"{prefix}:waiting"


def backlogs_key(prefix: str) -> str:
    """Return the Redis key of the lanes whose backlog no worker has: more commands than a batch serves."""
    return f"{prefix}:backlogs"


def door_key(prefix: str) -> str:
    """Return the Redis key that exists while a doorbell is on its way."""
    return f"{prefix}:door"


def hurry_key(prefix: str) -> str:
    """Return the Redis key that exists after a command of a calm tenant has rung while another was busy."""
    return f"{prefix}:hurry"


def looking_key(prefix: str) -> str:
    """Return the Redis key that exists while a worker that will soon take all waiting lanes is at work."""
    return f"{prefix}:looking"


def ahead_key(prefix: str) -> str:
    """Return the Redis key of the lanes with a command that goes before their backlog."""
    return f"{prefix}:ahead"


def turn_keys(prefix: str) -> list[str]:
    """Return the first keys of each script that rings or takes lanes, in their order."""
    keys_of = waiting_key, backlogs_key, hurry_key, door_key, looking_key, ahead_key
    return [key_of(prefix) for key_of in keys_of]


def idle_key(prefix: str) -> str:
    """Return the Redis key of the workers that have nothing to do, so that a ring wakes one at once."""
    return f"{prefix}:idle"


def idle_channel(prefix: str, worker: str) -> str:
    """Return the Redis channel on which an idle worker receives the lane that has rung."""
    return f"{idle_key(prefix)}:{worker}"


def workers_key(prefix: str) -> str:
    """Return the Redis key of the workers that were at work in the last seconds."""
    return f"{prefix}:workers"


def bulk_key(prefix: str) -> str:
    """Return the Redis key of the workers that have a lane with a backlog."""
    return f"{prefix}:bulk"


def busy_key(prefix: str, tenant_id: str | None = None) -> str:
    """Return the Redis key that exists while the tenant, or any tenant, fills whole batches."""
    return f"{prefix}:busy" if tenant_id is None else f"{prefix}:busy:{tenant_id}"


DRAIN_TASK = "points.drain"


RING_TASK = "points.ring_waiting_lanes"


EXPIRE_POINTS_TASK = "points.expire_points"


RESET_LIMITS_TASK = "points.reset_daily_limits"


ACTIVATE_POINTS_TASK = "points.activate_points"


RELEASE_HOLDS_TASK = "points.release_holds"


SEND_EXPIRY_REMINDERS_TASK = "points.send_expiry_reminders"


FINISH_ERASURES_TASK = "points.finish_erasures"


SUM_UP_DAYS_TASK = "points.sum_up_days"


VERIFY_TASK = "points.verify"


LANES_QUEUE = "points.lanes"  # doorbells


PERIODIC_QUEUE = "points.periodic"  # periodic jobs, sent by beat

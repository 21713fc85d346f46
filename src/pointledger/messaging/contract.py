"""What both ends agree on: names of tasks and queues, the lane of a user, the encoding of a command.

Names are contracts: a module may move, these may not change.
"""

from pointledger.settings import Settings

_PRIORITIES = range(1, 10)  # kombu's are 0 to 9, and a client chooses which of them it uses


_SEPARATORS = ("\x06\x16", ":")  # before a priority: kombu's own, and the one that Celery's manual shows


def lists_of_commands(settings: Settings) -> list[str]:
    """The lists of Redis from which commands by name are taken, the most urgent first: each priority has its
    own, and an older version's queue stood under the prefix."""
    queue, older = settings.commands_queue, f"{settings.redis_prefix}:points.commands"
    urgent = [f"{queue}{separator}{priority}" for priority in _PRIORITIES for separator in _SEPARATORS]
    return [queue, *urgent, older]


DRAIN_TASK = "points.drain"


RING_TASK = "points.ring_waiting_lanes"


EXPIRE_POINTS_TASK = "points.expire_points"


RESET_LIMITS_TASK = "points.reset_daily_limits"


ACTIVATE_POINTS_TASK = "points.activate_points"


RELEASE_HOLDS_TASK = "points.release_holds"


TELL_EXPIRING_TASK = "points.tell_expiring"


FINISH_ERASURES_TASK = "points.finish_erasures"


LANES_QUEUE = "points.lanes"  # doorbells


PERIODIC_QUEUE = "points.periodic"  # what beat asks for

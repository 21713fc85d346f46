"""Who changed something, and why."""

from typing import NamedTuple


class By(NamedTuple):
    """Who does something to a programme or to what waits, and why."""

    actor: str = "operator"
    reason: str | None = None

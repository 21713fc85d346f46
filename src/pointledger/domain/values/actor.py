"""Names the author of a change, and the reason."""

from typing import NamedTuple


class Actor(NamedTuple):
    """The author of a change to a program or a pending command, and the reason."""

    name: str = "operator"
    """The name of the person or program."""
    reason: str | None = None
    """Why it is done. The audit log shows it."""

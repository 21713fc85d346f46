"""Commands that the sweeps send."""

from typing import ClassVar

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import Moment


class SweepCommand(Command):
    """What a sweep sends for a user: to do what is due at its own moment, `as_of`."""

    as_of: Moment

    @property
    def key(self) -> str | None:
        """One per user and moment, so that a sweep run twice is one."""
        return self.idempotency_key or f"{self.user_id}/{self.as_of.isoformat()}"


class ExpireDue(SweepCommand):
    """Expires what is due at `as_of`, one entry per lot. The nightly sweep sends it."""

    kind: ClassVar[str] = "expire-due"


class ActivateDue(SweepCommand):
    """Makes available what is pending and due at `as_of`, one entry per lot."""

    kind: ClassVar[str] = "activate-due"


class ReleaseHoldsDue(SweepCommand):
    """Releases the holds that have timed out at `as_of`. The sweep sends it."""

    kind: ClassVar[str] = "release-holds-due"

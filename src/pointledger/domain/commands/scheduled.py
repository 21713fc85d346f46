"""Commands that the periodic jobs send."""

from typing import ClassVar

from pydantic import Field

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import Moment


class ScheduledCommand(Command):
    """A command of a periodic job: does what is due for a user at the job's own moment."""

    as_of: Moment = Field(description="The moment of the job. The moment of acceptance, if that is earlier.")

    @property
    def key(self) -> str | None:
        """One key per user and moment, so that a repeated job has one effect."""
        return self.idempotency_key or f"{self.user_id}/{self.as_of.isoformat()}"


class ExpireDue(ScheduledCommand):
    """Expires the points that are due at `as_of`, with one entry per lot. The nightly job sends it."""

    kind: ClassVar[str] = "expire-due"


class ActivateDue(ScheduledCommand):
    """Makes pending points available that are due at `as_of`, with one entry per lot. A job sends it."""

    kind: ClassVar[str] = "activate-due"


class ReleaseHoldsDue(ScheduledCommand):
    """Releases the holds that have timed out at `as_of`. A job sends it."""

    kind: ClassVar[str] = "release-holds-due"

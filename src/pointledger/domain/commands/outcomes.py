"""Outcomes: what came of a command. A refusal is a value, and final."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal


class Reason(StrEnum):
    """Why the ledger said no, in order of precedence: the first that holds is given."""

    TENANT_UNKNOWN = "TENANT_UNKNOWN"
    FEATURE_DISABLED = "FEATURE_DISABLED"
    SELF_TRANSFER = "SELF_TRANSFER"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    ACCOUNT_EXISTS = "ACCOUNT_EXISTS"
    ACCOUNT_SUSPENDED = "ACCOUNT_SUSPENDED"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    ACCOUNT_ERASED = "ACCOUNT_ERASED"
    OPEN_HOLDS = "OPEN_HOLDS"
    RECIPIENT_NOT_FOUND = "RECIPIENT_NOT_FOUND"
    RECIPIENT_INACTIVE = "RECIPIENT_INACTIVE"
    WALLET_NOT_FOUND = "WALLET_NOT_FOUND"
    WALLET_INACTIVE = "WALLET_INACTIVE"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    AMOUNT_INVALID = "AMOUNT_INVALID"
    RELATED_NOT_FOUND = "RELATED_NOT_FOUND"
    RELATED_NOT_REVERSIBLE = "RELATED_NOT_REVERSIBLE"
    NO_MATCHING_RULE = "NO_MATCHING_RULE"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    LIMIT_REACHED = "LIMIT_REACHED"
    MAX_BALANCE = "MAX_BALANCE"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    INSUFFICIENT_FROZEN = "INSUFFICIENT_FROZEN"
    FIGURE_TOO_LARGE = "FIGURE_TOO_LARGE"


# Somebody withdrew the command while it waited: nothing was decided, so it has no place in that order.
CANCELLED = "CANCELLED"

# What was sent by name through Celery and never became a command.
INVALID_COMMAND = "INVALID_COMMAND"
IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"


# What the message of a refusal ends with that did not wait any longer for what might have changed it.
STILL_WAITS = "; something that was accepted before this command still waits"


@dataclass(frozen=True, slots=True)
class Applied:
    """The command took effect; `data` is what the caller learns of it."""

    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """The ledger said no, and nothing but what was due anyway has changed.

    `rests_on`: what something that was accepted earlier, and still waits, may yet change: the state of the
    `recipient`, or the `incoming` transfers to the command's user. None: nothing accepted earlier can.
    """

    reason: Reason
    message: str
    rests_on: Literal["recipient", "incoming"] | None = None


Decision = Applied | Refused
State = Literal["pending", "applied", "refused", "dead", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for a task id, in the form that every door gives."""

    task_id: str
    tenant_id: str | None = None
    kind: str | None = None
    state: State = "unknown"
    reason: str | None = None
    message: str | None = None
    accepted_at: datetime | None = None
    applied_at: datetime | None = None
    data: dict[str, Any] | None = None

    @property
    def is_final(self) -> bool:
        """True when waiting longer brings nothing: `unknown` may still be on its way through a queue."""
        return self.state in ("applied", "refused", "dead")

    def as_json(self) -> dict[str, Any]:
        """The fields, moments in ISO 8601 UTC."""
        shown = asdict(self)
        for name in ("accepted_at", "applied_at"):
            moment = shown[name]
            shown[name] = moment.isoformat().replace("+00:00", "Z") if moment else None
        return shown

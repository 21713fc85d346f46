"""Defines the outcomes of commands. A refusal is a value and is final."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal


class Reason(StrEnum):
    """Why the ledger refuses a command, in order of precedence: an outcome has the first that holds.

    Each text says what the reason means, then what to do.
    """

    TENANT_UNKNOWN = "TENANT_UNKNOWN"
    """There is no such tenant.

    Save its configuration first: `pointledger tenant put FILE`."""

    FEATURE_DISABLED = "FEATURE_DISABLED"
    """The tenant has switched the feature off: earning, spending, transfers or exchange. Or the points
    are of a type that does not allow it: `tier_points` cannot be transferred, and only `cash_equivalent`
    points can be exchanged for money.

    Switch the feature on in the tenant's configuration, or do not offer it."""

    SELF_TRANSFER = "SELF_TRANSFER"
    """The sender and the recipient of a transfer are the same user.

    Name another recipient."""

    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    """The user has no account.

    Check the user's id. The first points that are granted open the account."""

    ACCOUNT_EXISTS = "ACCOUNT_EXISTS"
    """The user has an account already, so none is opened.

    Use the account. If it is suspended, reactivate it with `set-status`."""

    ACCOUNT_SUSPENDED = "ACCOUNT_SUSPENDED"
    """The account is suspended, so it neither earns nor spends nor transfers.

    Reactivate it with `set-status`."""

    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    """The account is closed, so it does nothing at all.

    Nothing reopens it. Use another user id."""

    ACCOUNT_ERASED = "ACCOUNT_ERASED"
    """The user was erased.

    Nothing undoes it. Use another user id."""

    OPEN_HOLDS = "OPEN_HOLDS"
    """Points of the account are held, so it is neither closed nor erased. Or money is left in the wallet,
    so the user is not erased.

    Capture or release the holds. Withdraw the money."""

    RECIPIENT_NOT_FOUND = "RECIPIENT_NOT_FOUND"
    """The recipient of a transfer has no account.

    Check the recipient's id, or open an account with `open-account`."""

    RECIPIENT_INACTIVE = "RECIPIENT_INACTIVE"
    """The recipient's account is suspended, closed or erased.

    Name another recipient, or reactivate a suspended account."""

    WALLET_NOT_FOUND = "WALLET_NOT_FOUND"
    """The user has no wallet to withdraw from.

    Check the user's id. The first deposit makes the wallet."""

    WALLET_INACTIVE = "WALLET_INACTIVE"
    """The wallet is frozen or closed.

    Ask the operator who has frozen it."""

    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    """The wallet is kept in another currency, and the ledger converts no money.

    Send an amount in the wallet's currency."""

    AMOUNT_INVALID = "AMOUNT_INVALID"
    """The amount has more decimals or digits than the wallet's currency allows.

    Round it to the currency's minor unit."""

    RELATED_NOT_FOUND = "RELATED_NOT_FOUND"
    """There is no such entry, hold or lot. A refund that arrives before its spend is refused too: it does
    not wait.

    Check the id. Send the reversal after the outcome of the command that it reverses."""

    RELATED_NOT_REVERSIBLE = "RELATED_NOT_REVERSIBLE"
    """The entry belongs to another user, is of a kind that is not reversed this way, or less of it is
    left than is asked for. Or the hold was captured, was released or has timed out.

    Look at the entry or the hold, and ask for no more than is left."""

    NO_MATCHING_RULE = "NO_MATCHING_RULE"
    """No enabled rule matches the event. The message names the rules that were skipped, and why.

    Try the event with `pointledger rule test`, then correct the rules or the event."""

    BELOW_MINIMUM = "BELOW_MINIMUM"
    """The amount is less than the tenant's `min_spend_points`. Or the points are worth less than one
    minor unit of money.

    Ask for more points."""

    LIMIT_REACHED = "LIMIT_REACHED"
    """A daily limit of the tenant is reached. Or a rule with `on_exceed: refuse` has reached one of its
    limits, and no other rule has granted anything.

    Try again in the next window, or raise the limit. `pointledger limits` shows what is left."""

    MAX_BALANCE = "MAX_BALANCE"
    """The account would exceed the tenant's `max_balance`. Or the wallet would hold more than a wallet
    can.

    Spend points first, ask for less, or raise the maximum."""

    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    """Fewer points, or less money, are available than are asked for.

    Ask for no more than the `balance`. Points that are pending or held are not available."""

    INSUFFICIENT_FROZEN = "INSUFFICIENT_FROZEN"
    """Fewer points are held than are asked for.

    Ask for no more than the hold has."""

    FIGURE_TOO_LARGE = "FIGURE_TOO_LARGE"
    """The account would hold more than 10^15 points, or one of its totals would exceed 10^18. The message
    names the figure.

    Look for a wrong amount or a rule that grants too much."""


CANCELLED = "CANCELLED"
"""The command was canceled while it was pending. The ledger decided nothing, so this reason has no place
in the order of precedence."""

# Of messages and rows of batches that never became a command.
INVALID_COMMAND = "INVALID_COMMAND"
IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"

# The end of a refusal's message if the refusal stopped waiting for earlier commands that might change it.
STILL_PENDING = "; a command that was accepted earlier is still pending"


@dataclass(frozen=True, slots=True)
class Applied:
    """The decision that a command takes effect. `data` describes the effect for the caller."""

    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """The decision that a command has no effect, apart from changes that were due anyway.

    `rests_on` names what a pending command that was accepted earlier can still change: the state of the
    `recipient`, or the `incoming` transfers to the command's user. None: no earlier command changes the
    refusal.
    """

    reason: Reason
    message: str
    rests_on: Literal["recipient", "incoming"] | None = None


Decision = Applied | Refused
State = Literal["pending", "applied", "refused", "dead", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command, in the form that every entry point gives."""

    task_id: str
    """The id that was asked for."""
    tenant_id: str | None = None
    """The command's tenant."""
    kind: str | None = None
    """The command's kind."""
    state: State = "unknown"
    """`pending`, `applied`, `refused` or `dead`. `unknown`: no command has this id, or it is still on its way
    through a queue."""
    reason: str | None = None
    """Why it was refused: a `Reason`, or a word for a message that was no command."""
    message: str | None = None
    """The particulars of a refusal, or the error of a dead command, for people."""
    accepted_at: datetime | None = None
    """When the command was accepted."""
    applied_at: datetime | None = None
    """When it was applied or refused."""
    data: dict[str, Any] | None = None
    """What an applied command did: the account as it left it, and the `transactions` that it wrote."""

    @property
    def is_final(self) -> bool:
        """Whether the state stays as it is. A dead command stays dead unless an operator retries it."""
        return self.state in ("applied", "refused", "dead")

    def as_json(self) -> dict[str, Any]:
        """Return the fields, with moments in ISO 8601 UTC."""
        shown = asdict(self)
        for name in ("accepted_at", "applied_at"):
            moment = shown[name]
            shown[name] = moment.isoformat().replace("+00:00", "Z") if moment else None
        return shown

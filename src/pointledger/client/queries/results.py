"""Results: the shapes in which queries give what they found."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of entries, the newest first."""

    entries: tuple[dict[str, Any], ...]
    """The entries, in the API's fields."""
    total: int
    """How many entries the account has in all, of any type."""
    next_before: int | None
    """What to give as `before` for the next page. None at the end."""


@dataclass(frozen=True, slots=True)
class HoldPage:
    """A page of holds, the latest first."""

    holds: tuple[dict[str, Any], ...]
    """The holds, in the API's fields."""
    next_before: int | None
    """What to give as `before` for the next page. None at the end."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """Points of a user that expire by a moment. Points that were due already, and held points, are not in it.
    Points that wait for a notice to end are."""

    user_id: str
    """The user."""
    asked_at: datetime
    """The moment of the answer."""
    until: datetime
    """The end of the span."""
    expire_enabled: bool
    """Whether the tenant lets points expire. If not, none of these expire."""
    expiry_exempt: bool
    """Whether the account is exempt from expiry. If so, none of these expire."""
    expires_not_before: str | None
    """When a notice ends before which nothing expires, in ISO 8601. None: there is no notice."""
    points: int
    """The points in all."""
    lots_in_all: int
    """The number of their lots."""
    recorded_points: int
    """The points by the lots as they are recorded."""
    lots: tuple[dict[str, Any], ...]
    """The first ten thousand lots. A lot that is not recorded yet, of points whose hold has timed out, has
    neither `id` nor `entry_id`."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields, with times in ISO 8601 UTC."""
        return asdict(self) | {"asked_at": iso(self.asked_at), "until": iso(self.until)}


@dataclass(frozen=True, slots=True)
class CashValue:
    """What a user's available points are worth in money."""

    user_id: str
    """The user."""
    balance: int
    """The points that can be spent."""
    exchange_rate: int
    """Points per currency unit."""
    value: str
    """Units of the currency, as text with its decimals, rounded down."""
    is_exact: bool
    """Whether rounding cut nothing off."""
    currency: str
    """The tenant's currency."""
    as_of: str
    """The moment of the answer, in ISO 8601."""
    recorded_balance: int
    """The balance as it is recorded."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an entry came about: in words, and in the facts that the words are made of."""

    sentences: tuple[str, ...]
    """The explanation, sentence by sentence."""
    entry: dict[str, Any]
    """The entry."""
    command: dict[str, Any] | None
    """The command that wrote it."""
    rule: dict[str, Any] | None
    """The version of the rule that granted it, if one did."""
    grant: dict[str, Any] | None
    """What the rule wanted, what was granted, and which limit bounded it."""
    lots_moved: tuple[dict[str, Any], ...]
    """What it took from lots or gave back to them."""
    lots_arrived: tuple[dict[str, Any], ...]
    """The lots that it brought."""


def iso(moment: datetime) -> str:
    """Format a moment as ISO 8601 in UTC."""
    return moment.isoformat().replace("+00:00", "Z")

"""Reads what the ledger has recorded of some tenants, in the model's form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from pointledger.ids import show_id
from tests.model.accounts import FIGURES

Row = tuple[Any, ...]
Values = dict[str, Any]


class Applied(NamedTuple):
    """A decided command; `seq` is its place in the order of acceptance."""

    command_id: str
    accepted_at: datetime
    applied_at: datetime
    seq: int


@dataclass(slots=True)
class Recorded:
    """One tenant. Ids are the model's: an entry is user/seq. `order` is the order of application."""

    order: list["Applied"] = field(default_factory=list)
    accounts: dict[str, Values] = field(default_factory=dict)
    entries: dict[str, list[Values]] = field(default_factory=dict)
    lots: dict[str, list[Values]] = field(default_factory=dict)
    holds: dict[str, list[Values]] = field(default_factory=dict)
    usage: dict[Row, Row] = field(default_factory=dict)
    wallets: dict[str, Values] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # the model's id of an entry or hold, by its id
    lot_names: dict[str, Values] = field(default_factory=dict)
    pseudonyms: dict[str, str] = field(default_factory=dict)  # the user of each pseudonym


def read(
    rows: Callable[..., list[Any]], tenants: Sequence[str], pseudonyms: Mapping[tuple[str, str], str]
) -> dict[str, Recorded]:
    """Read the tenants with `rows`. `pseudonyms` has the erased users by tenant and pseudonym."""
    found = {tenant: Recorded() for tenant in tenants}
    for (tenant, pseudonym), user in pseudonyms.items():
        found[tenant].pseudonyms[pseudonym] = user
    reader = _Reader(rows, list(tenants), found)
    reader.read_order()
    reader.read_accounts()
    reader.read_entries()
    reader.read_lots()
    reader.read_holds()
    reader.read_usage()
    reader.read_wallets()
    return found


class _Reader:
    def __init__(
        self, query: Callable[..., list[Any]], tenants: list[str], found: dict[str, Recorded]
    ) -> None:
        self._query, self._tenants, self._found = query, tenants, found
        self._users: dict[UUID, tuple[str, str]] = {}
        self._entries: dict[UUID, tuple[str, Values]] = {}  # by id: user, entry
        self._lots: dict[UUID, Values] = {}

    def _rows(self, sql: str) -> list[Any]:
        return self._query(sql, tenants=self._tenants)

    def _user(self, tenant: str, user: str) -> str:
        return self._found[tenant].pseudonyms.get(user, user)

    def read_order(self) -> None:
        for tenant, command_id, accepted_at, applied_at, seq in self._rows(_ORDER):
            applied = Applied(show_id(command_id), _utc(accepted_at), _utc(applied_at), seq)
            self._found[tenant].order.append(applied)
        for tenant, command_id, error in self._rows(_UNFINISHED):
            self._found[tenant].unfinished.append(f"{show_id(command_id)}: {error or 'pending'}")

    def read_accounts(self) -> None:
        for tenant, account_id, user_id, *values in self._rows(_ACCOUNTS):
            user = self._user(tenant, user_id)
            self._users[account_id] = (tenant, user)
            self._found[tenant].accounts[user] = dict(zip(_ACCOUNT, map(_utc, values), strict=True))

    def read_entries(self) -> None:
        rows = self._rows(_ENTRIES)
        for row in rows:
            account_id, entry_id, seq = row[0], row[1], row[2]
            tenant, user = self._users[account_id]
            self._found[tenant].names[str(entry_id)] = f"{user}/{seq}"
        for account_id, entry_id, *values in rows:
            tenant, user = self._users[account_id]
            entry: Values = dict(zip(_ENTRY, map(_utc, values), strict=True))
            entry["command"] = show_id(entry["command"])
            related = entry["related"]
            entry["related"] = self._found[tenant].names.get(str(related), related) if related else None
            self._entries[entry_id] = (user, entry)
            self._found[tenant].entries.setdefault(user, []).append(entry)

    def read_lots(self) -> None:
        for account_id, lot_id, entry_id, origin_id, *values in self._rows(_LOTS):
            tenant, user = self._users[account_id]
            names = self._found[tenant].names
            lot: Values = {"entry": names[str(entry_id)], "origin": names[str(origin_id)]}
            lot |= dict(zip(_LOT, map(_utc, values), strict=True))
            lot["moves"] = []
            self._lots[lot_id] = lot
            self._found[tenant].lots.setdefault(user, []).append(lot)
            self._found[tenant].lot_names[str(lot_id)] = lot
            lot["first_expires_at"] = lot["expires_at"]
        for lot_id, was in self._rows(_FIRST_EXPIRY):
            self._lots[lot_id]["first_expires_at"] = _utc(was)
        for entry_id, lot_id, points in self._rows(_MOVES):
            user, entry = self._entries[entry_id]
            self._lots[lot_id]["moves"].append((f"{user}/{entry['seq']}", points))

    def read_holds(self) -> None:
        holds = {}
        for account_id, hold_id, *values in self._rows(_HOLDS):
            tenant, user = self._users[account_id]
            hold: Values = dict(zip(_HOLD, map(_utc, values), strict=True))
            hold["lots"] = []
            holds[hold_id] = hold
            self._found[tenant].holds.setdefault(user, []).append(hold)
        for hold_id, lot_id, amount, frozen in self._rows(_HOLD_LOTS):
            lot = self._lots[lot_id]
            holds[hold_id]["lots"].append((lot["entry"], lot["earned_at"], amount, frozen))

    def read_usage(self) -> None:
        rules = {str(rule_id): name for rule_id, name in self._rows(_RULES)}
        for tenant, user, meter, period, starts_on, points, times in self._rows(_USAGE):
            name = rules.get(meter, meter)
            key = (
                self._user(tenant, user),
                name,
                period,
                starts_on if period != "lifetime" else date(1, 1, 1),
            )
            self._found[tenant].usage[key] = (points, times)

    def read_wallets(self) -> None:
        wallets = {}
        for wallet_id, tenant, user, *values in self._rows(_WALLETS):
            wallet: Values = dict(zip(_WALLET, values, strict=True))
            wallet["balance"], wallet["frozen_balance"] = (
                int(wallet["balance"]),
                int(wallet["frozen_balance"]),
            )
            wallet["entries"] = []
            wallets[wallet_id] = wallet
            self._found[tenant].wallets[self._user(tenant, user)] = wallet
        for wallet_id, type_, delta, after in self._rows(_WALLET_ENTRIES):
            wallets[wallet_id]["entries"].append((type_, int(delta), int(after)))


def _utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


_ORDER = """
SELECT o.tenant_id, o.id, j.accepted_at, o.applied_at, j.seq FROM outcomes o JOIN journal j ON j.id = o.id
WHERE o.tenant_id = ANY(%(tenants)s) AND o.reason IS DISTINCT FROM 'CANCELLED' ORDER BY o.batch, o.place"""

_UNFINISHED = """
SELECT j.tenant_id, j.id, f.error FROM journal j LEFT JOIN failures f ON f.id = j.id
WHERE j.tenant_id = ANY(%(tenants)s) AND NOT EXISTS (SELECT FROM outcomes o WHERE o.id = j.id)"""

_ACCOUNT = (
    *FIGURES, "status", "points_type", "version", "as_of", "expiry_exempt", "expires_not_before",
)  # fmt: skip
_ACCOUNTS = f"""
SELECT tenant_id, id, user_id, {", ".join(_ACCOUNT)} FROM accounts WHERE tenant_id = ANY(%(tenants)s)"""

_ENTRY = (
    "seq", "command", "type", "subtype", "amount", "delta", "delta_frozen", "delta_pending", "delta_debt",
    "balance_after", "frozen_after", "pending_after", "debt_after", "related", "rule", "rule_version",
    "expires_at", "occurred_at",
)  # fmt: skip
_ENTRIES = """
SELECT e.account_id, e.id, e.seq, e.command_id, e.type, e.subtype, e.amount, e.delta, e.delta_frozen,
       e.delta_pending, e.delta_debt, e.balance_after, e.frozen_after, e.pending_after, e.debt_after,
       e.related_id, r.name, e.rule_version, e.expires_at, e.occurred_at
FROM entries e LEFT JOIN rule_versions r
  ON r.tenant_id = e.tenant_id AND r.rule_id = e.rule_id AND r.version = e.rule_version
WHERE e.tenant_id = ANY(%(tenants)s) ORDER BY e.account_id, e.seq"""

_LOT = (
    "amount", "remaining", "frozen", "state", "earned_at", "expires_at", "expired", "activates_at", "changes",
)  # fmt: skip
_LOTS = """
SELECT account_id, id, entry_id, origin_id, amount, remaining, frozen, state, earned_at, expires_at, expired,
       activates_at, expiry_changes FROM lots WHERE tenant_id = ANY(%(tenants)s) ORDER BY account_id, id"""

_FIRST_EXPIRY = "SELECT lot_id, was FROM expiry_changes WHERE tenant_id = ANY(%(tenants)s) AND nth = 1"

_MOVES = """
SELECT entry_id, lot_id, CASE kind WHEN 'restore' THEN amount ELSE -amount END FROM lot_moves
WHERE tenant_id = ANY(%(tenants)s) AND kind NOT IN ('grace', 'renew')"""

_HOLD = ("seq", "amount", "captured", "released", "state", "opened_at", "expires_at")
_HOLDS = """
SELECT account_id, id, seq, amount, captured, released, state, opened_at, expires_at FROM holds
WHERE tenant_id = ANY(%(tenants)s) ORDER BY account_id, seq"""

_HOLD_LOTS = "SELECT hold_id, lot_id, amount, frozen FROM hold_lots WHERE tenant_id = ANY(%(tenants)s)"

_RULES = "SELECT DISTINCT rule_id, name FROM rule_versions WHERE tenant_id = ANY(%(tenants)s)"

_USAGE = """
SELECT tenant_id, user_id, meter, period, starts_on, points, times FROM usage
WHERE tenant_id = ANY(%(tenants)s)
UNION ALL
SELECT tenant_id, '', meter, period, starts_on, points, times FROM shared_usage
WHERE tenant_id = ANY(%(tenants)s)"""

_WALLET = ("currency", "application_id", "status", "balance", "frozen_balance")
_WALLETS = """
SELECT id, tenant_id, user_id, currency, application_id, status, balance, frozen_balance FROM wallets
WHERE tenant_id = ANY(%(tenants)s)"""
_WALLET_ENTRIES = """
SELECT wallet_id, type, delta, balance_after FROM wallet_entries WHERE tenant_id = ANY(%(tenants)s)
ORDER BY wallet_id, seq"""

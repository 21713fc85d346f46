"""Queries about accounts, entries, holds and statistics. Each is read only, bounded and of one moment.

Accounts, lots and holds are shown as a command would find them at that moment (`as_of`); the recorded figures
have the prefix `recorded_`. Entries are shown as recorded.

Every query can raise TenantMissing, AccountMissing, QueryTimeout, DatabaseAway and DatabaseFailed.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pointledger.client.given_ids import given_id
from pointledger.client.queries import explanation, late
from pointledger.client.queries.audit_log import AuditLogQueries
from pointledger.client.queries.expiry import ExpiryQueries
from pointledger.client.queries.export import Exports
from pointledger.client.queries.results import CashValue, EntryPage, Expiring, Explanation, HoldPage, iso
from pointledger.client.queries.rules import RuleQueries
from pointledger.client.queries.wallets import WalletQueries
from pointledger.domain.values.money import cash_value
from pointledger.errors import AccountMissing, EntryMissing, HoldMissing, NotCashEquivalent
from pointledger.ids import parse_id
from pointledger.storage.queries import rows

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pointledger.domain.program.tenant import Tenant
    from pointledger.storage.queries.current import Current

MOST_ENTRIES = 1000  # of a page
MONTHS = 12  # of a user's statistics, by default
MOST_MONTHS = 120
DAYS = 30
MOST_DAYS = 36_500  # the longest expiry that a policy can have


class LedgerQueries(RuleQueries, WalletQueries, AuditLogQueries, ExpiryQueries, Exports):
    """Queries of one database."""

    # -------------------------------------------------------------------------- accounts and entries

    def account(self, tenant_id: str, user_id: str, as_of: datetime | None = None) -> dict[str, Any]:
        """Read an account, in the API's fields. `as_of`: as it was recorded by that moment (`created_at` of
        the entries decides). Its `status` is None then, because no entry has it."""
        with late.database.read_only(self._database) as connection:
            tenant = late.program.tenant(connection, tenant_id)
            if as_of is None:
                return _current(connection, tenant, user_id).shown
            found = late.accounts.account_as_of(connection, tenant_id, user_id, as_of)
        if found is None:
            raise AccountMissing(f"tenant {tenant_id}, as of {iso(as_of)}").about(tenant_id, user_id)
        return found

    def accounts(self, tenant_id: str, after: str = "") -> list[dict[str, Any]]:
        """Read a page of the tenant's accounts by user id: those after `after`. Empty at the end."""
        with late.database.read_only(self._database) as connection:
            return late.current.accounts(connection, late.program.tenant(connection, tenant_id), after)

    def entries(
        self,
        tenant_id: str,
        user_id: str,
        *,
        before: int | None = None,
        type: str | None = None,
        limit: int = rows.PAGE,
    ) -> EntryPage:
        """Read a page of entries, the newest first: those with a `seq` below `before`. Entries never change
        and new ones come on top, so new entries do not change a page."""
        limit = max(1, min(limit, MOST_ENTRIES))
        with late.database.read_only(self._database) as connection:
            total = _version(connection, tenant_id, user_id)
            found = late.accounts.entries(connection, tenant_id, user_id, before, type=type, limit=limit)
        is_last = len(found) < limit or found[-1]["seq"] == 1
        return EntryPage(tuple(found), total, None if is_last else found[-1]["seq"])

    def entry(self, tenant_id: str, entry_id: str) -> dict[str, Any]:
        """Read one entry. Raises EntryMissing, and InvalidCommand for a malformed id."""
        with late.database.read_only(self._database) as connection:
            late.program.tenant(connection, tenant_id)
            return _entry(connection, tenant_id, entry_id)

    def explain_entry(self, tenant_id: str, entry_id: str) -> Explanation:
        """Explain how an entry came about. Raises EntryMissing, and InvalidCommand for a malformed id."""
        with late.database.read_only(self._database) as connection:
            tenant = late.program.tenant(connection, tenant_id)
            entry = _entry(connection, tenant_id, entry_id)
            command = late.explain.command(connection, parse_id(entry["command_id"]))
            rule = None
            if entry["rule_id"]:
                rule_id, version = parse_id(entry["rule_id"]), entry["rule_version"]
                rule = late.explain.rule_version(connection, tenant_id, rule_id, version)
            moved = late.explain.lots_moved(connection, tenant_id, parse_id(entry["id"]))
            arrived = late.explain.lots_arrived(connection, tenant, entry["user_id"], parse_id(entry["id"]))
        sentences = explanation.describe(entry, command, rule, moved, arrived)
        grant = explanation.grant_of(entry, command)
        return Explanation(tuple(sentences), entry, command, rule, grant, tuple(moved), tuple(arrived))

    # -------------------------------------------------------------------------------------- holds

    def holds(
        self,
        tenant_id: str,
        user_id: str,
        *,
        state: str | None = None,
        before: int | None = None,
        limit: int = rows.PAGE,
    ) -> HoldPage:
        """Read a page of the user's holds, the latest first: those with a `seq` below `before`. `state`,
        as it is now: `open`, `captured`, `released` or `timed_out`. Any state, if not given."""
        limit = max(1, min(limit, MOST_ENTRIES))
        with late.database.read_only(self._database) as connection:
            _version(connection, tenant_id, user_id)
            below = rows.BEYOND_ANY_SEQ if before is None else before
            found = late.holds.holds_of(connection, tenant_id, user_id, state, below, limit)
        return HoldPage(tuple(found), None if len(found) < limit else found[-1]["seq"])

    def hold(self, tenant_id: str, hold_id: str) -> dict[str, Any]:
        """Read one hold, with its `lots`. Raises HoldMissing, and InvalidCommand for a malformed id."""
        with late.database.read_only(self._database) as connection:
            tenant = late.program.tenant(connection, tenant_id)
            wanted = given_id("hold_id", hold_id)
            found = late.holds.hold(connection, tenant_id, wanted)
            if found is None:
                raise HoldMissing(f"{hold_id} of {tenant_id}")
            owner = _current(connection, tenant, found.shown["user_id"]) if found.may_be_due else None
            lots = late.holds.lots_of_hold(connection, tenant_id, wanted, owner)
        return found.shown | {"lots": lots}

    # ---------------------------------------------------------------------------- expiry and value

    def expiring(self, tenant_id: str, user_id: str, days: int = DAYS) -> Expiring:
        """Read the lots that expire within so many calendar days of the tenant, from now."""
        days = max(1, min(days, MOST_DAYS))
        with late.database.read_only(self._database) as connection:
            tenant = late.program.tenant(connection, tenant_id)
            account = _current(connection, tenant, user_id)
            until = tenant.days_later(account.now, days)
            found = late.expiring.expiring_now(connection, tenant, user_id, account, until)
            recorded = found
            if account.lots:
                recorded = late.expiring.expiring_lots(connection, tenant, user_id, account.now, until)
        shown = account.shown
        not_before = max(shown["expires_not_before"] or "", _iso(tenant.expires_not_before) or "") or None
        switches = tenant.expire_enabled, shown["expiry_exempt"], not_before
        totals = found.points, found.lots_in_all, recorded.points
        return Expiring(user_id, account.now, until, *switches, *totals, tuple(found.lots))

    def value(self, tenant_id: str, user_id: str) -> CashValue:
        """Say what the available balance is worth in money. Raises NotCashEquivalent."""
        with late.database.read_only(self._database) as connection:
            tenant = late.program.tenant(connection, tenant_id)
            account = _current(connection, tenant, user_id).shown
        if account["points_type"] != "cash_equivalent":
            raise NotCashEquivalent(f"they are {account['points_type']}").about(tenant_id, user_id)
        balance, rate = account["balance"], account["exchange_rate"]
        value = cash_value(balance, rate, tenant.scale)
        recorded = account["as_of"], account["recorded_balance"]
        return CashValue(user_id, balance, rate, *value, tenant.currency, *recorded)

    # ------------------------------------------------------------------------------------- statistics

    def user_statistics(self, tenant_id: str, user_id: str, months: int = MONTHS) -> dict[str, Any]:
        """Read a user's figures: totals, entries and points by month of the tenant's calendar (when they
        happened), and what each rule has granted and how much of it is pending."""
        with late.database.read_only(self._database) as connection:
            tenant = late.program.tenant(connection, tenant_id)
            account = _current(connection, tenant, user_id)
            firsts = _months(tenant.local_date(account.now), max(1, min(months, MOST_MONTHS)))
            starts = [tenant.day_starts_at(first) for first in firsts]
            by_month = late.statistics.user_by_month(connection, tenant_id, user_id, starts)
            by_rule = late.statistics.user_by_rule(connection, tenant_id, user_id, list(account.lots))
        shown = [{"month": f"{firsts[place]:%Y-%m}"} | figures for place, figures in by_month]
        return {"account": account.shown, "by_month": shown, "by_rule": by_rule}

    def tenant_statistics(self, tenant_id: str) -> dict[str, Any]:
        """Read a tenant's figures: accounts by status, their sums, and what was recorded in the tenant's
        current month, by kind of entry and by rule."""
        with late.database.read_only(self._database) as connection:
            tenant, now = late.program.tenant(connection, tenant_id), late.current.moment_of(connection)
            today = tenant.local_date(now)
            since = tenant.day_starts_at(today.replace(day=1))
            since_paused = late.pauses.paused(connection).get(tenant_id)
            figures = late.statistics.tenant_accounts(connection, tenant, now)
            by_kind = late.statistics.tenant_by_kind_since(connection, tenant_id, since)
            by_rule = late.statistics.tenant_by_rule_since(connection, tenant_id, since)
        return {
            "tenant_id": tenant_id,
            "as_of": iso(now),
            "paused_since": iso(since_paused) if since_paused else None,
            "accounts": figures.accounts,
            "outstanding": _outstanding(figures.totals),
            "totals": figures.totals,
            "recorded_outstanding": _outstanding(figures.recorded),
            "recorded_totals": figures.recorded,
            "month": f"{today:%Y-%m}",
            "this_month": by_kind,
            "by_rule": by_rule,
        }

    def preview_expiry(
        self, tenant_id: str | None = None, as_of: datetime | None = None, members: int = 50
    ) -> list[dict[str, Any]]:
        """Say what the nightly job would expire as of a moment (now, if not given), for each tenant or for
        one: accounts, lots and points, the first of these accounts, and what exempt accounts keep. It
        includes points that stay because expiry is switched off or a notice is not over. Changes nothing."""
        with late.database.read_only(self._database) as connection:
            as_of = as_of or late.job_runs.now(connection)
            tenants = _tenants(connection, tenant_id)
            return [_preview(connection, tenant, as_of, members) for tenant in tenants]


def _current(connection: sa.Connection, tenant: Tenant, user_id: str) -> Current:
    """Return the account as of now. Raise AccountMissing."""
    found = late.current.account(connection, tenant, user_id)
    if found is None:
        raise AccountMissing(f"tenant {tenant.tenant_id}").about(tenant.tenant_id, user_id)
    return found


def _version(connection: sa.Connection, tenant_id: str, user_id: str) -> int:
    """Return the number of the account's entries. Raise TenantMissing, AccountMissing."""
    late.program.tenant(connection, tenant_id)
    return late.pages.version_of(connection, tenant_id, user_id)


def _entry(connection: sa.Connection, tenant_id: str, entry_id: str) -> dict[str, Any]:
    found = late.accounts.entry(connection, tenant_id, given_id("entry_id", entry_id))
    if found is None:
        raise EntryMissing(f"{entry_id} of {tenant_id}")
    return found


def _outstanding(totals: dict[str, int]) -> int:
    return sum(totals.get(name, 0) for name in ("balance", "frozen_balance", "pending_balance"))


def _tenants(connection: sa.Connection, tenant_id: str | None) -> list[Tenant]:
    if tenant_id is not None:
        return [late.program.tenant(connection, tenant_id)]
    return [tenant for tenant, _ in late.program.all_tenants(connection)]


def _preview(connection: sa.Connection, tenant: Tenant, as_of: datetime, members: int) -> dict[str, Any]:
    totals, first = late.expiring.would_expire(connection, tenant.tenant_id, as_of, max(1, members))
    kept, _ = late.expiring.would_expire(connection, tenant.tenant_id, as_of, 1, exempt=True)
    head = {
        "tenant_id": tenant.tenant_id,
        "as_of": iso(as_of),
        "expire_enabled": tenant.expire_enabled,
        "expires_not_before": _iso(tenant.expires_not_before),
    }
    exempt = {"exempt_accounts": kept["accounts"], "exempt_points": kept["points"]}
    return head | totals | exempt | {"members": first}


def _months(today: date, count: int) -> list[date]:
    """Return the first days of the last `count` months, oldest first; the last one is today's month."""
    newest = today.year * 12 + today.month - 1
    numbers = range(newest - count + 1, newest + 1)
    return [date(number // 12, number % 12 + 1, 1) for number in numbers]


def _iso(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None

"""Lookups: what may be asked of the ledger. Each answer is of one moment, read only, and bounded.

Raises, everywhere: TenantMissing, AccountMissing, AnswerTooLate, DatabaseAway, DatabaseFailed.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.answers import CashValue, EntryPage, Expiring, HoldPage, Why, iso
from pointledger.domain import traces as words
from pointledger.domain.tenants import Tenant
from pointledger.domain.values import cash_value
from pointledger.errors import AccountMissing, EntryMissing, HoldMissing, InvalidCommand, NotCashEquivalent
from pointledger.exports import Exports
from pointledger.ids import parse_id
from pointledger.lookups_of_acts import ActLookups
from pointledger.lookups_of_rules import RuleLookups
from pointledger.lookups_of_wallets import WalletLookups
from pointledger.storage import (
    expiring,
    hold_lookups,
    jobs,
    past,
    pauses,
    programmes,
    queries,
    statistics,
    traces,
)  # fmt: skip
from pointledger.storage.database import looking

MOST_ENTRIES = 1000  # of a page
MONTHS = 12  # of a user's statistics, unless asked otherwise
MOST_MONTHS = 120
DAYS = 30
MOST_DAYS = 36_500  # as far as a policy can reach


class Lookups(RuleLookups, WalletLookups, ActLookups, Exports):
    """Asks one database."""

    # -------------------------------------------------------------------------- accounts and entries

    def account(self, tenant_id: str, user_id: str, as_of: datetime | None = None) -> dict[str, Any]:
        """The account in the API's fields; `as_of`: as it had been recorded by that moment (`created_at`
        of the entries decides). Then `status` is null: no entry tells it."""
        with looking(self._database) as connection:
            return _account(connection, tenant_id, user_id, as_of)

    def entries(
        self,
        tenant_id: str,
        user_id: str,
        *,
        before: int | None = None,
        type: str | None = None,
        limit: int = queries.PAGE,
    ) -> EntryPage:
        """A page of entries, newest first, those with a `seq` below `before`. Entries never change and only
        ever come on top, so pages are the same whatever is written meanwhile."""
        limit = max(1, min(limit, MOST_ENTRIES))
        with looking(self._database) as connection:
            total = int(_account(connection, tenant_id, user_id)["version"])
            found = queries.entries(connection, tenant_id, user_id, before, type=type, limit=limit)
        is_last = len(found) < limit or found[-1]["seq"] == 1
        return EntryPage(tuple(found), total, None if is_last else found[-1]["seq"])

    def entry(self, tenant_id: str, entry_id: str) -> dict[str, Any]:
        """One entry. Raises EntryMissing, and InvalidCommand for what is no id."""
        with looking(self._database) as connection:
            return _entry(connection, tenant_id, entry_id)

    def why(self, tenant_id: str, entry_id: str) -> Why:
        """How an entry came about. Raises EntryMissing, and InvalidCommand for what is no id."""
        with looking(self._database) as connection:
            entry = _entry(connection, tenant_id, entry_id)
            command = traces.command(connection, parse_id(entry["command_id"]))
            rule = None
            if entry["rule_id"]:
                rule_id, version = parse_id(entry["rule_id"]), entry["rule_version"]
                rule = traces.rule_version(connection, tenant_id, rule_id, version)
            moved = traces.lots_moved(connection, tenant_id, parse_id(entry["id"]))
            arrived = traces.lots_arrived(connection, tenant_id, parse_id(entry["id"]))
        told = words.tell(entry, command, rule, moved, arrived)
        grant = words.grant_of(entry, command)
        return Why(tuple(told), entry, command, rule, grant, tuple(moved), tuple(arrived))

    # -------------------------------------------------------------------------------------- holds

    def holds(
        self,
        tenant_id: str,
        user_id: str,
        *,
        state: str | None = None,
        before: int | None = None,
        limit: int = queries.PAGE,
    ) -> HoldPage:
        """A page of the user's holds, the latest first: those with a `seq` below `before`; `state`: open,
        captured, released, timed_out, or any."""
        limit = max(1, min(limit, MOST_ENTRIES))
        with looking(self._database) as connection:
            _account(connection, tenant_id, user_id)
            below = queries.BEYOND_ANY_SEQ if before is None else before
            found = hold_lookups.holds_of(connection, tenant_id, user_id, state, below, limit)
        return HoldPage(tuple(found), None if len(found) < limit else found[-1]["seq"])

    def hold(self, tenant_id: str, hold_id: str) -> dict[str, Any]:
        """One hold, with its `lots`. Raises HoldMissing, and InvalidCommand for what is no id."""
        with looking(self._database) as connection:
            programmes.tenant(connection, tenant_id)
            asked = _id("hold_id", hold_id)
            found = hold_lookups.hold(connection, tenant_id, asked)
            if found is None:
                raise HoldMissing(f"{hold_id} of {tenant_id}")
            return found | {"lots": hold_lookups.lots_of_hold(connection, tenant_id, asked)}

    # ------------------------------------------------------------------------------- what it is worth

    def expiring(self, tenant_id: str, user_id: str, days: int = DAYS) -> Expiring:
        """The lots that expire within so many calendar days of the tenant, from now."""
        days = max(1, min(days, MOST_DAYS))
        with looking(self._database) as connection:
            account = _account(connection, tenant_id, user_id)
            tenant, now = programmes.tenant(connection, tenant_id), jobs.now(connection)
            until = tenant.days_later(now, days)
            points, count, lots = expiring.expiring_lots(connection, tenant, user_id, now, until)
        notice = max(account["expires_not_before"] or "", _iso(tenant.expires_not_before) or "") or None
        switches = tenant.expire_enabled, account["expiry_exempt"], notice
        return Expiring(user_id, now, until, *switches, points, count, tuple(lots))

    def value(self, tenant_id: str, user_id: str) -> CashValue:
        """What the available balance is worth in money. Raises NotCashEquivalent."""
        with looking(self._database) as connection:
            account = _account(connection, tenant_id, user_id)
            tenant = programmes.tenant(connection, tenant_id)
        if account["points_type"] != "cash_equivalent":
            raise NotCashEquivalent(f"those of {user_id} of {tenant_id} are {account['points_type']}")
        balance, rate = account["balance"], account["exchange_rate"]
        return CashValue(user_id, balance, rate, *cash_value(balance, rate, tenant.scale), tenant.currency)

    # ------------------------------------------------------------------------------------- statistics

    def user_statistics(self, tenant_id: str, user_id: str, months: int = MONTHS) -> dict[str, Any]:
        """The account's totals; entries and points of the last months by when they happened, in the
        tenant's calendar; and what each rule has granted, and what of that is pending."""
        with looking(self._database) as connection:
            account = _account(connection, tenant_id, user_id)
            tenant, now = programmes.tenant(connection, tenant_id), jobs.now(connection)
            firsts = _months(tenant.local_date(now), max(1, min(months, MOST_MONTHS)))
            starts = [tenant.day_starts_at(first) for first in firsts]
            by_month = statistics.user_by_month(connection, tenant_id, user_id, starts)
            by_rule = statistics.user_by_rule(connection, tenant_id, user_id)
        shown = [{"month": f"{firsts[place]:%Y-%m}"} | figures for place, figures in by_month]
        return {"account": account, "by_month": shown, "by_rule": by_rule}

    def tenant_statistics(self, tenant_id: str) -> dict[str, Any]:
        """Accounts by status, what they add up to, and what was recorded in the tenant's current month:
        entries and points by kind, and what each rule granted."""
        with looking(self._database) as connection:
            tenant, now = programmes.tenant(connection, tenant_id), jobs.now(connection)
            today = tenant.local_date(now)
            since = tenant.day_starts_at(today.replace(day=1))
            since_paused = pauses.paused(connection).get(tenant_id)
            by_status = statistics.tenant_accounts(connection, tenant_id)
            by_kind = statistics.tenant_by_kind_since(connection, tenant_id, since)
            by_rule = statistics.tenant_by_rule_since(connection, tenant_id, since)
        totals: dict[str, int] = {}
        for figures in by_status:
            for name, number in figures.items():
                if name != "status":
                    totals[name] = totals.get(name, 0) + number
        outstanding = sum(totals.get(name, 0) for name in ("balance", "frozen_balance", "pending_balance"))
        return {
            "tenant_id": tenant_id,
            "paused_since": iso(since_paused) if since_paused else None,
            "accounts": {figures["status"]: figures["accounts"] for figures in by_status},
            "outstanding": outstanding,
            "totals": {name: number for name, number in totals.items() if name != "accounts"},
            "month": f"{today:%Y-%m}",
            "this_month": by_kind,
            "by_rule": by_rule,
        }

    def preview_of_sweep(
        self, tenant_id: str | None = None, as_of: datetime | None = None, members: int = 50
    ) -> list[dict[str, Any]]:
        """For each tenant (or one): the accounts, lots and points that a sweep as of a moment (now, if not
        given) would expire, and the first of these accounts; and what exempt accounts keep. Changes
        nothing; also where expiry is switched off or a notice holds it back, so that it is known before."""
        with looking(self._database) as connection:
            as_of = as_of or jobs.now(connection)
            tenants = _tenants(connection, tenant_id)
            return [_preview(connection, tenant, as_of, members) for tenant in tenants]


def _account(
    connection: sa.Connection, tenant_id: str, user_id: str, as_of: datetime | None = None
) -> dict[str, Any]:
    programmes.tenant(connection, tenant_id)
    if as_of is None:
        found = queries.account(connection, tenant_id, user_id)
    else:
        found = past.account_as_of(connection, tenant_id, user_id, as_of)
    if found is None:
        raise AccountMissing(f"{user_id} of {tenant_id}" + (f" as of {iso(as_of)}" if as_of else ""))
    return found


def _entry(connection: sa.Connection, tenant_id: str, entry_id: str) -> dict[str, Any]:
    programmes.tenant(connection, tenant_id)
    found = queries.entry(connection, tenant_id, _id("entry_id", entry_id))
    if found is None:
        raise EntryMissing(f"{entry_id} of {tenant_id}")
    return found


def _id(name: str, text: str) -> UUID:
    try:
        return parse_id(text)
    except ValueError as error:
        raise InvalidCommand(f"{name}: {error}") from None


def _tenants(connection: sa.Connection, tenant_id: str | None) -> list[Tenant]:
    if tenant_id is not None:
        return [programmes.tenant(connection, tenant_id)]
    return [tenant for tenant, _ in programmes.all_tenants(connection)]


def _preview(connection: sa.Connection, tenant: Tenant, as_of: datetime, members: int) -> dict[str, Any]:
    sums, first = expiring.would_expire(connection, tenant.tenant_id, as_of, max(1, members))
    left, _ = expiring.would_expire(connection, tenant.tenant_id, as_of, 1, exempt=True)
    head = {
        "tenant_id": tenant.tenant_id,
        "as_of": iso(as_of),
        "expire_enabled": tenant.expire_enabled,
        "expires_not_before": _iso(tenant.expires_not_before),
    }
    exempt = {"exempt_accounts": left["accounts"], "exempt_points": left["points"]}
    return head | sums | exempt | {"members": first}


def _months(today: date, count: int) -> list[date]:
    """The first days of so many months, the oldest first, the last one today's."""
    newest = today.year * 12 + today.month - 1
    numbers = range(newest - count + 1, newest + 1)
    return [date(number // 12, number % 12 + 1, 1) for number in numbers]


def _iso(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None

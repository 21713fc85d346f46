"""apply-rule: an event meets the tenant's rules, and every rule that matches grants.

Per rule: points wanted (base × multiplier, rounded down once), then what its limits, the tenant's daily
limit and the maximum balance let through. The outcome says what was wanted, what was granted and which
limit held it back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pointledger.domain.book import Account, Book, Entry
from pointledger.domain.commands import ApplyRule
from pointledger.domain.guards import disabled, inactive, room, touch
from pointledger.domain.limits import EARN_METER, daily_window, left, rule_windows
from pointledger.domain.outcomes import Applied, Decision, Reason, Refused
from pointledger.domain.rules import Rule
from pointledger.domain.snapshots import account_data, entry_data
from pointledger.domain.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Grant:
    """What one rule wanted to grant and what was let through; `held_by` names the limit that did."""

    rule: Rule
    wanted: int
    granted: int
    held_by: str | None = None
    refused: bool = False  # the rule would rather grant nothing than less

    def as_data(self) -> dict[str, Any]:
        """Its line in the outcome's trace."""
        data: dict[str, Any] = {
            "rule_id": self.rule.id,
            "rule": self.rule.body.name,
            "rule_version": self.rule.version,
            "wanted": self.wanted,
            "granted": self.granted,
        }
        if self.held_by:
            data["held_by"] = self.held_by
        return data


def apply_rule(book: Book, tenant: Tenant, command: ApplyRule, at: datetime) -> Decision:
    """Grants what the rules in force at `at` grant for the event; creates the account if it is missing."""
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if refused := disabled("earning", tenant.earn_enabled) or (account and inactive(account)):
        return refused
    if account:
        touch(book, tenant, account, at)
    matching = matches(book, tenant, command, at)
    if not matching:
        return Refused(Reason.NO_MATCHING_RULE, f"no enabled rule matches {command.event_type}")
    grants, entries = [], []
    for rule, wanted in matching:
        grant = _let_through(book, tenant, account, command.user_id, rule, wanted, at)
        grants.append(grant)
        if grant.granted:
            account = account or book.open_account(tenant, command.user_id, at)
            entries.append(_grant(book, tenant, account, grant, at))
    if not entries and (held := next((grant for grant in grants if grant.refused), None)):
        return Refused(
            Reason.LIMIT_REACHED, f"rule {held.rule.body.name}: its limit {held.held_by} is reached"
        )
    account = account or book.open_account(tenant, command.user_id, at)
    return Applied(
        {
            "points_earned": sum(grant.granted for grant in grants),
            "grants": [grant.as_data() for grant in grants],
            "transactions": [entry_data(entry) for entry in entries],
            "account": account_data(account),
        }
    )


def matches(book: Book, tenant: Tenant, command: ApplyRule, at: datetime) -> list[tuple[Rule, int]]:
    """The rules that match, each with the points it wants to grant, as they are tried.

    A rule that counts a field which the event lacks does not match it.
    """
    found = book.rules_of(tenant).for_event(command.event_type, at)
    wanted = ((rule, rule.wanted(command.metadata)) for rule in found)
    return [(rule, points) for rule, points in wanted if points is not None]


def _let_through(
    book: Book, tenant: Tenant, account: Account | None, user_id: str, rule: Rule, wanted: int, at: datetime
) -> Grant:
    """What the rule's limits let through, then the tenant's daily limit, then the maximum balance."""
    granted, held_by = wanted, None
    for limit, window in rule_windows(tenant, user_id, rule, at):
        rest = left(limit, book.usage_of(window), wanted)
        if rest < granted:
            granted, held_by = rest, limit.label
    if granted < wanted and rule.body.on_exceed == "refuse":
        return Grant(rule, wanted, 0, held_by, refused=True)
    if tenant.max_earn_per_day is not None:
        used = book.usage_of(daily_window(tenant, user_id, EARN_METER, at)).points
        rest = max(tenant.max_earn_per_day - used, 0)
        if rest < granted:
            granted, held_by = rest, "tenant/max_earn_per_day"
    rest = room(tenant, account)
    if rest < granted:
        granted, held_by = rest, "tenant/max_balance"
    return Grant(rule, wanted, granted, held_by)


def _grant(book: Book, tenant: Tenant, account: Account, grant: Grant, at: datetime) -> Entry:
    """From here the grant must succeed: counts it, writes its entry and its lot."""
    rule = grant.rule
    # A window that several limits look at is counted once.
    for window in {window for _, window in rule_windows(tenant, account.user_id, rule, at)}:
        book.usage_of(window).add(grant.granted)
    if tenant.max_earn_per_day is not None:
        book.usage_of(daily_window(tenant, account.user_id, EARN_METER, at)).add(grant.granted)
    expiry = rule.body.expiry
    expires_at = tenant.days_later(at, expiry.days) if expiry else tenant.default_expiry(at)
    entry = book.post(
        account, ("earn", "rule"), grant.granted, at, delta=grant.granted, rule=rule, expires_at=expires_at
    )
    book.grant_lot(account, entry, grant.granted, at, expires_at)
    return entry

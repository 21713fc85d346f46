"""Decides apply-rule: grants points for an event by every matching rule.

First, all rules of the event's type are matched (`domain/program/matching.py`). Then the matching rules grant
in order. The rule's limits, the tenant's daily limit and the maximum balance cap each award. The outcome
lists the award, the grant and the limit that capped it, and the skipped rules with their reasons.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pointledger.domain.commands import ApplyRule
from pointledger.domain.commands.outcomes import Applied, Decision, Reason, Refused
from pointledger.domain.decisions.guards import disabled, inactive, room, too_large
from pointledger.domain.decisions.points import grant as grant_points
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.entry import Entry
from pointledger.domain.ledger.outcome_data import account_data, entry_data
from pointledger.domain.program.context import EvaluationContext
from pointledger.domain.program.limits import (
    EARN_METER,
    MAX_COUNT,
    SharedUsage,
    Window,
    daily_window,
    let_through,
    rule_windows,
)
from pointledger.domain.program.matching import Match, matches
from pointledger.domain.program.rule import Limit, Rule, RuleError
from pointledger.domain.program.tenant import Tenant

_SHOWN_IN_OUTCOME = 20  # skipped rules: outcomes are never deleted
_SHOWN_IN_MESSAGE = 5


class WantedGrant(NamedTuple):
    """The award of one rule before limits, and the windows of its limits."""

    rule: Rule
    wanted: int
    windows: list[tuple[Limit, Window]]


class Grant(NamedTuple):
    """The award of one rule and the points that it granted. `limited_by` names the limit that capped it."""

    rule: Rule
    wanted: int
    granted: int
    windows: list[tuple[Limit, Window]]  # of the rule's limits
    limited_by: str | None = None
    refused: bool = False  # the rule grants either the whole award or nothing
    activates_at: datetime | None = None  # the points are pending until then; None: available at once

    def as_data(self) -> dict[str, Any]:
        """Return the outcome's line about this grant."""
        data: dict[str, Any] = {
            "rule_id": self.rule.id,
            "rule": self.rule.body.name,
            "rule_version": self.rule.version,
            "wanted": self.wanted,
            "granted": self.granted,
        }
        if self.limited_by:
            data["limited_by"] = self.limited_by
        if self.activates_at and self.granted:
            data["activates_at"] = self.activates_at
        return data


class RuleEvaluation(NamedTuple):
    """A decision with the match of every rule, and the grants of the matching ones."""

    decision: Decision
    matches: Sequence[Match] = ()
    grants: Sequence[Grant] = ()


def apply_rule(book: Book, tenant: Tenant, command: ApplyRule, at: datetime) -> Decision:
    """Grant points for the event by the rules in force at `at`. Opens a missing account."""
    return evaluate_rules(book, tenant, command, at).decision


def evaluate_rules(book: Book, tenant: Tenant, command: ApplyRule, at: datetime) -> RuleEvaluation:
    """Decide like `apply_rule`, and return how the decision came about."""
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if refused := disabled("earning", tenant.earn_enabled) or (account and inactive(account)):
        return RuleEvaluation(refused)
    found = book.wanted.get(command.id) if book.wanted else None
    if found is None:
        rules = book.rules_of(tenant).for_event(command.event_type, at)
        found = matches(rules, EvaluationContext(tenant, account, command.metadata, at))
    skipped = [match for match in found if match.skipped]
    if skipped:
        _note_errors(book, tenant, skipped)
    if len(skipped) == len(found):
        return RuleEvaluation(_nothing_matches(command.event_type, skipped), found)
    wants = [
        WantedGrant(match.rule, match.wanted, rule_windows(tenant, command.user_id, match.rule, at))
        for match in found
        if not match.skipped
    ]
    if refused := _too_large(book, tenant, account, command, wants, at):
        return RuleEvaluation(refused, found)
    account, grants, entries = _grant_all(book, tenant, account, command.user_id, wants, at)
    decision: Decision
    if not entries and (limited := next((grant for grant in grants if grant.refused), None)):
        decision = Refused(
            Reason.LIMIT_REACHED, f"rule {limited.rule.body.name}: its limit {limited.limited_by} is reached"
        )
    else:
        account = account or book.open_account(tenant, command.user_id, at)
        decision = _applied(account, entries, grants, skipped)
    return RuleEvaluation(decision, found, grants)


def _grant_all(
    book: Book, tenant: Tenant, account: Account | None, user_id: str, wants: list[WantedGrant], at: datetime
) -> tuple[Account | None, list[Grant], list[Entry]]:
    """Grant the points of each rule in order. Opens a missing account with the first points."""
    grants, entries = [], []
    for want in wants:
        grant = _let_through(book, tenant, account, user_id, want, at)
        grants.append(grant)
        if grant.granted:
            account = account or book.open_account(tenant, user_id, at)
            entries.append(_grant(book, tenant, account, grant, at))
    return account, grants, entries


def _too_large(
    book: Book,
    tenant: Tenant,
    account: Account | None,
    command: ApplyRule,
    wants: list[WantedGrant],
    at: datetime,
) -> Refused | None:
    """Refuse an event whose grants together would exceed the maximum of a figure.

    If the awards could exceed it, the grants after limits are computed on a copy.
    """
    wanted = sum([want.wanted for want in wants])
    windows = {window for want in wants if want.windows for _, window in want.windows if window.is_shared}
    counted = max([book.usage_of(window).points for window in windows]) if windows else 0
    if not too_large(account, wanted, "total_earned") and counted + wanted <= MAX_COUNT:
        return None
    trial = book.trial_copy(tenant.tenant_id, command.user_id, command.id)
    known = trial.accounts.get((tenant.tenant_id, command.user_id))
    _, grants, _ = _grant_all(trial, tenant, known, command.user_id, wants, at)
    refused = too_large(account, sum(grant.granted for grant in grants), "total_earned")
    if any(trial.usage_of(window).points > MAX_COUNT for window in windows):
        message = f"the usage of a limit would be more than {MAX_COUNT}"
        refused = Refused(Reason.FIGURE_TOO_LARGE, message)
    if refused:
        book.clamped |= windows  # the refusal depends on their usage
    return refused


def _note_errors(book: Book, tenant: Tenant, skipped: list[Match]) -> None:
    """Count failing and too dear rules for the operator, because the event's sender cannot fix them."""
    for match in skipped:
        if match.skipped in ("error", "cost"):
            error = RuleError(tenant.tenant_id, match.rule.id, match.rule.version, match.detail or "ERROR")
            book.rule_errors[error] += 1


def _applied(account: Account, entries: list[Entry], grants: list[Grant], skipped: list[Match]) -> Applied:
    lines = [grant.as_data() for grant in grants]
    lines += [match.as_data() for match in skipped[:_SHOWN_IN_OUTCOME]]
    data: dict[str, Any] = {
        "points_earned": sum([grant.granted for grant in grants]),
        "grants": lines,
        "transactions": [entry_data(entry) for entry in entries],
        "account": account_data(account),
    }
    if len(skipped) > _SHOWN_IN_OUTCOME:
        data["more_skipped"] = len(skipped) - _SHOWN_IN_OUTCOME
    return Applied(data)


def _nothing_matches(event_type: str, skipped: list[Match]) -> Refused:
    names = [f"{match.rule.body.name} ({match.skipped})" for match in skipped[:_SHOWN_IN_MESSAGE]]
    if len(skipped) > _SHOWN_IN_MESSAGE:
        names.append(f"{len(skipped) - _SHOWN_IN_MESSAGE} more")
    detail = f": {', '.join(names)}" if names else ""
    return Refused(Reason.NO_MATCHING_RULE, f"no enabled rule matches {event_type}{detail}")


def _let_through(
    book: Book, tenant: Tenant, account: Account | None, user_id: str, want: WantedGrant, at: datetime
) -> Grant:
    """Cap the award by the rule's limits, the tenant's daily limit and the maximum balance, in this order."""
    rule, wanted, windows = want
    granted, limited_by = wanted, None
    for limit, window in windows:
        used = book.usage_of(window)
        rest = let_through(limit, used, wanted)
        if rest < granted:
            granted, limited_by = rest, limit.label
        if rest < wanted and window.is_shared:
            book.clamped.add(window)
        elif wanted and isinstance(used, SharedUsage):
            book.let_through.add(window)
            used.keep_open(limit, wanted)
    if granted < wanted and rule.body.on_exceed == "refuse":
        return Grant(rule, wanted, 0, windows, limited_by, refused=True)
    if tenant.max_earn_per_day is not None:
        earned = book.usage_of(daily_window(tenant, user_id, EARN_METER, at)).points
        rest = max(tenant.max_earn_per_day - earned, 0)
        if rest < granted:
            granted, limited_by = rest, "tenant/max_earn_per_day"
    space = room(tenant, account)
    if space is not None and space < granted:
        granted, limited_by = space, "tenant/max_balance"
    pending = rule.body.pending
    activates_at = tenant.days_later(at, pending.days) if pending else None
    return Grant(rule, wanted, granted, windows, limited_by, activates_at=activates_at)


def _grant(book: Book, tenant: Tenant, account: Account, grant: Grant, at: datetime) -> Entry:
    """Count the grant, and write its entry and its lot. It must succeed, because all guards have passed."""
    rule = grant.rule
    if grant.windows:
        _count(book, grant)
    if tenant.max_earn_per_day is not None:
        book.usage_of(daily_window(tenant, account.user_id, EARN_METER, at)).add(grant.granted)
    expires_at = tenant.expires_at(grant.activates_at or at, rule.body.expiry)
    return grant_points(
        book,
        account,
        ("earn", "rule"),
        grant.granted,
        at,
        expires_at,
        activates_at=grant.activates_at,
        rule=rule,
    )


def _count(book: Book, grant: Grant) -> None:
    # A window that several limits share counts the grant once.
    for window in {window for _, window in grant.windows}:
        book.usage_of(window).add(grant.granted)
    for limit, window in grant.windows:
        if isinstance(used := book.usage_of(window), SharedUsage):
            used.keep_within(limit)

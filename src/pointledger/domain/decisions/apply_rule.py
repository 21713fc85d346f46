"""apply-rule: an event meets the tenant's rules, and every rule that matches grants.

First every rule is asked (`domain/program/matching.py`), then those that match grant, in order: what a rule
wants, as far as its limits, the tenant's daily limit and the maximum balance let it through. The outcome
says what was wanted, what was granted and which limit held it back; and which rules of that type were
skipped, and why.
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
from pointledger.domain.program.context import Scene
from pointledger.domain.program.limits import (
    EARN_METER,
    MOST_COUNTED,
    SharedUsage,
    Window,
    daily_window,
    let_through,
    rule_windows,
)
from pointledger.domain.program.matching import Match, matches
from pointledger.domain.program.rule import Limit, Rule, RuleError
from pointledger.domain.program.tenant import Tenant

_TOLD_IN_OUTCOME = 20  # rules that were skipped: it is kept for ever
_TOLD_IN_MESSAGE = 5


class Want(NamedTuple):
    """What one rule wants to grant, and the windows of its limits."""

    rule: Rule
    wanted: int
    windows: list[tuple[Limit, Window]]


class Grant(NamedTuple):
    """What one rule wanted to grant and what was let through; `held_by` names the limit that did."""

    rule: Rule
    wanted: int
    granted: int
    windows: list[tuple[Limit, Window]]  # of the rule's limits
    held_by: str | None = None
    refused: bool = False  # the rule would rather grant nothing than less
    activates_at: datetime | None = None  # until then the points are pending; None: they never are

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
        if self.activates_at and self.granted:
            data["activates_at"] = self.activates_at
        return data


class Judgement(NamedTuple):
    """A decision and how it came about: every rule that was asked, and what those that matched granted."""

    decision: Decision
    matches: Sequence[Match] = ()
    grants: Sequence[Grant] = ()


def apply_rule(book: Book, tenant: Tenant, command: ApplyRule, at: datetime) -> Decision:
    """Grants what the rules in force at `at` grant for the event; creates the account if it is missing."""
    return judge(book, tenant, command, at).decision


def judge(book: Book, tenant: Tenant, command: ApplyRule, at: datetime) -> Judgement:
    """`apply_rule`, and how it came about."""
    account = book.accounts.get((tenant.tenant_id, command.user_id))
    if refused := disabled("earning", tenant.earn_enabled) or (account and inactive(account)):
        return Judgement(refused)
    asked = book.wanted.get(command.id) if book.wanted else None
    if asked is None:
        rules = book.rules_of(tenant).for_event(command.event_type, at)
        asked = matches(rules, Scene(tenant, account, command.metadata, at))
    skipped = [match for match in asked if match.skipped]
    _note_errors(book, tenant, skipped)
    if len(skipped) == len(asked):
        return Judgement(_nothing_matches(command.event_type, skipped), asked)
    wants = [
        Want(match.rule, match.wanted, rule_windows(tenant, command.user_id, match.rule, at))
        for match in asked
        if not match.skipped
    ]
    if refused := _too_large(book, tenant, account, command, wants, at):
        return Judgement(refused, asked)
    account, grants, entries = _grant_all(book, tenant, account, command.user_id, wants, at)
    decision: Decision
    if not entries and (held := next((grant for grant in grants if grant.refused), None)):
        decision = Refused(
            Reason.LIMIT_REACHED, f"rule {held.rule.body.name}: its limit {held.held_by} is reached"
        )
    else:
        account = account or book.open_account(tenant, command.user_id, at)
        decision = _applied(account, entries, grants, skipped)
    return Judgement(decision, asked, grants)


def _grant_all(
    book: Book, tenant: Tenant, account: Account | None, user_id: str, wants: list[Want], at: datetime
) -> tuple[Account | None, list[Grant], list[Entry]]:
    """What each rule grants, one after the other; the account is opened with the first points."""
    grants, entries = [], []
    for want in wants:
        grant = _let_through(book, tenant, account, user_id, want, at)
        grants.append(grant)
        if grant.granted:
            account = account or book.open_account(tenant, user_id, at)
            entries.append(_grant(book, tenant, account, grant, at))
    return account, grants, entries


def _too_large(
    book: Book, tenant: Tenant, account: Account | None, command: ApplyRule, wants: list[Want], at: datetime
) -> Refused | None:
    """Refuses an event whose grants together would be too large for a figure. Where what the rules want might
    be, what limits let through is tried on a copy."""
    wanted = sum(want.wanted for want in wants)
    windows = {window for want in wants for _, window in want.windows if window.is_shared}
    counted = max((book.usage_of(window).points for window in windows), default=0)
    if not too_large(account, wanted, "total_earned") and counted + wanted <= MOST_COUNTED:
        return None
    trial = book.aside(tenant.tenant_id, command.user_id, command.id)
    known = trial.accounts.get((tenant.tenant_id, command.user_id))
    _, grants, _ = _grant_all(trial, tenant, known, command.user_id, wants, at)
    refused = too_large(account, sum(grant.granted for grant in grants), "total_earned")
    if any(trial.usage_of(window).points > MOST_COUNTED for window in windows):
        told = f"the usage of a limit would be more than {MOST_COUNTED}"
        refused = Refused(Reason.FIGURE_TOO_LARGE, told)
    if refused:
        book.clamped |= windows  # it rests on where they stand
    return refused


def _note_errors(book: Book, tenant: Tenant, skipped: list[Match]) -> None:
    """Counts rules that fail, so that an operator hears of them: the event's sender can do nothing."""
    for match in skipped:
        if match.skipped == "error":
            error = RuleError(tenant.tenant_id, match.rule.id, match.rule.version, match.because or "ERROR")
            book.rule_errors[error] += 1


def _applied(account: Account, entries: list[Entry], grants: list[Grant], skipped: list[Match]) -> Applied:
    told = [grant.as_data() for grant in grants]
    told += [match.as_data() for match in skipped[:_TOLD_IN_OUTCOME]]
    data: dict[str, Any] = {
        "points_earned": sum(grant.granted for grant in grants),
        "grants": told,
        "transactions": [entry_data(entry) for entry in entries],
        "account": account_data(account),
    }
    if len(skipped) > _TOLD_IN_OUTCOME:
        data["more_skipped"] = len(skipped) - _TOLD_IN_OUTCOME
    return Applied(data)


def _nothing_matches(event_type: str, skipped: list[Match]) -> Refused:
    told = [f"{match.rule.body.name} ({match.skipped})" for match in skipped[:_TOLD_IN_MESSAGE]]
    if len(skipped) > _TOLD_IN_MESSAGE:
        told.append(f"{len(skipped) - _TOLD_IN_MESSAGE} more")
    why = f": {', '.join(told)}" if told else ""
    return Refused(Reason.NO_MATCHING_RULE, f"no enabled rule matches {event_type}{why}")


def _let_through(
    book: Book, tenant: Tenant, account: Account | None, user_id: str, want: Want, at: datetime
) -> Grant:
    """What the rule's limits let through, then the tenant's daily limit, then the maximum balance."""
    rule, wanted, windows = want
    granted, held_by = wanted, None
    for limit, window in windows:
        used = book.usage_of(window)
        rest = let_through(limit, used, wanted)
        if rest < granted:
            granted, held_by = rest, limit.label
        if rest < wanted and window.is_shared:
            book.clamped.add(window)
        elif wanted and isinstance(used, SharedUsage):
            book.let_through.add(window)
            used.keep_open(limit, wanted)
    if granted < wanted and rule.body.on_exceed == "refuse":
        return Grant(rule, wanted, 0, windows, held_by, refused=True)
    if tenant.max_earn_per_day is not None:
        earned = book.usage_of(daily_window(tenant, user_id, EARN_METER, at)).points
        rest = max(tenant.max_earn_per_day - earned, 0)
        if rest < granted:
            granted, held_by = rest, "tenant/max_earn_per_day"
    space = room(tenant, account)
    if space is not None and space < granted:
        granted, held_by = space, "tenant/max_balance"
    pending = rule.body.pending
    activates_at = tenant.days_later(at, pending.days) if pending else None
    return Grant(rule, wanted, granted, windows, held_by, activates_at=activates_at)


def _grant(book: Book, tenant: Tenant, account: Account, grant: Grant, at: datetime) -> Entry:
    """From here the grant must succeed: counts it, writes its entry and its lot."""
    rule = grant.rule
    # A window that several limits look at is counted once.
    for window in {window for _, window in grant.windows}:
        book.usage_of(window).add(grant.granted)
    for limit, window in grant.windows:
        if isinstance(used := book.usage_of(window), SharedUsage):
            used.keep_within(limit)
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

"""Dry-runs an event: reports what each rule would grant, or why it would not. Changes nothing.

It makes the real decision on a copy of the data, so it reports what applying the event now would do.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pointledger.domain.commands import ApplyRule
from pointledger.domain.commands.outcomes import Decision, Reason, Refused
from pointledger.domain.decisions.apply_rule import RuleEvaluation, evaluate_rules
from pointledger.domain.decisions.guards import advance
from pointledger.domain.ledger.book import Book
from pointledger.domain.program.awards import PerUnit, Table
from pointledger.domain.program.limits import EARN_METER, Usage, Window, daily_window, left, rule_windows
from pointledger.domain.program.matching import Match
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.tenant import Tenant
from pointledger.ids import show_id

RATE_DECIMALS = 6  # of points per unit; for display only


@dataclass(frozen=True, slots=True)
class DryRunLine:
    """The result of one rule of the event's type.

    `skipped` (and `detail`) says why it would not grant. Otherwise it would grant `wanted` points, of which
    the limit `limited_by` lets `granted` through. They are pending until `activates_at` (None: available at
    once). `left` maps the name of each of its limits to the points or times left before the event.
    """

    rule: Rule
    wanted: int = 0
    granted: int = 0
    limited_by: str | None = None
    skipped: str | None = None
    detail: str | None = None
    left: dict[str, int] | None = None
    activates_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        always: dict[str, Any] = {
            "rule_id": show_id(self.rule.id),
            "rule": self.rule.body.name,
            "rule_version": self.rule.version,
            "wanted": self.wanted,
            "granted": self.granted,
        }
        begins = self.activates_at.isoformat().replace("+00:00", "Z") if self.activates_at else None
        optional = {
            "limited_by": self.limited_by,
            "skipped": self.skipped,
            "detail": self.detail,
            "left": self.left,
            "activates_at": begins,
        }
        return always | {name: value for name, value in optional.items() if value is not None}


@dataclass(frozen=True, slots=True)
class DryRun:
    """What an event would bring if it were applied now."""

    decision: Decision
    """Applied or refused."""
    points: int = 0
    """The points that would be granted."""
    lines: tuple[DryRunLine, ...] = ()
    """Each rule of the event's type: what it would grant, or why it would not."""
    left_today: int | None = None
    """What the tenant's daily limit lets the user earn before the event. None: there is no such limit."""
    rates: dict[str, str] | None = None
    """Points per unit of each field that a granting rule counts, as a decimal."""

    def as_json(self) -> dict[str, Any]:
        """The form that every entry point gives."""
        refused = self.decision if isinstance(self.decision, Refused) else None
        return {
            "applied": refused is None,
            "reason": self.reason,
            "message": refused.message if refused else None,
            "points": self.points,
            "effective_rates": self.rates or {},
            "left_today": self.left_today,
            "rules": [line.as_json() for line in self.lines],
        }

    @property
    def reason(self) -> str | None:
        """Why the event would be refused. None: it would be applied."""
        return self.decision.reason.value if isinstance(self.decision, Refused) else None


def dry_run(book: Book, command: ApplyRule, at: datetime) -> DryRun:
    """Return what `command` would do at `at`, its effective moment.

    The book must have the command's read set: its tenant and rules, the account with its lots, and the usage
    of its windows.
    """
    tenant = book.tenants.get(command.tenant_id)
    if tenant is None:
        return DryRun(Refused(Reason.TENANT_UNKNOWN, f"there is no tenant {command.tenant_id}"))
    trial = book.trial_copy(command.tenant_id, command.user_id, command.id)
    if account := trial.accounts.get((command.tenant_id, command.user_id)):
        advance(trial, tenant, account, at)
    judgement = evaluate_rules(trial, tenant, command, at)
    points = sum(grant.granted for grant in judgement.grants)
    lines = _lines(book, tenant, command, at, judgement)
    rates = _rates(command, judgement, points)
    return DryRun(judgement.decision, points, lines, _left_today(book, tenant, command, at), rates)


def _rates(command: ApplyRule, judgement: RuleEvaluation, points: int) -> dict[str, str]:
    """Return the points per unit of each field that a granting rule counts."""
    rates = {}
    for grant in judgement.grants:
        base = grant.rule.body.award.base
        if isinstance(base, PerUnit | Table) and (units := command.metadata.get(base.field)):
            rate = round(Decimal(points) / units, RATE_DECIMALS).normalize()
            rates[base.field] = f"{rate:f}"
    return rates


def _lines(
    book: Book, tenant: Tenant, command: ApplyRule, at: datetime, judgement: RuleEvaluation
) -> tuple[DryRunLine, ...]:
    """Return a line for every rule of the event's type in the order of evaluation, also for disabled ones."""
    matches = {match.rule.id: match for match in judgement.matches}
    granted = {grant.rule.id: grant for grant in judgement.grants}
    lines = []
    for rule in book.rules_of(tenant).in_force(command.event_type, at):
        match = matches.get(rule.id) or Match(rule, skipped=None if rule.body.enabled else "disabled")
        grant = granted.get(rule.id)
        lines.append(
            DryRunLine(
                rule,
                wanted=match.wanted,
                granted=grant.granted if grant else 0,
                limited_by=grant.limited_by if grant else None,
                skipped=match.skipped,
                detail=match.detail,
                left=_left(book, tenant, command, rule, at),
                activates_at=grant.activates_at if grant and grant.granted else None,
            )
        )
    return tuple(lines)


def _left(book: Book, tenant: Tenant, command: ApplyRule, rule: Rule, at: datetime) -> dict[str, int] | None:
    windows = rule_windows(tenant, command.user_id, rule, at)
    rest = {limit.label: left(limit, book.usage.get(window) or Usage()) for limit, window in windows}
    return rest or None


def _left_today(book: Book, tenant: Tenant, command: ApplyRule, at: datetime) -> int | None:
    if tenant.max_earn_per_day is None:
        return None
    window: Window = daily_window(tenant, command.user_id, EARN_METER, at)
    used = book.usage.get(window)
    return max(tenant.max_earn_per_day - (used.points if used else 0), 0)

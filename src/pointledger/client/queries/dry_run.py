"""A dry run: which rules would grant what for an event, and why the others would not. Changes nothing.

It is the very decision, made on a copy of what it may change; so what it tells is what applying the event
at that moment would do.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pointledger.domain.commands import ApplyRule
from pointledger.domain.commands.outcomes import Decision, Reason, Refused
from pointledger.domain.decisions.apply_rule import Judgement, judge
from pointledger.domain.decisions.guards import let_time_pass
from pointledger.domain.ledger.book import Book
from pointledger.domain.program.awards import PerUnit, Table
from pointledger.domain.program.limits import EARN_METER, Usage, Window, daily_window, left, rule_windows
from pointledger.domain.program.matching import Match
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.tenant import Tenant
from pointledger.ids import show_id

RATE_DECIMALS = 6  # of points per unit; a report's figure, never computed with


@dataclass(frozen=True, slots=True)
class Line:
    """One rule of the event's type.

    `skipped` (and `because`) says why it would not grant. Otherwise `wanted` is what it would grant,
    `granted` what is let through, pending until `activates_at` (None: available at once), and `held_by` the
    limit that holds back the rest. `left` is what each of its
    limits had left before the event, by the limit's name: points or times.
    """

    rule: Rule
    wanted: int = 0
    granted: int = 0
    held_by: str | None = None
    skipped: str | None = None
    because: str | None = None
    left: dict[str, int] | None = None
    activates_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "rule_id": show_id(self.rule.id),
            "rule": self.rule.body.name,
            "rule_version": self.rule.version,
            "wanted": self.wanted,
            "granted": self.granted,
        }
        begins = self.activates_at.isoformat().replace("+00:00", "Z") if self.activates_at else None
        more = {
            "held_by": self.held_by,
            "skipped": self.skipped,
            "because": self.because,
            "left": self.left,
            "activates_at": begins,
        }
        return told | {name: value for name, value in more.items() if value is not None}


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would come of an event. `rates` has, for each field that a granting rule counts, the points in all
    per unit of it, as a decimal. `left_today` is what the tenant's daily limit lets the user earn before it;
    None: there is no such limit."""

    decision: Decision
    points: int = 0
    lines: tuple[Line, ...] = ()
    left_today: int | None = None
    rates: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """The form in which every door gives it."""
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
        """Why the event would be refused; None: it would be applied."""
        return self.decision.reason.value if isinstance(self.decision, Refused) else None


def dry_run(book: Book, command: ApplyRule, at: datetime) -> DryRun:
    """What `command` would do at `at`, its effective moment.

    The book must hold what the command needs (`needs_of`, or `storage.books.load`): its tenant and rules, the
    account with its lots, the windows' usage.
    """
    tenant = book.tenants.get(command.tenant_id)
    if tenant is None:
        return DryRun(Refused(Reason.TENANT_UNKNOWN, f"there is no tenant {command.tenant_id}"))
    trial = book.aside(command.tenant_id, command.user_id, command.id)
    if account := trial.accounts.get((command.tenant_id, command.user_id)):
        let_time_pass(trial, tenant, account, at)
    judgement = judge(trial, tenant, command, at)
    points = sum(grant.granted for grant in judgement.grants)
    lines = _lines(book, tenant, command, at, judgement)
    rates = _rates(command, judgement, points)
    return DryRun(judgement.decision, points, lines, _left_today(book, tenant, command, at), rates)


def _rates(command: ApplyRule, judgement: Judgement, points: int) -> dict[str, str]:
    """Points per unit of each field that a granting rule counts."""
    rates = {}
    for grant in judgement.grants:
        base = grant.rule.body.award.base
        if isinstance(base, PerUnit | Table) and (units := command.metadata.get(base.field)):
            rate = round(Decimal(points) / units, RATE_DECIMALS).normalize()
            rates[base.field] = f"{rate:f}"
    return rates


def _lines(
    book: Book, tenant: Tenant, command: ApplyRule, at: datetime, judgement: Judgement
) -> tuple[Line, ...]:
    """Every rule of the event's type, as they are tried; those that are switched off, too."""
    asked = {match.rule.id: match for match in judgement.matches}
    granted = {grant.rule.id: grant for grant in judgement.grants}
    lines = []
    for rule in book.rules_of(tenant).in_force(command.event_type, at):
        match = asked.get(rule.id) or Match(rule, skipped=None if rule.body.enabled else "disabled")
        grant = granted.get(rule.id)
        lines.append(
            Line(
                rule,
                wanted=match.wanted,
                granted=grant.granted if grant else 0,
                held_by=grant.held_by if grant else None,
                skipped=match.skipped,
                because=match.because,
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

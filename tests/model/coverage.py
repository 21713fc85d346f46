"""Counts what a run has covered: kinds, refusals, features of rules, fields of tenants."""

from collections import Counter
from dataclasses import dataclass, field

from tests.model.deciding import GUARDS, Outcome
from tests.model.histories import History, PutConfig, PutRule
from tests.model.programs import Rule

# In the order of precedence; the ledger returns the first that applies.
REASONS = (
    "TENANT_UNKNOWN",
    "FEATURE_DISABLED",
    "SELF_TRANSFER",
    "ACCOUNT_NOT_FOUND",
    "ACCOUNT_EXISTS",
    "ACCOUNT_SUSPENDED",
    "ACCOUNT_CLOSED",
    "ACCOUNT_ERASED",
    "OPEN_HOLDS",
    "RECIPIENT_NOT_FOUND",
    "RECIPIENT_INACTIVE",
    "WALLET_NOT_FOUND",
    "WALLET_INACTIVE",
    "CURRENCY_MISMATCH",
    "AMOUNT_INVALID",
    "RELATED_NOT_FOUND",
    "RELATED_NOT_REVERSIBLE",
    "NO_MATCHING_RULE",
    "BELOW_MINIMUM",
    "LIMIT_REACHED",
    "MAX_BALANCE",
    "INSUFFICIENT_BALANCE",
    "INSUFFICIENT_FROZEN",
    "FIGURE_TOO_LARGE",
)


@dataclass
class Coverage:
    """The counts of a run. An outcome counts for its kind or for its refusal."""

    applied: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)

    def outcome(self, kind: str, outcome: Outcome) -> None:
        if outcome.state == "applied":
            self.applied[kind] += 1
        else:
            self.refused[outcome.reason or ""] += 1
        for grant in outcome.data.get("grants", ()):
            if limited_by := grant.get("limited_by"):
                self.features[f"limited by {limited_by}"] += 1
            if skipped := grant.get("skipped"):
                self.features[f"skipped: {skipped}"] += 1

    def update(self, other: "Coverage") -> None:
        """Add the counts of another run."""
        self.applied.update(other.applied)
        self.refused.update(other.refused)
        self.features.update(other.features)

    def program(self, history: History) -> None:
        """Count the fields of tenants and rules that differ from their defaults."""
        actions = [action for each in history.rounds for action in (*each.before, *each.after)]
        configs = [
            history.config or {},
            *(action.config for action in actions if isinstance(action, PutConfig)),
        ]
        rules = [*history.rules, *(action.rule for action in actions if isinstance(action, PutRule))]
        for config in configs:
            self.features.update(f"tenant: {name}" for name in config)
        for body in rules:
            rule = Rule.read(body)
            self.features.update(f"rule: {name}" for name in {*body, *body.get("award", {})})
            self.features[f"base: {rule.base['kind']}"] += 1
            self.features[f"stacking: {rule.stacking}"] += 1
            self.features[f"rounding: {rule.rounding}"] += 1
            self.features.update(f"limit: {limit.label}" for limit in rule.limits)
            if rule.expiry:
                self.features[f"expiry: {rule.expiry.mode}, {rule.expiry.round}"] += 1
        for action in actions:
            self.features[f"action: {type(action).__name__}"] += 1

    def acceptance(self, is_reused: bool, is_repeated: bool) -> None:
        if is_reused or is_repeated:
            self.features["acceptance: reused" if is_reused else "acceptance: repeated"] += 1

    @property
    def commands(self) -> int:
        return self.applied.total() + self.refused.total()

    @property
    def missing(self) -> list[str]:
        """Kinds that were never applied, and reasons that never occurred."""
        kinds = [each for each in GUARDS if not self.applied[each]]
        return kinds + [each for each in REASONS if not self.refused[each]]

"""Defines a finding."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is. *Danger* means that work may be lost, done twice or never done."""

    FINE = "fine"
    WARNING = "warning"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what it saw, and a remedy (empty if all is fine). It contains no secret.

    `tenants` are those that `seen` names, so that people of other tenants do not get it.
    """

    check: str
    verdict: Severity
    seen: str
    remedy: str = ""
    tenants: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, str]:
        """Return the finding as `pointledger doctor --json` prints it."""
        return {"check": self.check, "verdict": self.verdict, "seen": self.seen, "remedy": self.remedy}


def fine(check: str, seen: str) -> Finding:
    """Make a finding that needs no remedy."""
    return Finding(check, Severity.FINE, seen)


def warning(check: str, seen: str, remedy: str) -> Finding:
    """Make a finding for an operator to fix soon."""
    return Finding(check, Severity.WARNING, seen, remedy)


def danger(check: str, seen: str, remedy: str) -> Finding:
    """Make a finding for an operator to fix now."""
    return Finding(check, Severity.DANGER, seen, remedy)

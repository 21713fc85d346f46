"""What a finding is."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is. Of danger something may be lost, doubled or never done."""

    FINE = "fine"
    WARNING = "warning"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was seen, and what to do (empty where all is fine). Names no secret."""

    check: str
    verdict: Verdict
    seen: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {"check": self.check, "verdict": self.verdict, "seen": self.seen, "remedy": self.remedy}


def fine(check: str, seen: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Verdict.FINE, seen)


def warning(check: str, seen: str, remedy: str) -> Finding:
    """Somebody should look at it."""
    return Finding(check, Verdict.WARNING, seen, remedy)


def danger(check: str, seen: str, remedy: str) -> Finding:
    """Somebody has to look at it now."""
    return Finding(check, Verdict.DANGER, seen, remedy)

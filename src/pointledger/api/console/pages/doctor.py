"""The doctor: what it finds about servers, settings and pending work of the whole installation."""

from typing import NamedTuple

from starlette.responses import Response

from pointledger.api.console.visit import PageRoute, Visit
from pointledger.observability.doctor import Finding, Severity, examine

_SECONDS = 30.0  # that findings are kept: an examination opens connections to every server
_NAMES_OTHERS = "It names other tenants, so the console does not show it. An operator's shell does."
_ORDER = (Severity.DANGER, Severity.WARNING, Severity.FINE)


class Line(NamedTuple):
    """A finding as a person may see it."""

    check: str
    verdict: str
    seen: str
    remedy: str


class Findings(NamedTuple):
    """What needs attention, and what is fine."""

    open: list[Line]
    fine: list[Line]
    dangers: int


def show(visit: Visit) -> Response:
    """Show the findings, dangers first. The page Today takes its part from here when it has loaded."""
    report = visit.console.shared.get(("doctor",), _SECONDS, lambda: examine(visit.console.settings))
    found = sorted(report.findings, key=lambda each: _ORDER.index(each.verdict))
    own = frozenset(visit.session.tenants)
    return visit.page("doctor.html", findings=findings_for(found, own), current="today")


def findings_for(found: list[Finding], own: frozenset[str]) -> Findings:
    """Return the findings as people of these tenants may see them."""
    lines = [
        Line(each.check, each.verdict, each.seen if each.tenants <= own else _NAMES_OTHERS, each.remedy)
        for each in found
    ]
    return Findings(
        [line for line in lines if line.verdict != Severity.FINE],
        [line for line in lines if line.verdict == Severity.FINE],
        sum(line.verdict == Severity.DANGER for line in lines),
    )


ROUTES = (PageRoute("today/doctor", "today.doctor", show),)

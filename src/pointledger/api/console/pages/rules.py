"""Rules: what earns points? The list with its grants, a rule with its versions, and two side by side."""

from itertools import pairwise
from typing import NamedTuple

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.documents import Difference, compare, essential_changes
from pointledger.api.console.editor import pretty
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.api.schemas.envelope import Problem
from pointledger.client.queries.programs import DAYS, RuleLine, SavedVersion
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.summary import award_in_words, limits_in_words
from pointledger.ids import parse_id, show_id

VERSIONS = 20  # of a page: a screen, and one more whose change is not shown
MOST_VERSION = 2**31 - 2
_BAR = 100  # the width of the longest bar


class ListedRule(NamedTuple):
    """A line of the list. `bar`: its points beside those of the rule that grants most, from 0 to 100."""

    line: RuleLine
    id: str
    award: str
    limits: str
    bar: int


class ListedVersion(NamedTuple):
    """A version with what it changed. None: the page does not have the version before."""

    saved: SavedVersion
    changed: list[Difference] | None


def show_all(visit: Visit) -> Response:
    """List the rules in the order of evaluation, with what each has granted."""
    lines = visit.queries.rules(visit.tenant.tenant_id)
    wanted = visit.query("state")
    if wanted not in ("", "active", "scheduled", "ended", "disabled"):
        raise problems.problem(400, "state: one of active, scheduled, ended, disabled.")
    most = max((line.points for line in lines), default=0)
    return visit.page(
        "rules.html",
        rules=[_listed(line, most) for line in lines if wanted in ("", line.state)],
        all=len(lines),
        granting=sum(line.times > 0 for line in lines),
        points=sum(line.points for line in lines),
        times=sum(line.times for line in lines),
        wanted=wanted,
        days=DAYS,
        current="rules",
    )


def _listed(line: RuleLine, most: int) -> ListedRule:
    body = line.rule.body
    bar = round(_BAR * line.points / most) if most else 0
    return ListedRule(
        line, show_id(line.rule.id), award_in_words(body.award), limits_in_words(body.limits), bar
    )


def show(visit: Visit) -> Response:
    """Show a rule: what it does, what it has granted, and its versions."""
    rule, rule_id = rule_of(visit), visit.path("rule_id")
    lines = visit.queries.rules(visit.tenant.tenant_id)
    line = next(line for line in lines if line.rule.id == rule.id)  # rules are never deleted
    before = number_of(visit, "before")
    found = visit.queries.rule_versions(visit.tenant.tenant_id, rule_id, before=before, limit=VERSIONS + 1)
    return visit.page(
        "rule.html",
        line=line,
        rule=rule,
        rule_id=rule_id,
        award=award_in_words(rule.body.award),
        limits=limits_in_words(rule.body.limits),
        json=pretty(rule.body.model_dump(mode="json")),
        versions=listed_versions(found),
        is_first=before is None,
        older=found[VERSIONS - 1].version if len(found) > VERSIONS else None,
        days=DAYS,
        current="rules",
    )


def versions(visit: Visit) -> Response:
    """Show two versions of a rule side by side: the latest and the one before, unless others are named."""
    rule, tenant_id, rule_id = rule_of(visit), visit.tenant.tenant_id, visit.path("rule_id")
    numbers = pair_of(visit, rule.version)
    old, new = (
        one_version(visit.queries.rule_versions(tenant_id, rule_id, before=number + 1, limit=1), number)
        for number in numbers
    )
    return visit.page(
        "versions.html",
        title=rule.body.name,
        old=old,
        new=new,
        fields=compare(old.content, new.content),
        latest=rule.version,
        page=visit.url("rules", rule_id),
        here=visit.url("rules", rule_id, "versions"),
        current="rules",
    )


def rule_of(visit: Visit) -> Rule:
    """Return the rule of the path. Raises ConsoleProblem 404."""
    try:
        return visit.console.program.rule(visit.tenant.tenant_id, parse_id(visit.path("rule_id")))
    except (Problem, ValueError):
        raise problems.not_found("There is no rule with this id.") from None


def listed_versions(found: list[SavedVersion]) -> list[ListedVersion]:
    """Return versions, the latest first, each with what it changed; one more than a page is read for that."""
    listed = [ListedVersion(new, essential_changes(old.content, new.content)) for new, old in pairwise(found)]
    if found and len(found) <= VERSIONS:
        listed.append(ListedVersion(found[-1], None))
    return listed


def number_of(visit: Visit, name: str) -> int | None:
    """Return the number of a version that the address names. Raises ConsoleProblem."""
    text = visit.query(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= MOST_VERSION):
        raise problems.problem(400, f"{name}: the number of a version, like 3.")
    return int(text)


def pair_of(visit: Visit, latest: int) -> tuple[int, int]:
    """Return the numbers of the versions to compare."""
    new = number_of(visit, "to") or latest
    return number_of(visit, "from") or max(new - 1, 1), new


def one_version(found: list[SavedVersion], number: int) -> SavedVersion:
    """Return the version with this number. Raises ConsoleProblem 404."""
    if not found or found[0].version != number:
        raise problems.not_found(f"There is no version {number}.")
    return found[0]


ROUTES = (
    PageRoute("rules", "rules", show_all),
    PageRoute("rules/{rule_id}", "rules", show),
    PageRoute("rules/{rule_id}/versions", "rules", versions),
)

"""Checks what rules cost, and names those that cost most."""

from collections import Counter
from dataclasses import replace

import sqlalchemy as sa

from pointledger.domain.program.budget import MAX_MICROSECONDS, MAX_TOGETHER_MICROSECONDS
from pointledger.domain.program.rule import RuleBody
from pointledger.observability.doctor.findings import Finding, fine, warning
from pointledger.storage.queries.rules import with_expressions

_CHECK = "dear-rules"
_MOST_RULES = 2_000  # compiling and estimating one takes half a millisecond
_SHOWN = 5
_MILLISECOND = 1_000  # microseconds


def dear_rules(connection: sa.Connection) -> Finding:
    """Check that no rule of an older version can be too dear, by estimates for the largest event."""
    rules = with_expressions(connection, _MOST_RULES)
    if not rules:
        return fine(_CHECK, "no rule has a condition or a formula")
    return replace(_found(rules), tenants=frozenset(tenant_id for tenant_id, _ in rules))


def _found(rules: list[tuple[str, RuleBody]]) -> Finding:
    unbounded = [each for each in rules if not each[1].worst_cost.is_bounded]
    if unbounded:
        return warning(
            _CHECK,
            f"{_named(unbounded)} can cost more than {MAX_MICROSECONDS // _MILLISECOND} ms or 16 MB for one "
            "event, and are skipped for such events",
            "Write their conditions so that pointledger rule put accepts them.",
        )
    together = Counter[tuple[str, str]]()
    for tenant_id, body in rules:
        together[tenant_id, body.event_type] += body.worst_cost.microseconds
    (tenant_id, event_type), cost = together.most_common(1)[0]
    if cost > MAX_TOGETHER_MICROSECONDS:
        return warning(
            _CHECK,
            f"the rules of {tenant_id} for {event_type} can cost {cost // _MILLISECOND} ms an event; after "
            f"{MAX_TOGETHER_MICROSECONDS // _MILLISECOND} ms the rest is skipped",
            "Disable rules of this event type that are no longer needed, or merge several into one.",
        )
    return fine(_CHECK, f"at most, for one event: {_named(rules)}")


def _named(rules: list[tuple[str, RuleBody]]) -> str:
    """Name the rules that cost most, the dearest first."""
    ordered = sorted(rules, key=lambda each: -each[1].worst_cost.microseconds)
    names = [
        f"{tenant_id} “{body.name}” {body.worst_cost.microseconds / _MILLISECOND:,.1f} ms"
        for tenant_id, body in ordered[:_SHOWN]
    ]
    if len(ordered) > _SHOWN:
        names.append(f"{len(ordered) - _SHOWN} more")
    return ", ".join(names)

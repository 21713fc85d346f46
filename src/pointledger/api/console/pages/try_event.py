"""Try an event: what would each rule grant for it now, and why would others not? It changes nothing."""

from json import JSONDecodeError
from typing import Any

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.reasons import advice
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.dry_run import DryRun
from pointledger.domain.commands import ApplyRule, command_from
from pointledger.domain.values.fields import MAX_ID
from pointledger.domain.values.json_values import METADATA_BYTES, read_json
from pointledger.errors import InvalidCommand
from pointledger.ids import new_id, show_id

# What each word of a rule that grants nothing means, as `matching.py` gives it.
SKIPPED = {
    "disabled": "The rule is disabled.",
    "window": "The rule is not valid at this time.",
    "cost": "The rule would cost too much for so large an event.",
    "condition": "Its condition is not met.",
    "field": "The event lacks the field that the rule counts, or the field is no integer.",
    "error": "Its expression fails for this event.",
    "stacking": "Another rule of its group grants instead.",
}
_EXAMPLE = '{\n  "amount_minor": 1250\n}'


def show(visit: Visit) -> Response:
    """Show the form, and below it what the event would bring."""
    event_type, user_id, text = (visit.query(name) for name in ("event_type", "user_id", "metadata"))
    if user_id and not visit.may("member"):
        raise problems.problem(403, "Your roles see no members, so the event is tried for a new one.")
    rules = visit.queries.rules(visit.tenant.tenant_id)
    errors: dict[str, str] = {}
    found = _tried(visit, event_type, user_id, text, errors) if event_type or text or user_id else None
    return visit.page(
        "try_event.html",
        200 if not errors else 422,
        event_type=event_type,
        event_types=sorted({line.rule.body.event_type for line in rules}),
        user_id=user_id,
        metadata=text or _EXAMPLE,
        most_id=MAX_ID,
        errors=errors,
        found=found,
        advice=advice(found.reason) if found else None,
        skipped=SKIPPED,
        show_id=show_id,
        current="rules",
    )


def _tried(visit: Visit, event_type: str, user_id: str, text: str, errors: dict[str, str]) -> DryRun | None:
    """Try the event. None if something is wrong with it, which `errors` has by field."""
    if not event_type:
        errors["event_type"] = "Event type: fill this in."
    metadata = _metadata(text, errors)
    if errors:
        return None
    fields = {
        "tenant_id": visit.tenant.tenant_id,
        # A member that no one is: limits are whole, and conditions see an empty account.
        "user_id": user_id or f"new-member-{show_id(new_id())}",
        "event_type": event_type,
        "metadata": metadata,
    }
    try:
        command = command_from(ApplyRule.kind, fields)
    except InvalidCommand as error:
        message = str(error.args[0])
        name = next((name for name in ("user_id", "event_type") if message.startswith(name)), "metadata")
        errors[name] = f"{message}."
        return None
    assert isinstance(command, ApplyRule), "the kind determines the class"
    return visit.queries.dry_run(command)


def _metadata(text: str, errors: dict[str, str]) -> dict[str, Any]:
    try:
        found = read_json(text) if text else {}
    except JSONDecodeError as error:
        errors["metadata"] = f"Metadata: line {error.lineno}, column {error.colno}: {error.msg}."
    except (ValueError, ArithmeticError):
        errors["metadata"] = f"Metadata: JSON of at most {METADATA_BYTES // 1024} KiB, with unique names."
    else:
        if isinstance(found, dict):
            return found
        errors["metadata"] = "Metadata: one object is expected, in braces."
    return {}


ROUTES = (PageRoute("rules/try", "rules", show),)

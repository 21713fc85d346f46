"""Changes rules: a new one, a new version, and the easy changes: enable, disable, schedule (`editor.py`)."""

from typing import Any

from starlette.responses import Response

from pointledger.api.console import editor, problems
from pointledger.api.console.editor import Subject
from pointledger.api.console.forms import Document
from pointledger.api.console.pages.rules import rule_of
from pointledger.api.console.rule_form import RULE_FORM
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.domain.program.rule import Rule, rule_from
from pointledger.errors import InvalidRule
from pointledger.ids import show_id

_NEW = ("rules", "new")
_BLANK = {"enabled": True, "award": {"base": {"kind": "fixed"}}}
_ABOUT_NEW = (
    "A rule turns events of one type into points. Its first version also counts for events of the past."
)
_ABOUT = "Saving makes a new version. It counts from then on: what was granted before stays as it is."


def new(visit: Visit) -> Response:
    """Show the form of a new rule."""
    return editor.edit(visit, _new(visit))


def submit_new(visit: Visit) -> Response:
    """Review a new rule, or show its form as JSON."""
    return editor.submit(visit, _new(visit))


def check_new(visit: Visit) -> Response:
    """Say what is wrong with a new rule."""
    return editor.check(visit, _new(visit))


def save_new(visit: Visit) -> Response:
    """Save a new rule."""

    def store(document: Document, reason: str, _version: int) -> str:
        rule, _ = visit.console.program.add_rule(
            visit.tenant.tenant_id, rule_from(document), visit.actor(reason)
        )
        return _address(visit, rule)

    return editor.save(visit, _new(visit), store)


def edit(visit: Visit) -> Response:
    """Show the form of a rule's next version."""
    return editor.edit(visit, _of(visit, rule_of(visit)))


def submit(visit: Visit) -> Response:
    """Review the next version, or show it as a form or as JSON."""
    return editor.submit(visit, _of(visit, rule_of(visit)))


def check(visit: Visit) -> Response:
    """Say what is wrong with the next version, and what it would change."""
    return editor.check(visit, _of(visit, rule_of(visit)))


def review(visit: Visit) -> Response:
    """Review an easy change: `enabled=yes` or `no`, or the times `from` and `until`."""
    rule = rule_of(visit)
    document: Document = rule.body.model_dump(mode="json")
    asked = visit.request.query_params
    if "enabled" in asked:
        if visit.query("enabled") not in ("yes", "no"):
            raise problems.problem(400, "enabled: yes or no.")
        document["enabled"] = visit.query("enabled") == "yes"
    if "from" in asked or "until" in asked:
        document["valid"] = _validity(visit, document["valid"] or {})
    subject = _of(visit, rule)
    try:
        checked = subject.check(document)
    except InvalidRule as error:
        raise problems.problem(
            400, f"{error.args[0]}.", visit.url("rules", show_id(rule.id)), "Back"
        ) from None
    return editor.review(visit, subject, checked)


def _validity(visit: Visit, valid: dict[str, Any]) -> dict[str, Any] | None:
    """Return the rule's validity with other bounds. An empty one is no bound."""
    for name in ("from", "until"):
        text = visit.query(name)
        valid = valid | {name: (f"{text}:00" if len(text) == len("2027-01-31T18:00") else text) or None}
    others = {name: value for name, value in valid.items() if value is not None and name != "tz"}
    return others or None


def save(visit: Visit) -> Response:
    """Save the next version."""
    rule = rule_of(visit)

    def store(document: Document, reason: str, version: int) -> str:
        saved = visit.console.program.put_rule(
            visit.tenant.tenant_id, rule.id, rule_from(document), visit.actor(reason), version
        )
        return _address(visit, saved)

    return editor.save(visit, _of(visit, rule), store)


def _address(visit: Visit, rule: Rule) -> str:
    return visit.url("rules", show_id(rule.id), saved=rule.version)


def _new(visit: Visit) -> Subject:
    return Subject(
        "New rule",
        _ABOUT_NEW,
        page=_NEW,
        back=("rules",),
        form=RULE_FORM,
        current=None,
        version=0,
        check=lambda document: _checked(visit, document),
        blank=_BLANK,
        marked="rules",
    )


def _of(visit: Visit, rule: Rule) -> Subject:
    def check(document: Document) -> Document:
        if isinstance(document.get("name"), str) and document["name"] != rule.body.name:
            raise _fault("name", f"the name of a rule cannot change: it is {rule.body.name}")
        return _checked(visit, document)

    page = ("rules", show_id(rule.id))
    return Subject(
        rule.body.name,
        _ABOUT,
        page=page,
        back=page,
        form=RULE_FORM,
        current=rule.body.model_dump(mode="json"),
        version=rule.version,
        check=check,
        marked="rules",
    )


def _checked(visit: Visit, document: Document) -> Document:
    """Check a rule as saving it would, also beside the tenant's others."""
    body = rule_from(document)
    visit.console.program.check_rule(visit.tenant.tenant_id, body)
    checked: Document = body.model_dump(mode="json")
    return checked


def _fault(path: str, message: str) -> InvalidRule:
    error = InvalidRule(f"{path}: {message}")
    error.faults = ((path, message),)
    return error


ROUTES = (
    PageRoute("rules/new", "rules.change", new),
    PageRoute("rules/new/edit", "rules.change", new),
    PageRoute("rules/new/edit", "rules.change", submit_new, method="POST"),
    PageRoute("rules/new/check", "rules.change", check_new, method="POST"),
    PageRoute("rules/new/save", "rules.change", save_new, method="POST"),
    PageRoute("rules/{rule_id}/edit", "rules.change", edit),
    PageRoute("rules/{rule_id}/edit", "rules.change", submit, method="POST"),
    PageRoute("rules/{rule_id}/check", "rules.change", check, method="POST"),
    PageRoute("rules/{rule_id}/review", "rules.change", review),
    PageRoute("rules/{rule_id}/save", "rules.change", save, method="POST"),
)

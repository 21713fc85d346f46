"""Commands for a tenant's rules: save, list, try on an event."""

from collections import Counter
from typing import Any

import sqlalchemy as sa
import typer

from pointledger.cli.arguments import File, TenantId
from pointledger.cli.input import InputUnreadable, Why, by, read_document
from pointledger.cli.output import DONE, FAILED, Json, print_fields, print_json, print_table
from pointledger.cli.session import looking_up, reading, writing
from pointledger.client.queries.dry_run import DryRun
from pointledger.domain.commands import ApplyRule, command_from
from pointledger.domain.program.awards import Award, Fixed, Formula, PerUnit, Table
from pointledger.domain.program.rule import Rule, RuleBody, rule_from
from pointledger.errors import InvalidCommand, InvalidRule
from pointledger.ids import show_id
from pointledger.storage.ledger import program

rule_app = typer.Typer(no_args_is_help=True)


@rule_app.command("put")
def put_rules(tenant_id: TenantId, file: File, reason: Why = None, json: Json = False) -> None:
    """Save a rule, or a list of rules; all or none. A name that is known gets a new version.

    Example: {"name": "one per dollar", "event_type": "basket.paid", "daily_limit": 500, "expiry_days": 365,
    "base": {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1}, "multiplier": "1.5"}
    """
    bodies = _rules(file)
    with writing() as connection:
        program.tenant(connection, tenant_id)
        saved = [program.put_rule(connection, tenant_id, body, by(reason)) for body in bodies]
    _show(saved, json)


@rule_app.command("list")
def list_rules(tenant_id: TenantId, json: Json = False) -> None:
    """List the tenant's rules, disabled ones too, in the order in which they are tried."""
    with reading() as connection:
        rules = _current(connection, tenant_id)
    _show(rules, json)


@rule_app.command("test")
def try_event(tenant_id: TenantId, file: File, json: Json = False) -> None:
    """Tell what an event would bring if it were applied now, which rules would grant what, and why the others
    would not. Nothing changes. Exit status 1 where it would be refused.

    Example: {"user_id": "anna", "event_type": "basket.paid", "metadata": {"amount_minor": 1250}}
    """
    command = _event(tenant_id, file)
    with looking_up() as lookups:
        found = lookups.dry_run(command)
    if json:
        print_json(found.as_json())
    else:
        _show_trial(found)
    raise typer.Exit(FAILED if found.reason else DONE)


def _event(tenant_id: str, file: str) -> ApplyRule:
    try:
        fields = read_document(file)
    except InputUnreadable:
        raise
    except ValueError as error:
        raise InvalidCommand(f"{file}: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidCommand(f"{file}: an event is one JSON object")
    if fields.setdefault("tenant_id", tenant_id) != tenant_id:
        raise InvalidCommand(f"tenant_id: the event is not {tenant_id}'s")
    command = command_from(ApplyRule.kind, fields)
    assert isinstance(command, ApplyRule), "that is its kind"
    return command


def _show_trial(found: DryRun) -> None:
    told = found.as_json()
    lines = told.pop("rules")
    print_fields({name: value for name, value in told.items() if value not in (None, {})})
    columns = ("rule", "rule_version", "wanted", "granted", "held_by", "skipped", "because", "left")
    print_table(columns, [[line.get(column) for column in columns] for line in lines])


def _current(connection: sa.Connection, tenant_id: str) -> list[Rule]:
    program.tenant(connection, tenant_id)
    return program.current_rules(connection, tenant_id)


def _rules(file: str) -> list[RuleBody]:
    """Raises InvalidRule, naming the rule by its place where there are several."""
    try:
        given = read_document(file, decimals=True)
    except InputUnreadable:
        raise
    except ValueError as error:
        raise InvalidRule(f"{file}: {error}") from None
    bodies = []
    for number, fields in enumerate(given if isinstance(given, list) else [given], 1):
        where = f"rule {number}: " if isinstance(given, list) else ""
        if not isinstance(fields, dict):
            raise InvalidRule(f"{where}a rule is a JSON object")
        try:
            bodies.append(rule_from(fields))
        except InvalidRule as error:
            raise InvalidRule(f"{where}{error.args[0]}") from None
    twins = [name for name, count in Counter(body.name for body in bodies).items() if count > 1]
    if twins:
        raise InvalidRule(f"name: {', '.join(twins)} is given twice")
    return bodies


def _show(rules: list[Rule], json: bool) -> None:
    if json:
        for rule in rules:
            print_json(_rule_json(rule))
        return
    columns = ("name", "version", "event type", "award", "limits", "on exceed", "priority", "enabled")
    print_table(columns, [_rule_line(rule) for rule in rules])


def _rule_json(rule: Rule) -> dict[str, Any]:
    since = rule.in_force_from.isoformat().replace("+00:00", "Z") if rule.in_force_from else None
    head = {"rule_id": show_id(rule.id), "version": rule.version, "in_force_from": since}
    return head | rule.body.model_dump(mode="json")


def _rule_line(rule: Rule) -> tuple[object, ...]:
    body = rule.body
    limits = ", ".join(f"{limit.max:,} {limit.unit} a {limit.period}" for limit in body.limits)
    return (
        body.name,
        rule.version,
        body.event_type,
        _award(body.award),
        limits or "none",
        body.on_exceed,
        body.priority,
        body.enabled,
    )


def _award(award: Award) -> str:
    match award.base:
        case Fixed(points=points):
            told = f"{points:,}"
        case PerUnit(field=field, per=per, points=points):
            told = f"{points:,} per {per:,} {field}"
        case Table(field=field, brackets=brackets):
            told = f"{min(b.points for b in brackets):,} to {max(b.points for b in brackets):,} by {field}"
        case Formula(expr=expr):
            told = expr
    return told if award.multiplier == 1 else f"{told} x {award.multiplier.normalize():f}"

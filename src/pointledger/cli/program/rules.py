"""Commands for a tenant's rules: `rule put|list|test`."""

from collections import Counter
from typing import Any

import sqlalchemy as sa
import typer

from pointledger.cli.arguments import File, TenantId
from pointledger.cli.input import ReasonOption, actor, read_valid
from pointledger.cli.output import DONE, FAILED, Json, print_fields, print_json, print_table
from pointledger.cli.session import opened_queries, reading, writing
from pointledger.client.queries.dry_run import DryRun
from pointledger.client.queries.results import iso
from pointledger.domain.commands import ApplyRule, command_from
from pointledger.domain.program.rule import Rule, RuleBody, rule_from
from pointledger.domain.program.summary import award_in_words, limits_in_words
from pointledger.errors import InvalidCommand, InvalidRule
from pointledger.ids import show_id
from pointledger.storage.ledger import program

rule_app = typer.Typer(no_args_is_help=True)


@rule_app.command("put")
def put_rules(tenant_id: TenantId, file: File, reason: ReasonOption = None, json: Json = False) -> None:
    """Save a rule or a list of rules, all or none. An existing name gets a new version.

    Example: {"name": "one per dollar", "event_type": "basket.paid", "daily_limit": 500, "expiry_days": 365,
    "base": {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1}, "multiplier": "1.5"}
    """
    bodies = _rules(file)
    with writing() as connection:
        program.tenant(connection, tenant_id)
        saved = [program.put_rule(connection, tenant_id, body, actor(reason)) for body in bodies]
    _show(saved, json)


@rule_app.command("list")
def list_rules(tenant_id: TenantId, json: Json = False) -> None:
    """List the tenant's rules in evaluation order, including disabled rules."""
    with reading() as connection:
        rules = _current(connection, tenant_id)
    _show(rules, json)


@rule_app.command("test")
def try_event(tenant_id: TenantId, file: File, json: Json = False) -> None:
    """Dry-run an event: show what each rule would grant if it were applied now, or why it would not.

    Changes nothing. Exit status 1 if the event would be refused.

    Example: {"user_id": "anna", "event_type": "basket.paid", "metadata": {"amount_minor": 1250}}
    """
    command = _event(tenant_id, file)
    with opened_queries() as queries:
        found = queries.dry_run(command)
    if json:
        print_json(found.as_json())
    else:
        _show_dry_run(found)
    raise typer.Exit(FAILED if found.reason else DONE)


def _event(tenant_id: str, file: str) -> ApplyRule:
    fields = read_valid(file, InvalidCommand)
    if not isinstance(fields, dict):
        raise InvalidCommand(f"{file}: an event must be one JSON object")
    if fields.setdefault("tenant_id", tenant_id) != tenant_id:
        raise InvalidCommand(f"tenant_id: the event belongs to a tenant other than {tenant_id}")
    command = command_from(ApplyRule.kind, fields)
    assert isinstance(command, ApplyRule), "the kind determines the class"
    return command


def _show_dry_run(found: DryRun) -> None:
    shown = found.as_json()
    lines = shown.pop("rules")
    print_fields({name: value for name, value in shown.items() if value not in (None, {})})
    columns = ("rule", "rule_version", "wanted", "granted", "limited_by", "skipped", "detail", "left")
    print_table(columns, [[line.get(column) for column in columns] for line in lines])


def _current(connection: sa.Connection, tenant_id: str) -> list[Rule]:
    program.tenant(connection, tenant_id)
    return program.current_rules(connection, tenant_id)


def _rules(file: str) -> list[RuleBody]:
    """Read the rules. Raises InvalidRule, with the rule's number in a list."""
    given = read_valid(file, InvalidRule, decimals=True)
    bodies = []
    for number, fields in enumerate(given if isinstance(given, list) else [given], 1):
        where = f"rule {number}: " if isinstance(given, list) else ""
        if not isinstance(fields, dict):
            raise InvalidRule(f"{where}a rule must be a JSON object")
        try:
            bodies.append(rule_from(fields))
        except InvalidRule as error:
            raise InvalidRule(f"{where}{error.args[0]}") from None
    duplicates = [name for name, count in Counter(body.name for body in bodies).items() if count > 1]
    if duplicates:
        raise InvalidRule(f"name: {', '.join(duplicates)} occurs more than once")
    return bodies


def _show(rules: list[Rule], json: bool) -> None:
    if json:
        for rule in rules:
            print_json(_rule_json(rule))
        return
    columns = ("name", "version", "event type", "award", "limits", "on exceed", "priority", "enabled")
    print_table(columns, [_rule_line(rule) for rule in rules])


def _rule_json(rule: Rule) -> dict[str, Any]:
    since = iso(rule.in_force_from) if rule.in_force_from else None
    head = {"rule_id": show_id(rule.id), "version": rule.version, "in_force_from": since}
    return head | rule.body.model_dump(mode="json")


def _rule_line(rule: Rule) -> tuple[object, ...]:
    body = rule.body
    return (
        body.name,
        rule.version,
        body.event_type,
        award_in_words(body.award),
        limits_in_words(body.limits) or "none",
        body.on_exceed,
        body.priority,
        body.enabled,
    )

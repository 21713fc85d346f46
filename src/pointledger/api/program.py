"""Lets administrators read and change their tenant's configuration and rules.

These are no commands: each change is one transaction, a new version and an audit record.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.api.schemas.envelope import Problem
from pointledger.client.queries.results import iso
from pointledger.domain.program.rule import Rule, RuleBody
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.actor import Actor
from pointledger.ids import show_id
from pointledger.settings import Settings
from pointledger.storage.database import read_only, transaction
from pointledger.storage.ledger import program


class ProgramAdmin:
    """The tenant's program in one database."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def config(self, tenant_id: str) -> Tenant:
        """Return the tenant's configuration. Raises TenantMissing."""
        with read_only(self._database) as connection:
            return program.tenant(connection, tenant_id)

    def put_config(self, tenant: Tenant, actor: Actor, based_on: int | None = None) -> tuple[Tenant, int]:
        """Save the configuration. Return the one in force now and its version.

        Raises TenantMissing, because only the operator creates tenants, and ProgramChanged if the latest
        version is no longer `based_on`.
        """
        with transaction(self._database, self._settings) as connection:
            program.tenant(connection, tenant.tenant_id)
            version = program.put_tenant(connection, tenant, actor, based_on)
            return program.tenant(connection, tenant.tenant_id), version

    def rules(self, tenant_id: str) -> list[Rule]:
        """Return the tenant's rules in evaluation order, including disabled rules."""
        with read_only(self._database) as connection:
            program.tenant(connection, tenant_id)
            return program.current_rules(connection, tenant_id)

    def rule(self, tenant_id: str, rule_id: UUID) -> Rule:
        """Return one rule. Raises Problem 404."""
        with read_only(self._database) as connection:
            return _rule(connection, tenant_id, rule_id)

    def add_rule(self, tenant_id: str, body: RuleBody, actor: Actor) -> tuple[Rule, bool]:
        """Save a rule. Return it, and whether it is new: an identical rule is not.

        Raises Problem 409 if another rule has this name.
        """
        with transaction(self._database, self._settings) as connection:
            program.lock_program(connection, tenant_id)
            program.tenant(connection, tenant_id)
            for known in program.current_rules(connection, tenant_id):
                if known.body.name == body.name:
                    if known.body == body:
                        return known, False
                    raise Problem(409, "name: another rule has this name")
            return program.put_rule(connection, tenant_id, body, actor), True

    def put_rule(
        self, tenant_id: str, rule_id: UUID, body: RuleBody, actor: Actor, based_on: int | None = None
    ) -> Rule:
        """Save the rule's next version.

        Raises Problem 404, Problem 409 if its name would change, and ProgramChanged if the latest version is
        no longer `based_on`.
        """
        with transaction(self._database, self._settings) as connection:
            program.lock_program(connection, tenant_id)
            if _rule(connection, tenant_id, rule_id).body.name != body.name:
                raise Problem(409, "name: the name of a rule cannot change")
            return program.put_rule(connection, tenant_id, body, actor, based_on)

    def check_rule(self, tenant_id: str, body: RuleBody) -> None:
        """Raise InvalidRule if the rule could not be saved beside the tenant's others. Changes nothing."""
        with read_only(self._database) as connection:
            program.check_together(program.current_rules(connection, tenant_id), body)

    def disable_rule(self, tenant_id: str, rule_id: UUID, actor: Actor) -> Rule:
        """Disable the rule with a new version, so that its past grants can still be explained."""
        with transaction(self._database, self._settings) as connection:
            program.lock_program(connection, tenant_id)
            body = _rule(connection, tenant_id, rule_id).body
            return program.put_rule(connection, tenant_id, body.model_copy(update={"enabled": False}), actor)


def rule_as_json(rule: Rule) -> dict[str, Any]:
    """Return a rule in its nested form, with its id and version."""
    since = iso(rule.in_force_from) if rule.in_force_from else None
    head = {"id": show_id(rule.id), "version": rule.version, "in_force_from": since}
    return head | rule.body.model_dump(mode="json")


def _rule(connection: sa.Connection, tenant_id: str, rule_id: UUID) -> Rule:
    program.tenant(connection, tenant_id)
    for rule in program.current_rules(connection, tenant_id):
        if rule.id == rule_id:
            return rule
    raise Problem(404, "no such rule")

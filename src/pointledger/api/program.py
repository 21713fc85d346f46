"""What administrators do to their tenant's programme: its configuration and its rules. No commands: each is
one transaction, and every change is a new version
and an act."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger.api.schemas.envelope import Problem
from pointledger.client.queries.results import iso
from pointledger.domain.program.rule import Rule, RuleBody
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.actor import By
from pointledger.ids import show_id
from pointledger.storage.database import looking
from pointledger.storage.ledger import program


class Programme:
    """Reads and writes one database."""

    def __init__(self, database: sa.Engine) -> None:
        self._database = database

    def config(self, tenant_id: str) -> Tenant:
        """The tenant's configuration. Raises TenantMissing."""
        with looking(self._database) as connection:
            return program.tenant(connection, tenant_id)

    def put_config(self, tenant: Tenant, by: By) -> tuple[Tenant, int]:
        """Saves it; what is in force now, and its version. Tenants are made by the operator: raises
        TenantMissing."""
        with self._database.begin() as connection:
            program.tenant(connection, tenant.tenant_id)
            version = program.put_tenant(connection, tenant, by)
            return program.tenant(connection, tenant.tenant_id), version

    def rules(self, tenant_id: str) -> list[Rule]:
        """The tenant's rules in the order in which they are tried, disabled ones too."""
        with looking(self._database) as connection:
            program.tenant(connection, tenant_id)
            return program.current_rules(connection, tenant_id)

    def rule(self, tenant_id: str, rule_id: UUID) -> Rule:
        """One rule. Raises Problem 404."""
        with looking(self._database) as connection:
            return _rule(connection, tenant_id, rule_id)

    def add_rule(self, tenant_id: str, body: RuleBody, by: By) -> tuple[Rule, bool]:
        """Saves a new rule; and whether it is new: the same one again is not. Raises Problem 409 where the
        name is another rule's."""
        with self._database.begin() as connection:
            program.one_writer(connection, tenant_id)
            program.tenant(connection, tenant_id)
            for known in program.current_rules(connection, tenant_id):
                if known.body.name == body.name:
                    if known.body == body:
                        return known, False
                    raise Problem(409, "name: there is a rule of this name")
            return program.put_rule(connection, tenant_id, body, by), True

    def put_rule(self, tenant_id: str, rule_id: UUID, body: RuleBody, by: By) -> Rule:
        """Saves the rule's next version. Raises Problem 404, and 409 where its name would change."""
        with self._database.begin() as connection:
            program.one_writer(connection, tenant_id)
            if _rule(connection, tenant_id, rule_id).body.name != body.name:
                raise Problem(409, "name: a rule keeps its name")
            return program.put_rule(connection, tenant_id, body, by)

    def switch_off(self, tenant_id: str, rule_id: UUID, by: By) -> Rule:
        """Saves a version that is not enabled: what the rule has granted keeps its explanation."""
        with self._database.begin() as connection:
            program.one_writer(connection, tenant_id)
            body = _rule(connection, tenant_id, rule_id).body
            return program.put_rule(connection, tenant_id, body.model_copy(update={"enabled": False}), by)


def shown(rule: Rule) -> dict[str, Any]:
    """A rule in its nested form, with its id and version."""
    since = iso(rule.in_force_from) if rule.in_force_from else None
    head = {"id": show_id(rule.id), "version": rule.version, "in_force_from": since}
    return head | rule.body.model_dump(mode="json")


def _rule(connection: sa.Connection, tenant_id: str, rule_id: UUID) -> Rule:
    program.tenant(connection, tenant_id)
    for rule in program.current_rules(connection, tenant_id):
        if rule.id == rule_id:
            return rule
    raise Problem(404, "there is no such rule")

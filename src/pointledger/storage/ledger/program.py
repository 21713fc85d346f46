"""Tenants and rules: each change is a new version, and versions never change.

So a version that was read once may be kept: what is asked of the database each time is which versions
there are.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.program.rule import Rule, RuleBody, Rules, rule_as_saved
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.domain.values.actor import By
from pointledger.errors import InvalidRule, InvalidTenant, TenantMissing, TenantUnreadable
from pointledger.ids import new_id
from pointledger.storage.database import rows
from pointledger.storage.ledger import audit_log
from pointledger.storage.queue import failures

_OPERATOR = By()
_KEPT_VERSIONS = 5_000  # of tenants and of rules, each; a process that meets more forgets them all

_CURRENT_TENANTS = """
SELECT DISTINCT ON (tenant_id) tenant_id, version, config
FROM tenant_versions WHERE tenant_id = ANY(%(tenants)s::text[])
ORDER BY tenant_id, version DESC"""

# Each batch draws its number here: what it decides on is locked by then, so that the numbers agree with what
# every account has seen.
_WHICH_VERSIONS = """
WITH turn AS MATERIALIZED (
    SELECT CASE WHEN %(draws)s THEN nextval('batch_numbers') END AS batch, clock_timestamp() AS moment)
SELECT turn.batch, turn.moment, known.tenant_id, known.version, known.rules
FROM turn LEFT JOIN (
    SELECT tenant_id, max(version) AS version,
           (SELECT count(*) FROM rule_versions r WHERE r.tenant_id = t.tenant_id) AS rules
    FROM tenant_versions t WHERE tenant_id = ANY(%(tenants)s::text[]) GROUP BY tenant_id) AS known ON true"""


def draw_number(connection: sa.Connection) -> int:
    """The next number in the order of application."""
    return int(rows(connection, "SELECT nextval('batch_numbers')")[0][0])


_CONFIG = "SELECT config FROM tenant_versions WHERE tenant_id = %(tenant)s AND version = %(version)s"

_BODIES = """
SELECT version, rule_id, in_force_from, body FROM rule_versions WHERE tenant_id = %(tenant)s
ORDER BY saved_at, version"""


@dataclass(frozen=True, slots=True)
class Programme:
    """What is in force: of each tenant that exists its configuration, every version of every rule, and which
    version and how many of them these are. `moment` is the database's clock, `batch` the number drawn."""

    moment: datetime
    batch: int | None
    tenants: dict[str, Tenant]
    rules: dict[str, Rules]
    versions: dict[str, tuple[int, int]]


class Programmes:
    """Reads tenants and rules of one database, and keeps the versions that it has read."""

    def __init__(self) -> None:
        self._tenants: dict[tuple[str, int], Tenant] = {}
        self._rules: dict[tuple[str, int], Rules] = {}

    def current(self, connection: sa.Connection, tenant_ids: list[str], *, draws: bool = False) -> Programme:
        """What is in force for these tenants; `draws`: for a batch, which gets its number.

        Raises TenantUnreadable.
        """
        _make_room(self._tenants)
        _make_room(self._rules)
        found = rows(connection, _WHICH_VERSIONS, tenants=tenant_ids, draws=draws)
        programme = Programme(found[0].moment, found[0].batch, {}, {}, {})
        for _, _, tenant_id, version, count in found:
            if tenant_id is None:
                continue
            programme.versions[tenant_id] = version, count
            try:
                programme.tenants[tenant_id] = self._tenant(connection, tenant_id, version)
                programme.rules[tenant_id] = self._rules_of(connection, tenant_id, count)
            except (InvalidTenant, InvalidRule):
                raise TenantUnreadable(tenant_id) from None
        return programme

    def _tenant(self, connection: sa.Connection, tenant_id: str, version: int) -> Tenant:
        if (tenant_id, version) not in self._tenants:
            config = rows(connection, _CONFIG, tenant=tenant_id, version=version)[0].config
            self._tenants[tenant_id, version] = tenant_from(config)
        return self._tenants[tenant_id, version]

    def _rules_of(self, connection: sa.Connection, tenant_id: str, count: int) -> Rules:
        """Versions are only ever added: as long as there are as many, they are the same."""
        if (tenant_id, count) not in self._rules:
            self._rules[tenant_id, count] = Rules(tuple(every_rule(connection, tenant_id)))
        return self._rules[tenant_id, count]


def every_rule(connection: sa.Connection, tenant_id: str) -> list[Rule]:
    """Every version of every rule, in the order in which they were saved. Raises InvalidRule."""
    return [_rule(*version) for version in rows(connection, _BODIES, tenant=tenant_id)]


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= _KEPT_VERSIONS:
        kept.clear()


def _rule(version: int, rule_id: UUID, in_force_from: datetime | None, body: dict[str, Any]) -> Rule:
    return Rule(rule_id, version, in_force_from, rule_as_saved(body))


def tenant(connection: sa.Connection, tenant_id: str) -> Tenant:
    """The tenant's current configuration. Raises TenantMissing."""
    found = rows(connection, _CURRENT_TENANTS, tenants=[tenant_id])
    if not found:
        raise TenantMissing(tenant_id)
    return tenant_from(found[0].config)


def all_tenants(connection: sa.Connection) -> list[tuple[Tenant, datetime]]:
    """Every tenant that can be read, with the moment when it was first put."""
    found = rows(
        connection,
        """SELECT DISTINCT ON (tenant_id) config,
                  min(saved_at) OVER (PARTITION BY tenant_id) AS first_saved_at
           FROM tenant_versions ORDER BY tenant_id, version DESC""",
    )
    readable = []
    for row in found:
        with suppress(InvalidTenant):  # a newer program's: its commands wait for newer workers
            readable.append((tenant_from(row.config), row.first_saved_at))
    return readable


def holds_followers(connection: sa.Connection, tenant_id: str) -> bool:
    """Whether a dead command of the tenant holds its user's followers back; asked without reading the rest
    of a configuration that a newer program may have written."""
    found = rows(
        connection,
        """SELECT config ->> 'dead_policy' FROM tenant_versions WHERE tenant_id = %(tenant)s
           ORDER BY version DESC LIMIT 1""",
        tenant=tenant_id,
    )
    return bool(found) and found[0][0] == "hold"


_PUT_TENANT = """
INSERT INTO tenant_versions (tenant_id, version, config)
SELECT %(tenant)s, coalesce(max(version), 0) + 1, %(config)s::json
FROM tenant_versions WHERE tenant_id = %(tenant)s
RETURNING version"""


def put_tenant(connection: sa.Connection, tenant: Tenant, by: By = _OPERATOR) -> int:
    """Saves a configuration as the tenant's next version, with the act, unless it is the current one; its
    version. Where it switches expiry on, it begins with a notice (`Tenant.following`)."""
    one_writer(connection, tenant.tenant_id)
    current = rows(connection, _CURRENT_TENANTS, tenants=[tenant.tenant_id])
    if current:
        before = tenant_from(current[0].config)
        tenant = tenant.following(before, rows(connection, "SELECT clock_timestamp()")[0][0])
        if before == tenant:
            return int(current[0].version)
    if tenant.dead_policy == "skip":
        failures.let_followers_go(connection, tenant.tenant_id)
    was, becomes = current[0].config if current else None, tenant.model_dump(mode="json")
    audit_log.record(connection, tenant.tenant_id, "tenant-put", by, before=was, after=becomes)
    config = tenant.model_dump_json()
    return int(rows(connection, _PUT_TENANT, tenant=tenant.tenant_id, config=config)[0][0])


_CURRENT_RULES = """
SELECT DISTINCT ON (name) name, version, rule_id, body, in_force_from, saved_at
FROM rule_versions WHERE tenant_id = %(tenant)s ORDER BY name, version DESC"""

_PUT_RULE = """
INSERT INTO rule_versions (tenant_id, name, version, rule_id, body, in_force_from, saved_at)
SELECT %(tenant)s, %(name)s, %(version)s, %(id)s, %(body)s::json,
       CASE WHEN %(version)s::int > 1 THEN moment END, moment
FROM clock_timestamp() AS moment"""


def put_rule(connection: sa.Connection, tenant_id: str, body: RuleBody, by: By = _OPERATOR) -> Rule:
    """Saves a rule as the next version of its name, with the act, unless it is the current one; what is
    current now."""
    one_writer(connection, tenant_id)
    current = {rule.body.name: rule for rule in current_rules(connection, tenant_id)}.get(body.name)
    if current and current.body == body:
        return current
    rows_of_new = {
        "tenant": tenant_id,
        "name": body.name,
        "version": current.version + 1 if current else 1,
        "id": current.id if current else new_id(),
        "body": orjson.dumps(body.model_dump(mode="json")).decode(),
    }
    connection.exec_driver_sql(_PUT_RULE, rows_of_new)
    before = current.body.model_dump(mode="json") if current else None
    after = body.model_dump(mode="json")
    audit_log.record(connection, tenant_id, "rule-put", by, before=before, after=after)
    return next(rule for rule in current_rules(connection, tenant_id) if rule.body.name == body.name)


def current_rules(connection: sa.Connection, tenant_id: str) -> list[Rule]:
    """The latest version of each rule, disabled ones too, by priority and name."""
    found = [
        _rule(row.version, row.rule_id, row.in_force_from, row.body)
        for row in rows(connection, _CURRENT_RULES, tenant=tenant_id)
    ]
    return sorted(found, key=lambda rule: (-rule.body.priority, rule.body.name))


def one_writer(connection: sa.Connection, tenant_id: str) -> None:
    """Two who change a tenant at once take turns, until the transaction ends."""
    rows(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant)s, 1))", tenant=tenant_id)

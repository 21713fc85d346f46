"""Loads and saves tenants and rules: each change is a new version, and versions never change.

So a process caches the versions that it has read, and only queries which versions exist. `rule_versions.py`
reads the versions of rules that a batch needs.
"""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
import sqlalchemy as sa

from pointledger.domain.commands import ApplyRule
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.decisions.decide import effective_at
from pointledger.domain.program.budget import Together, refused_together
from pointledger.domain.program.rule import Rule, RuleBody, rule_as_saved
from pointledger.domain.program.rules import Rules
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.domain.values.actor import Actor
from pointledger.errors import InvalidRule, InvalidTenant, ProgramChanged, TenantMissing, TenantUnreadable
from pointledger.ids import new_id
from pointledger.storage.database import rows
from pointledger.storage.ledger import audit_log
from pointledger.storage.ledger.rule_versions import RuleVersions, VersionId
from pointledger.storage.pipelines import send
from pointledger.storage.queue import failures

_OPERATOR = Actor()
_CACHED_VERSIONS = 5_000  # of tenants; a cache that reaches it is cleared

_CURRENT_TENANTS = """
SELECT DISTINCT ON (tenant_id) tenant_id, version, config
FROM tenant_versions WHERE tenant_id = ANY(%(tenants)s::text[])
ORDER BY tenant_id, version DESC"""

# Each batch draws its number here, after it has locked its accounts. So the numbers agree with the order of
# each account's entries.
_WHICH_VERSIONS = """
WITH turn AS MATERIALIZED (
    SELECT CASE WHEN %(draws)s THEN nextval('batch_numbers') END AS batch, clock_timestamp() AS moment)
SELECT turn.batch, turn.moment, known.tenant_id, known.version, known.rules
FROM turn LEFT JOIN (
    SELECT tenant_id, max(version) AS version,
           (SELECT count(*) FROM rule_versions r WHERE r.tenant_id = t.tenant_id) AS rules
    FROM tenant_versions t WHERE tenant_id = ANY(%(tenants)s::text[]) GROUP BY tenant_id) AS known ON true"""


VersionsSent = psycopg.Cursor[Any]  # of the query for the tenants' current versions


def send_versions(connection: sa.Connection, tenant_ids: list[str], *, draws: bool = False) -> VersionsSent:
    """Ask for the current versions of these tenants; `draws` also draws the batch's number."""
    return send(connection, _WHICH_VERSIONS, tenants=tenant_ids, draws=draws)


def draw_number(connection: sa.Connection) -> int:
    """Draw the next number in the order of application."""
    return int(rows(connection, "SELECT nextval('batch_numbers')")[0][0])


_CONFIG = "SELECT config FROM tenant_versions WHERE tenant_id = %(tenant)s AND version = %(version)s"

_BODIES = """
SELECT version, rule_id, in_force_from, body FROM rule_versions WHERE tenant_id = %(tenant)s
ORDER BY saved_at, version"""


@dataclass(frozen=True, slots=True)
class Program:
    """The tenants' current configurations, and the versions of their rules that a batch needs. Unknown
    tenants are missing."""

    moment: datetime  # the database's clock
    batch: int | None  # the number drawn, if any
    tenants: dict[str, Tenant]
    rules: dict[str, Rules]
    versions: dict[str, tuple[int, int]]  # the tenant's version and the number of rule versions
    moments: dict[int, datetime]  # when each command of the batch takes effect, by its `seq`


class Programs:
    """Reads tenants and rules of one database and caches their versions."""

    def __init__(self) -> None:
        self._tenants: dict[tuple[str, int], Tenant] = {}
        self._rules = RuleVersions()

    def current(
        self,
        connection: sa.Connection,
        sent: VersionsSent,
        batch: Iterable[Accepted],
        granted_by: Iterable[tuple[str, VersionId]] = (),
    ) -> Program:
        """Return the program of the tenants of `send_versions`, with the rules that the batch needs.

        `granted_by` has the versions, with their tenants, that granted what the batch reverses.
        Raises TenantUnreadable.
        """
        _make_room(self._tenants)
        found = sent.fetchall()
        program = Program(found[0].moment, found[0].batch, {}, {}, {}, {})
        commands = defaultdict(list)
        for accepted in batch:
            commands[accepted.command.tenant_id].append(accepted)
        others = defaultdict(list)
        for tenant_id, version_id in granted_by:
            others[tenant_id].append(version_id)
        for _, _, tenant_id, version, count in found:
            if tenant_id is None:
                continue
            program.versions[tenant_id] = version, count
            try:
                tenant = program.tenants[tenant_id] = self._tenant(connection, tenant_id, version)
                of_events = set()
                for accepted in commands[tenant_id]:
                    moment = program.moments[accepted.seq] = effective_at(tenant, accepted)
                    if isinstance(accepted.command, ApplyRule):
                        of_events.add(moment)
                if of_events or others[tenant_id]:
                    rules = self._rules.rules(connection, tenant_id, count, of_events, others[tenant_id])
                    program.rules[tenant_id] = rules
            except (InvalidTenant, InvalidRule):
                raise TenantUnreadable(tenant_id) from None
        return program

    def _tenant(self, connection: sa.Connection, tenant_id: str, version: int) -> Tenant:
        if (tenant_id, version) not in self._tenants:
            config = rows(connection, _CONFIG, tenant=tenant_id, version=version)[0].config
            self._tenants[tenant_id, version] = tenant_from(config)
        return self._tenants[tenant_id, version]


def every_rule(connection: sa.Connection, tenant_id: str) -> list[Rule]:
    """Return every version of every rule, in the order of saving. Raises InvalidRule."""
    return [_rule(*version) for version in rows(connection, _BODIES, tenant=tenant_id)]


def _make_room(cache: dict[Any, Any]) -> None:
    if len(cache) >= _CACHED_VERSIONS:
        cache.clear()


def _rule(version: int, rule_id: UUID, in_force_from: datetime | None, body: dict[str, Any]) -> Rule:
    return Rule(rule_id, version, in_force_from, rule_as_saved(body))


def tenant(connection: sa.Connection, tenant_id: str) -> Tenant:
    """Return the tenant's current configuration. Raises TenantMissing."""
    found = rows(connection, _CURRENT_TENANTS, tenants=[tenant_id])
    if not found:
        raise TenantMissing(tenant_id)
    return tenant_from(found[0].config)


def all_tenants(connection: sa.Connection) -> list[tuple[Tenant, datetime]]:
    """Return every readable tenant, with the time of its first version."""
    found = rows(
        connection,
        """SELECT DISTINCT ON (tenant_id) config,
                  min(saved_at) OVER (PARTITION BY tenant_id) AS first_saved_at
           FROM tenant_versions ORDER BY tenant_id, version DESC""",
    )
    readable = []
    for row in found:
        with suppress(InvalidTenant):  # a newer version wrote it, and its commands wait for newer workers
            readable.append((tenant_from(row.config), row.first_saved_at))
    return readable


def blocks_users(connection: sa.Connection, tenant_id: str) -> bool:
    """Whether a dead command of the tenant blocks later commands of its user.

    It reads one field only, because a newer version may have written the rest of the configuration.
    """
    found = rows(
        connection,
        """SELECT config ->> 'dead_policy' FROM tenant_versions WHERE tenant_id = %(tenant)s
           ORDER BY version DESC LIMIT 1""",
        tenant=tenant_id,
    )
    return bool(found) and found[0][0] == "block"


_PUT_TENANT = """
INSERT INTO tenant_versions (tenant_id, version, config)
SELECT %(tenant)s, coalesce(max(version), 0) + 1, %(config)s::json
FROM tenant_versions WHERE tenant_id = %(tenant)s
RETURNING version"""


def put_tenant(
    connection: sa.Connection, tenant: Tenant, actor: Actor = _OPERATOR, based_on: int | None = None
) -> int:
    """Save a configuration and its audit record, unless it is the current one; return its version.

    If it switches expiry on, a notice period begins (`Tenant.following`). Raises ProgramChanged if the
    current version is not `based_on`.
    """
    lock_program(connection, tenant.tenant_id)
    current = rows(connection, _CURRENT_TENANTS, tenants=[tenant.tenant_id])
    if current:
        before = tenant_from(current[0].config)
        tenant = tenant.following(before, rows(connection, "SELECT clock_timestamp()")[0][0])
        if before == tenant:
            return int(current[0].version)
    _check_base(based_on, int(current[0].version) if current else None)
    if tenant.dead_policy == "skip":
        failures.unblock(connection, tenant.tenant_id)
    was, becomes = current[0].config if current else None, tenant.model_dump(mode="json")
    audit_log.record(connection, tenant.tenant_id, "tenant-put", actor, before=was, after=becomes)
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


def put_rule(
    connection: sa.Connection,
    tenant_id: str,
    body: RuleBody,
    actor: Actor = _OPERATOR,
    based_on: int | None = None,
) -> Rule:
    """Save a rule and its audit record, unless it is the current one; return the current version.

    Raises InvalidRule if the enabled rules of its event type would be too many or cost too much together, and
    ProgramChanged if the current version is not `based_on`.
    """
    lock_program(connection, tenant_id)
    known = current_rules(connection, tenant_id)
    current = next((rule for rule in known if rule.body.name == body.name), None)
    if current and current.body == body:
        return current
    _check_base(based_on, current.version if current else None)
    check_together(known, body)
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
    audit_log.record(connection, tenant_id, "rule-put", actor, before=before, after=after)
    return next(rule for rule in current_rules(connection, tenant_id) if rule.body.name == body.name)


def _check_base(based_on: int | None, version: int | None) -> None:
    if based_on not in (None, version):
        raise ProgramChanged(f"the latest version is {version}, not {based_on}")


def check_together(known: list[Rule], body: RuleBody) -> None:
    """Raise InvalidRule if the rule makes the enabled rules of its event type too many or too dear."""
    if not body.enabled:
        return
    others = [rule.body for rule in known if rule.body.name != body.name]
    same = [rule.body for rule in known if rule.body.name == body.name]
    before, after = _together([*others, *same], body.event_type), _together([*others, body], body.event_type)
    if refused := refused_together(before, after, body.event_type):
        raise InvalidRule(refused)


def _together(bodies: list[RuleBody], event_type: str) -> Together:
    found = [body for body in bodies if body.enabled and body.event_type == event_type]
    cost = sum(body.worst_cost.microseconds for body in found)
    return Together(len(found), sum(len(body.limits) for body in found), cost)


def current_rules(connection: sa.Connection, tenant_id: str) -> list[Rule]:
    """Return the latest version of each rule, also disabled ones, by priority and name."""
    found = [
        _rule(row.version, row.rule_id, row.in_force_from, row.body)
        for row in rows(connection, _CURRENT_RULES, tenant=tenant_id)
    ]
    return sorted(found, key=lambda rule: (-rule.body.priority, rule.body.name))


def lock_program(connection: sa.Connection, tenant_id: str) -> None:
    """Lock the tenant's configuration and rules against other writers until the transaction ends."""
    rows(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant)s, 1))", tenant=tenant_id)

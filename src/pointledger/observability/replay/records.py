"""Builds the domain's commands from journal rows, and marks what is on trust.

That is what depends on erased data, and what would cost too much to evaluate.
"""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.commands import ApplyRule, Transfer
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.records import UnknownPayload, decode
from pointledger.domain.decisions.decide import effective_at
from pointledger.domain.program.budget import budget_for
from pointledger.domain.program.matching import Match
from pointledger.domain.program.rule import Rule
from pointledger.domain.program.rules import Rules
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.errors import InvalidRule, InvalidTenant
from pointledger.storage.ledger import program
from pointledger.storage.replay import reads
from pointledger.storage.replay.reads import RecordedCommand, StoredOutcome

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$")


class ProgramVersions:
    """All readable versions of one tenant's program. `unreadable` describes the others."""

    def __init__(self, connection: sa.Connection, tenant_id: str) -> None:
        self.unreadable: list[str] = []
        self._tenants: dict[int, Tenant] = {}
        for version, config in reads.configurations(connection, tenant_id).items():
            try:
                self._tenants[version] = tenant_from(config)
            except InvalidTenant as error:
                self.unreadable.append(f"version {version} of the tenant: {error}")
        try:
            self._rules = program.every_rule(connection, tenant_id)
        except InvalidRule as error:
            self._rules = []
            self.unreadable.append(f"rules: {error}")
        self._counted: dict[int, Rules] = {}
        self._by_version = {(rule.id, rule.version): rule for rule in self._rules}

    def tenant(self, version: int | None) -> Tenant | None:
        """Return the tenant's configuration of this version, or None."""
        return None if version is None else self._tenants.get(version)

    def rules(self, count: int | None) -> Rules:
        """Return the rules that existed when there were `count` versions. ProgramVersions are only added."""
        count = count or 0
        if count not in self._counted:
            self._counted[count] = Rules(tuple(self._rules[:count]))
        return self._counted[count]

    def rule(self, rule_id: UUID, version: int) -> Rule | None:
        """Return one version of one rule, or None."""
        return self._by_version.get((rule_id, version))


def accepted_command(tenant_id: str, recorded: RecordedCommand, names: dict[str, str]) -> Accepted:
    """Return a command as the worker got it. `names` maps user ids that are being erased to pseudonyms.

    Raises UnknownPayload, and ValueError for a command that the ledger cannot have accepted.
    """
    if recorded.kind is None:
        raise UnknownPayload("the journal has no such command")
    command = decode(
        recorded.kind,
        recorded.version,
        recorded.payload,
        command_id=recorded.id,
        tenant_id=tenant_id,
        user_id=names.get(recorded.user_id, recorded.user_id),
        actor=names.get(recorded.actor, recorded.actor),
        key=recorded.key,
        occurred_at=recorded.occurred_at,
    )
    if names and isinstance(command, Transfer) and command.to_user_id in names:
        command = command.model_copy(update={"to_user_id": names[command.to_user_id]})
    return Accepted(recorded.seq, command, recorded.accepted_at)


def parsed(text: str | bytes | None) -> Any:
    """Parse stored JSON. Timestamps are converted to UTC, because Postgres writes them in its own zone."""
    return _in_utc(orjson.loads(text)) if text else None


def _in_utc(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _in_utc(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_in_utc(part) for part in value]
    if isinstance(value, str) and _TIMESTAMP.match(value):
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    return value


def is_on_trust(recorded: RecordedCommand) -> bool:
    """Return whether an erasure has removed the event's facts, so its recorded matches are used."""
    return recorded.is_erased and recorded.kind == "apply-rule"


def may_be_too_dear(accepted: Accepted, tenant: Tenant | None, rules: Rules) -> bool:
    """Return whether the rules of an event could cost too much for some event.

    Only versions of pointledger that did not estimate costs saved such rules. Whether one of them was skipped
    depends on the version that applied the event, and its evaluation could take minutes.
    """
    command = accepted.command
    if tenant is None or not isinstance(command, ApplyRule):
        return False
    found = rules.for_event(command.event_type, effective_at(tenant, accepted))
    return budget_for([rule.body.worst_cost for rule in found]) is not None


def recorded_matches(kept: StoredOutcome, versions: ProgramVersions) -> list[Match]:
    """Return the recorded matches of an event that is taken on trust; none if it was refused."""
    grants: list[dict[str, Any]] = orjson.loads(kept.data)["grants"] if kept.data else []
    found = []
    for line in grants:
        rule = versions.rule(UUID(line["rule_id"]), line["rule_version"])
        if rule is not None:
            found.append(Match(rule, line.get("wanted", 0), line.get("skipped"), line.get("detail")))
    return found

"""Which configuration and which rules of a tenant were in force for a batch."""

from uuid import UUID

import sqlalchemy as sa
from pydantic import ValidationError

from pointledger.domain.rules import Rule, Rules
from pointledger.domain.tenants import Tenant, tenant_from
from pointledger.errors import InvalidRule, InvalidTenant
from pointledger.storage import programmes, replays


class Versions:
    """All versions of one tenant's programme, without those that cannot be read: `unreadable` names them."""

    def __init__(self, connection: sa.Connection, tenant_id: str) -> None:
        self.unreadable: list[str] = []
        self._tenants: dict[int, Tenant] = {}
        for version, config in replays.configurations(connection, tenant_id).items():
            try:
                self._tenants[version] = tenant_from(config)
            except InvalidTenant as error:
                self.unreadable.append(f"version {version} of the tenant: {error}")
        try:
            self._rules = programmes.every_rule(connection, tenant_id)
        except (InvalidRule, ValidationError) as error:
            self._rules = []
            self.unreadable.append(f"rules: {error}")
        self._counted: dict[int, Rules] = {}
        self._by_version = {(rule.id, rule.version): rule for rule in self._rules}

    def tenant(self, version: int | None) -> Tenant | None:
        """The tenant's configuration in this version; None where there was none."""
        return None if version is None else self._tenants.get(version)

    def rules(self, count: int | None) -> Rules:
        """The rules when there were so many versions of them: versions are only ever added."""
        count = count or 0
        if count not in self._counted:
            self._counted[count] = Rules(tuple(self._rules[:count]))
        return self._counted[count]

    def rule(self, rule_id: UUID, version: int) -> Rule | None:
        """One version of one rule."""
        return self._by_version.get((rule_id, version))

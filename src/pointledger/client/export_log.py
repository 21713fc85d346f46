"""Records in the audit log what people take out of the ledger as files: who, what and why."""

from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa

from pointledger.domain.values.actor import Actor
from pointledger.ids import parse_id
from pointledger.settings import Settings
from pointledger.storage.database import transaction
from pointledger.storage.ledger import audit_log
from pointledger.storage.queries import accounts

What = Literal["member", "statement", "acts"]


class ExportLog:
    """The audit records of exports from one database."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def record(
        self,
        tenant_id: str,
        actor: Actor,
        what: What,
        about: Mapping[str, str | int],
        *,
        user_id: str | None = None,
        task_id: str | None = None,
    ) -> None:
        """Record an export, and what it is `about`. Call it before the person has the file.

        The record stays when a user is erased, so it names the account, not the user. A user without an
        account is named by `task_id`, one of the user's commands.
        """
        with transaction(self._database, self._settings) as connection:
            found = accounts.account(connection, tenant_id, user_id) if user_id is not None else None
            after: dict[str, Any] = {"exported": what, **about}
            if found:
                after["account_id"] = parse_id(found["id"])
            named = parse_id(task_id) if task_id and not found else None
            audit_log.record(connection, tenant_id, "export", actor, after=after, command_id=named)

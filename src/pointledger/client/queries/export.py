"""Exports everything that the ledger knows about a user as one document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from pointledger.client.queries import late
from pointledger.client.queries.base import Queries
from pointledger.errors import AccountMissing
from pointledger.ids import parse_id

if TYPE_CHECKING:
    from pointledger.storage.queries.current import Current

_PAGE = 1000  # entries per query


class Exports(Queries):
    """Exports from one database."""

    def export_user(self, tenant_id: str, user_id: str) -> dict[str, Any]:
        """Export everything about a user: account and lots as they are now, entries, wallet, and commands
        with their outcomes. It reads the whole journal, in short pieces, so it takes its time."""
        with late.database.read_only(self._database) as connection:
            found = late.current.account(connection, late.program.tenant(connection, tenant_id), user_id)
            wallet = late.wallets.wallet(connection, tenant_id, user_id)
            wallet_entries = list(late.wallets.all_entries(connection, tenant_id, user_id))
            entries: list[dict[str, Any]] = []
            lots: list[dict[str, Any]] = []
            before: int | None = None
            while page := late.accounts.entries(connection, tenant_id, user_id, before, limit=_PAGE):
                entries += page
                lots += late.explain.lots_of(connection, tenant_id, [parse_id(entry["id"]) for entry in page])
                before = page[-1]["seq"]
        commands = self._commands_of(tenant_id, user_id)
        if found is None and wallet is None and not commands:
            raise AccountMissing(f"tenant {tenant_id}").about(tenant_id, user_id)
        return {
            "tenant_id": tenant_id,
            "user_id": user_id,
            "account": found.shown if found else None,
            "lots": _lots(lots, found),
            "entries": entries,
            "wallet": wallet,
            "wallet_entries": wallet_entries,
            "commands": commands,
        }

    def _commands_of(self, tenant_id: str, user_id: str) -> list[dict[str, Any]]:
        commands: list[dict[str, Any]] = []
        reached: UUID | None = None
        while True:
            with late.database.read_only(self._database) as connection:
                ids, reached = late.explain.commands_of(connection, tenant_id, user_id, reached)
                if ids:
                    commands += late.explain.commands_with_outcomes(connection, ids)
            if reached is None:
                return sorted(commands, key=lambda command: int(command["seq"]))


def _lots(recorded: list[dict[str, Any]], found: Current | None) -> list[dict[str, Any]]:
    lots = late.current.lots_now(recorded, found) + (late.current.lots_unrecorded(found) if found else [])
    return sorted(lots, key=lambda lot: str(lot["id"]))

"""Applies a changed expiry policy to existing lots, on request and with a notice period.

It accepts a command for each account whose lots the policy would expire at another time, and changes no
account itself. It can be interrupted and repeated, because a lot that has its new expiry needs no command. A
lot that another command moves meanwhile stays as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from pointledger.client.acceptor import Acceptance
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import ApplyExpiryPolicy, LotExpiry
from pointledger.domain.program.policy_expiry import DatedLot, policy_expiry
from pointledger.domain.program.rules import Rules
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.actor import POLICY
from pointledger.errors import InvalidCommand
from pointledger.storage.database import read_only
from pointledger.storage.ledger import expiry_changes, program
from pointledger.storage.queue import job_runs

_PAGE = 200  # accounts per query
_LOTS_AT_ONCE = 1_000  # per command


@dataclass(slots=True)
class PolicyReport:
    """The figures so far: accounts examined and changed, lots and points by direction, and the last user.

    `not_before` is the end of the notice period.
    """

    not_before: datetime
    looked_at: int = 0
    accounts: int = 0
    lots_longer: int = 0
    points_longer: int = 0
    lots_shorter: int = 0
    points_shorter: int = 0
    reached_user: str = ""

    def as_json(self) -> dict[str, Any]:
        shown = {name: getattr(self, name) for name in self.__slots__}
        return shown | {"not_before": self.not_before.isoformat().replace("+00:00", "Z")}


class PolicyChange:
    """Applies one tenant's current policies to its lots."""

    def __init__(self, database: sa.Engine, acceptance: Acceptance) -> None:
        self._database = database
        self._acceptance = acceptance

    def apply(
        self,
        tenant_id: str,
        not_before: datetime | None = None,
        *,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> Iterator[tuple[PolicyReport, Receipt | None]]:
        """Yield the growing report and the receipt of each page.

        A lot that would expire after `not_before` (default: the end of the tenant's notice period) never gets
        an earlier expiry than that. `limit`: the maximum number of changed accounts. Raise TenantMissing, and
        InvalidCommand if `not_before` is before the next midnight of the tenant.
        """
        with read_only(self._database) as connection:
            tenant, now = program.tenant(connection, tenant_id), job_runs.now(connection)
            rules = Rules(tuple(program.every_rule(connection, tenant_id)))
        not_before = not_before or tenant.notice_ends(now)
        if not_before < (earliest := tenant.notice_ends(now, days=1)):
            raise InvalidCommand(f"not_before: is before {earliest.isoformat()}, the tenant's next midnight")
        report = PolicyReport(not_before)
        while limit is None or report.accounts < limit:
            room = None if limit is None else limit - report.accounts
            commands = self._next_commands(tenant, rules, report, room)
            if commands is None:
                return
            accepted = self._acceptance.accept(commands) if commands and not dry_run else None
            yield report, accepted

    def _next_commands(
        self, tenant: Tenant, rules: Rules, report: PolicyReport, room: int | None
    ) -> list[ApplyExpiryPolicy] | None:
        """Return the commands for the next page of accounts, or None after the last page."""
        with read_only(self._database) as connection:
            users = expiry_changes.users_after(connection, tenant.tenant_id, report.reached_user, _PAGE)
            lots = expiry_changes.dated_by_policy(connection, tenant.tenant_id, report.reached_user, _PAGE)
        if not users:
            return None
        commands = []
        by_user = {user: [lot for _, lot in group] for user, group in groupby(lots, key=itemgetter(0))}
        for user_id in users:
            if room == 0:
                break
            report.looked_at += 1
            report.reached_user = user_id
            moves = _moves(tenant, rules, by_user.get(user_id, []), report)
            if not moves:
                continue
            report.accounts += 1
            room = None if room is None else room - 1
            commands += [
                _command(tenant, user_id, moves[first : first + _LOTS_AT_ONCE])
                for first in range(0, len(moves), _LOTS_AT_ONCE)
            ]
        return commands


def _moves(tenant: Tenant, rules: Rules, lots: list[DatedLot], report: PolicyReport) -> list[LotExpiry]:
    """Return the new expiry of each lot that the policy moves, and count it in the report."""
    moves = []
    for lot in lots:
        expires_at = policy_expiry(tenant, rules, lot, report.not_before)
        if expires_at == lot.expires_at:
            continue
        moves.append(LotExpiry(lot_id=lot.id, changes=lot.changes, expires_at=expires_at))
        if expires_at is None or (lot.expires_at is not None and expires_at > lot.expires_at):
            report.lots_longer += 1
            report.points_longer += lot.points
        else:
            report.lots_shorter += 1
            report.points_shorter += lot.points
    return moves


def _command(tenant: Tenant, user_id: str, moves: list[LotExpiry]) -> ApplyExpiryPolicy:
    """Return the command with a key derived from its lots, so that a repetition is a duplicate.

    Each lot has the number of its changes, so a later change of the policy gets another key.
    """
    text = "".join(move.model_dump_json() for move in moves)
    key = f"{user_id}/{blake2b(text.encode(), digest_size=16).hexdigest()}"
    return ApplyExpiryPolicy(
        tenant_id=tenant.tenant_id, user_id=user_id, actor=POLICY, idempotency_key=key, lots=tuple(moves)
    )

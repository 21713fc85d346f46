"""Runs administrators' actions on the ledger: programs, pauses, cancellations and frozen wallets."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger import AnyCommand
from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import Tenant, tenant_from
from pointledger.errors import NotWaiting
from pointledger.ids import new_id
from pointledger.storage.database import driver, rows, run
from pointledger.storage.ledger import program
from tests.ledger import Ledger
from tests.model.histories import Action, Cancel, History, Pause, PutConfig, PutRule, PutWallet, Send

REUSED = "IDEMPOTENCY_KEY_REUSED"


@dataclass(slots=True)
class Sent:
    """A command as sent, with the ids that it names; `answer` is its task id, or REUSED."""

    send: Send
    command: AnyCommand
    answer: str = ""


class DoneAction(NamedTuple):
    """An action that changed the state for commands, and when, by the database's clock.

    `saved_at` is the time that counts, because a history of years is played in seconds.
    """

    done_at: datetime
    action: PutConfig | PutRule | PutWallet
    saved_at: datetime


@dataclass(slots=True)
class Played:
    """A history that was played for a tenant with this id."""

    history: History
    tenant_id: str
    sent: dict[int, Sent] = field(default_factory=dict)
    actions: list[DoneAction] = field(default_factory=list)


def begin(ledger: Ledger, worlds: Sequence[Played]) -> None:
    """Write the first programs of all worlds in bulk. They have always been in force."""
    now: datetime = ledger.rows("SELECT clock_timestamp()")[0][0]
    tenants: list[tuple[str, str]] = []
    rules: list[tuple[str, str, UUID, str, datetime]] = []
    for world in worlds:
        config, tenant = world.history.config, world.tenant_id
        if config is None:
            continue
        tenants.append((tenant, tenant_from({"tenant_id": tenant, **config}).model_dump_json()))
        world.actions.append(DoneAction(now, PutConfig(config), now))
        for nth, rule in enumerate(world.history.rules):  # in the order of saving
            body = rule_from(dict(rule)).model_dump_json()
            rules.append((tenant, rule["name"], new_id(), body, now + timedelta(microseconds=nth)))
            world.actions.append(DoneAction(now, PutRule(rule), now))
    with ledger.database.begin() as connection, driver(connection).cursor() as cursor:
        cursor.executemany(_FIRST_TENANTS, tenants)
        cursor.executemany(_FIRST_RULES, rules)


_FIRST_TENANTS = "INSERT INTO tenant_versions (tenant_id, version, config) VALUES (%s, 1, %s)"
_FIRST_RULES = """
INSERT INTO rule_versions (tenant_id, name, version, rule_id, body, saved_at)
VALUES (%s, %s, 1, %s, %s, %s)"""


def do(ledger: Ledger, actions: Sequence[tuple[Played, Action]]) -> None:
    """Run each action of each world, in order. No worker may be running."""
    for world, action in actions:
        if isinstance(action, Cancel):
            _cancel(ledger, world, action.label)
        elif isinstance(action, Pause) and world.history.config is not None:
            (ledger.client.pause if action.on else ledger.client.resume)(world.tenant_id)
    changes = [
        (world, action) for world, action in actions if isinstance(action, PutConfig | PutRule | PutWallet)
    ]
    if not changes:
        return
    with ledger.owner.begin() as connection, _dated(connection):
        now: datetime = rows(connection, "SELECT clock_timestamp()")[0][0]
        for world, action in changes:
            moment = now if isinstance(action, PutWallet) or action.at is None else action.at
            _change(connection, world.tenant_id, action, moment)
            world.actions.append(DoneAction(now, action, moment))


def _cancel(ledger: Ledger, world: Played, label: int) -> None:
    sent = world.sent.get(label)
    if sent and sent.answer not in ("", REUSED):
        with suppress(NotWaiting):
            ledger.client.cancel(sent.answer)


@contextmanager
def _dated(connection: sa.Connection) -> Iterator[None]:
    """Allow versions to be backdated."""
    for how in ("DISABLE", "ENABLE ALWAYS"):
        for table in ("tenant_versions", "rule_versions"):
            connection.exec_driver_sql(f"ALTER TABLE {table} {how} TRIGGER {table}_rows_stay")
        if how == "DISABLE":
            yield


def _change(
    connection: sa.Connection, tenant: str, action: PutConfig | PutRule | PutWallet, moment: datetime
) -> None:
    match action:
        case PutConfig():
            _put_config(connection, tenant_from({"tenant_id": tenant, **action.config}), moment)
        case PutRule():
            rule = program.put_rule(connection, tenant, rule_from(dict(action.rule)))
            values = {"tenant": tenant, "name": rule.body.name, "version": rule.version, "moment": moment}
            run(connection, _DATE_RULE, **values)
        case PutWallet():
            run(
                connection,
                _WALLET,
                tenant=tenant,
                user=action.user,
                status=action.status,
                frozen=action.frozen,
            )


def _put_config(connection: sa.Connection, tenant: Tenant, moment: datetime) -> None:
    """Save a configuration as of a moment, from which a new zone or a notice period counts."""
    known = rows(connection, _NEWEST, tenant=tenant.tenant_id)
    version = program.put_tenant(connection, tenant)
    if known and version == known[0].version:
        return
    next_version = tenant.following(tenant_from(known[0].config) if known else None, moment)
    values = {"tenant": tenant.tenant_id, "version": version, "moment": moment}
    run(connection, _DATE_TENANT, config=next_version.model_dump_json(), **values)


_NEWEST = """
SELECT version, config FROM tenant_versions WHERE tenant_id = %(tenant)s ORDER BY version DESC LIMIT 1"""

_DATE_TENANT = """
UPDATE tenant_versions SET config = %(config)s::json, saved_at = %(moment)s
WHERE tenant_id = %(tenant)s AND version = %(version)s"""

_DATE_RULE = """
UPDATE rule_versions SET in_force_from = %(moment)s
WHERE tenant_id = %(tenant)s AND name = %(name)s AND version = %(version)s AND version > 1"""

_WALLET = """
UPDATE wallets SET status = %(status)s, frozen_balance = least(balance, %(frozen)s)
WHERE tenant_id = %(tenant)s AND user_id = %(user)s"""

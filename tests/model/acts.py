"""What administrators do, on the ledger: programs, pauses, withdrawals, wallets that are frozen."""

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
from tests.model.histories import Act, Cancel, History, Pause, PutConfig, PutRule, PutWallet, Send

REUSED = "IDEMPOTENCY_KEY_REUSED"


@dataclass(slots=True)
class Sent:
    """A command as it was sent, with the ids it named; `answer`: its task id, or REUSED."""

    send: Send
    command: AnyCommand
    answer: str = ""


class Done(NamedTuple):
    """An act that changed what commands find, and when it was done, by the database's clock. `saved_at`: when
    it counts as done; histories of years are played in seconds."""

    done_at: datetime
    act: PutConfig | PutRule | PutWallet
    saved_at: datetime


@dataclass(slots=True)
class Played:
    """A history that was played, under the tenant of this name."""

    history: History
    tenant_id: str
    sent: dict[int, Sent] = field(default_factory=dict)
    acts: list[Done] = field(default_factory=list)


def begin(ledger: Ledger, worlds: Sequence[Played]) -> None:
    """The first programs of all, written in bulk. They are in force since ever."""
    now: datetime = ledger.rows("SELECT clock_timestamp()")[0][0]
    tenants: list[tuple[str, str]] = []
    rules: list[tuple[str, str, UUID, str, datetime]] = []
    for world in worlds:
        config, tenant = world.history.config, world.tenant_id
        if config is None:
            continue
        tenants.append((tenant, tenant_from({"tenant_id": tenant, **config}).model_dump_json()))
        world.acts.append(Done(now, PutConfig(config), now))
        for nth, rule in enumerate(world.history.rules):  # in the order in which they would be saved
            body = rule_from(dict(rule)).model_dump_json()
            rules.append((tenant, rule["name"], new_id(), body, now + timedelta(microseconds=nth)))
            world.acts.append(Done(now, PutRule(rule), now))
    with ledger.database.begin() as connection, driver(connection).cursor() as cursor:
        cursor.executemany(_FIRST_TENANTS, tenants)
        cursor.executemany(_FIRST_RULES, rules)


_FIRST_TENANTS = "INSERT INTO tenant_versions (tenant_id, version, config) VALUES (%s, 1, %s)"
_FIRST_RULES = """
INSERT INTO rule_versions (tenant_id, name, version, rule_id, body, saved_at)
VALUES (%s, %s, 1, %s, %s, %s)"""


def do(ledger: Ledger, acts: Sequence[tuple[Played, Act]]) -> None:
    """Each act of each world, in their order. No worker may be at work."""
    for world, act in acts:
        if isinstance(act, Cancel):
            _cancel(ledger, world, act.label)
        elif isinstance(act, Pause) and world.history.config is not None:
            (ledger.client.pause if act.on else ledger.client.resume)(world.tenant_id)
    changes = [(world, act) for world, act in acts if isinstance(act, PutConfig | PutRule | PutWallet)]
    if not changes:
        return
    with ledger.owner.begin() as connection, _dated(connection):
        now: datetime = rows(connection, "SELECT clock_timestamp()")[0][0]
        for world, act in changes:
            moment = now if isinstance(act, PutWallet) or act.at is None else act.at
            _change(connection, world.tenant_id, act, moment)
            world.acts.append(Done(now, act, moment))


def _cancel(ledger: Ledger, world: Played, label: int) -> None:
    sent = world.sent.get(label)
    if sent and sent.answer not in ("", REUSED):
        with suppress(NotWaiting):
            ledger.client.cancel(sent.answer)


@contextmanager
def _dated(connection: sa.Connection) -> Iterator[None]:
    """Versions may be dated back meanwhile."""
    for how in ("DISABLE", "ENABLE ALWAYS"):
        for table in ("tenant_versions", "rule_versions"):
            connection.exec_driver_sql(f"ALTER TABLE {table} {how} TRIGGER {table}_rows_stay")
        if how == "DISABLE":
            yield


def _change(
    connection: sa.Connection, tenant: str, act: PutConfig | PutRule | PutWallet, moment: datetime
) -> None:
    match act:
        case PutConfig():
            _put_config(connection, tenant_from({"tenant_id": tenant, **act.config}), moment)
        case PutRule():
            rule = program.put_rule(connection, tenant, rule_from(dict(act.rule)))
            values = {"tenant": tenant, "name": rule.body.name, "version": rule.version, "moment": moment}
            run(connection, _DATE_RULE, **values)
        case PutWallet():
            run(connection, _WALLET, tenant=tenant, user=act.user, status=act.status, frozen=act.frozen)


def _put_config(connection: sa.Connection, tenant: Tenant, moment: datetime) -> None:
    """Saves it as if it were that moment. What begins with it, a zone or a notice, counts from then."""
    known = rows(connection, _NEWEST, tenant=tenant.tenant_id)
    version = program.put_tenant(connection, tenant)
    if known and version == known[0].version:
        return
    follower = tenant.following(tenant_from(known[0].config) if known else None, moment)
    values = {"tenant": tenant.tenant_id, "version": version, "moment": moment}
    run(connection, _DATE_TENANT, config=follower.model_dump_json(), **values)


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

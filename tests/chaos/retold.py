"""The journal retold: what was applied, in the order in which it was, put through the model of `tests/model`,
which was written from the specification. Every outcome, figure, entry, lot, hold, limit and wallet must be
what the model says.

The order is that of the outcomes (`batch`, `place`). Whether it fits what clients saw is for the checker to
say, and so is whether the journal has what clients sent.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from pointledger import AnyCommand, Outcome
from pointledger.domain.commands.records import decode
from pointledger.ids import show_id
from pointledger.storage.database import rows
from pointledger.storage.queries import outcomes as outcome_queries
from tests.chaos.load import RULES, TENANT, TENANT_CONFIG, changed_rule
from tests.model.actions import DoneAction
from tests.model.compare import Comparison, Difference, TenantHistory
from tests.model.histories import PutConfig, PutRule
from tests.model.recorded import read

_BEFORE = datetime.min.replace(tzinfo=UTC)  # the program was put before the first command
_PROGRAM: list[PutConfig | PutRule] = [PutConfig(TENANT_CONFIG), *map(PutRule, RULES)]
_CHANGES = """
SELECT (body #>> '{award,base,points}')::int AS points, saved_at FROM rule_versions
WHERE tenant_id = %(tenant)s AND name = %(name)s AND version > 1 ORDER BY version"""  # by a fault
_AT_ONCE = 1000  # outcomes asked for

_JOURNAL = """
SELECT kind, version, payload::text, id, tenant_id, user_id, actor, idempotency_key, occurred_at
FROM journal WHERE tenant_id = %(tenant)s"""


def retold(database: sa.Engine) -> list[Difference]:
    """The first outcome that is not what the model says and, if all are, all that differs in the end. Beat
    goes on meanwhile, so all is read as of one moment."""
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:

        def ask(sql: str, **values: Any) -> list[Any]:
            return rows(connection, sql, **values)

        recorded = read(ask, [TENANT], {})[TENANT]
        commands = {command.id: command for command in _journal(connection)}
        outcomes = dict(_outcomes(connection, list(commands)))
        changes = ask(_CHANGES, tenant=TENANT, name=RULES[0]["name"])
    acts = [DoneAction(_BEFORE, act, _BEFORE) for act in _PROGRAM]
    acts += [DoneAction(saved_at, PutRule(changed_rule(points)), saved_at) for points, saved_at in changes]
    tenant_history = TenantHistory(
        TENANT, {show_id(each): commands[each] for each in commands}, outcomes, acts
    )
    return Comparison(tenant_history, recorded).run()


def _journal(connection: sa.Connection) -> Iterator[AnyCommand]:
    for kind, version, payload, command_id, tenant, user, actor, key, occurred_at in rows(
        connection, _JOURNAL, tenant=TENANT
    ):
        yield decode(
            kind,
            version,
            payload,
            command_id=command_id,
            tenant_id=tenant,
            user_id=user,
            actor=actor,
            key=key,
            occurred_at=occurred_at,
        )


def _outcomes(connection: sa.Connection, ids: list[UUID]) -> Iterator[tuple[str, Outcome]]:
    for start in range(0, len(ids), _AT_ONCE):
        for outcome in outcome_queries.outcomes(connection, ids[start : start + _AT_ONCE]).values():
            yield outcome.task_id, outcome

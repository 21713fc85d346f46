"""Plays the commands that were applied, in their order, through the model of `tests/model`.

The model was written from the specification. Every outcome, figure, entry, lot, hold, limit and wallet must
be what it says. The order is that of the outcomes (`batch`, `place`). The checker decides whether that order
fits what clients saw, and whether the journal has what they sent.
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

_BEFORE = datetime.min.replace(tzinfo=UTC)  # the program was saved before the first command
_PROGRAM: list[PutConfig | PutRule] = [PutConfig(TENANT_CONFIG), *map(PutRule, RULES)]
_CHANGES = """
SELECT (body #>> '{award,base,points}')::int AS points, saved_at FROM rule_versions
WHERE tenant_id = %(tenant)s AND name = %(name)s AND version > 1 ORDER BY version"""  # by a fault
_AT_ONCE = 1000  # outcomes in one query

_JOURNAL = """
SELECT kind, version, payload::text, id, tenant_id, user_id, actor, idempotency_key, occurred_at
FROM journal WHERE tenant_id = %(tenant)s"""


def differences_from_model(database: sa.Engine) -> list[Difference]:
    """Return the first outcome that differs from the model; if none does, all other differences.

    The bulk tenant's users only earn. The checker compares their balances with the clients' journals, which
    takes a tenth of the time.
    """
    # Beat goes on meanwhile, so everything is read as of one moment.
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:

        def query(sql: str, **values: Any) -> list[Any]:
            return rows(connection, sql, **values)

        recorded = read(query, [TENANT], {})[TENANT]
        commands = {command.id: command for command in _journal(connection)}
        outcomes = dict(_outcomes(connection, list(commands)))
        changes = query(_CHANGES, tenant=TENANT, name=RULES[0]["name"])
    actions = [DoneAction(_BEFORE, action, _BEFORE) for action in _PROGRAM]
    actions += [DoneAction(saved_at, PutRule(changed_rule(points)), saved_at) for points, saved_at in changes]
    shown = {show_id(each): commands[each] for each in commands}
    return Comparison(TenantHistory(TENANT, shown, outcomes, actions), recorded).run()


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

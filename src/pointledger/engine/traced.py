"""Traces a batch: a span that is linked to the spans in which its commands were accepted."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import sqlalchemy as sa

from pointledger import tracing
from pointledger.domain.commands.accepted import Accepted
from pointledger.settings import Settings
from pointledger.storage.database import autocommit
from pointledger.storage.errors import DATABASE_ERRORS
from pointledger.storage.queue import journal


def applying(
    database: sa.Engine, settings: Settings, batch: list[Accepted], lanes: list[int]
) -> AbstractContextManager[Any]:
    """Return the batch's span, or nothing if no command of the batch belongs to a recorded trace.

    So those who send commands choose what is recorded, and a worker makes no span for the others. The span is
    no child of theirs: a batch has commands of many traces.
    """
    if not tracing.is_on():
        return nullcontext()
    recorded = [one for one in _carriers(database, settings, batch) if tracing.is_sampled(one)]
    if not recorded:
        return nullcontext()
    attributes = {
        "messaging.system": "pointledger",
        "messaging.operation.type": "process",
        "messaging.batch.message_count": len(batch),
        "pointledger.lanes": lanes,
    }
    return tracing.span("apply commands", "CONSUMER", attributes, links=recorded)


def _carriers(database: sa.Engine, settings: Settings, batch: list[Accepted]) -> list[dict[str, Any]]:
    """Read the carriers of the batch's commands. If that fails, the batch goes on without its span."""
    try:
        with autocommit(database, settings) as connection:
            return journal.carriers(connection, [accepted.command.id for accepted in batch])
    except DATABASE_ERRORS:
        return []

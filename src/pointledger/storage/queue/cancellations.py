"""Cancels pending commands: gives them an outcome without applying them."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import run
from pointledger.storage.queue.callbacks import MARK_DUE

_CANCEL = f"""
WITH gone AS (DELETE FROM pending p USING journal j
              WHERE p.lane = %(lane)s AND p.id = %(id)s AND j.id = p.id RETURNING j.id, j.tenant_id),
     cleared AS (DELETE FROM failures f USING gone WHERE f.id = gone.id),
     due AS ({MARK_DUE})
INSERT INTO outcomes (id, tenant_id, state, reason, message, applied_at)
SELECT id, tenant_id, 'refused', %(reason)s, %(message)s, %(moment)s FROM gone"""  # noqa: S608  (constants only)


def cancel(
    connection: sa.Connection, lane: int, command_id: UUID, moment: datetime, reason: str, message: str
) -> bool:
    """Give a pending command its outcome without applying it; return False if it is not pending.

    The caller holds the lane's row lock, so no worker is applying the command.
    """
    values = {"lane": lane, "id": command_id, "moment": moment, "reason": reason, "message": message}
    return bool(run(connection, _CANCEL, **values))

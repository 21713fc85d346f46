"""Redacts stored messages that name an erased person: dead letters, and callbacks that were sent.

Postgres cannot see a name behind escapes, base64 or compression. So this process reads the rows page by page,
and `domain/events/mentions.py` looks into them.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from pointledger.domain.events.mentions import mentions
from pointledger.storage.database import rows, run

_PAGE = 200  # messages at once: 50 MB if each has the size limit of 256 KiB

# A rejected row of a batch and an event in binary mode do not name their tenant. There the user id alone
# decides, and a match in another tenant loses only the text of an error.
_DEAD_LETTERS = """
SELECT id, raw, entry_point = 'batch-earn' OR reason = 'BINARY_MODE' AS names_no_tenant FROM dead_letters
WHERE id > %(after)s AND raw <> '' ORDER BY id LIMIT %(most)s"""

# An error's text may quote the person, so only its type stays.
_REDACT = """
UPDATE dead_letters
SET raw = '', reason = CASE reason WHEN 'DEFERRED' THEN 'CANCELLED' ELSE reason END,
    error = CASE reason WHEN 'INVALID_COMMAND' THEN error ELSE 'erased' END,
    headers = NULL, digest = NULL, deferred_until = NULL,
    state = CASE state WHEN 'deferred' THEN 'dead' ELSE state END
WHERE id = ANY (%(ids)s::bigint[])"""

_CALLBACKS = """
SELECT c.id, convert_to(c.message::text, 'UTF8') AS raw FROM callbacks c JOIN journal j ON j.id = c.command_id
WHERE c.id > %(after)s AND c.sent_at IS NOT NULL AND j.tenant_id = %(tenant)s ORDER BY c.id LIMIT %(most)s"""


def redact_messages(connection: sa.Connection, tenant_id: str, user_id: str) -> None:
    """Empty the tenant's dead letters, and delete its sent callbacks, that name the user."""
    for page in _pages(connection, _DEAD_LETTERS):
        found = [
            row.id
            for row in page
            if mentions(row.raw, user_id) and (row.names_no_tenant or mentions(row.raw, tenant_id))
        ]
        if found:
            run(connection, _REDACT, ids=found)
    for page in _pages(connection, _CALLBACKS, tenant=tenant_id):
        found = [row.id for row in page if mentions(row.raw, user_id)]
        if found:
            run(connection, "DELETE FROM callbacks WHERE id = ANY (%(ids)s::bigint[])", ids=found)


def _pages(connection: sa.Connection, statement: str, **values: Any) -> Iterator[list[Any]]:
    after = -1
    while page := rows(connection, statement, after=after, most=_PAGE, **values):
        yield page
        after = page[-1].id

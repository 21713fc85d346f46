"""Pages by number, as the HTTP API has them, and how many there are in all."""

from uuid import UUID

import sqlalchemy as sa

from pointledger.errors import AccountMissing
from pointledger.storage.database import rows


def user_of(connection: sa.Connection, tenant_id: str, account_id: UUID) -> str:
    """Whose account it is. Raises AccountMissing."""
    found = rows(
        connection,
        "SELECT user_id FROM accounts WHERE tenant_id = %(tenant)s AND id = %(id)s",
        tenant=tenant_id,
        id=account_id,
    )
    if not found:
        raise AccountMissing(f"account {account_id} of {tenant_id}")
    return str(found[0][0])


def version_of(connection: sa.Connection, tenant_id: str, user_id: str) -> int:
    """How many entries the user's account has: they are numbered without gaps. Raises AccountMissing."""
    found = rows(
        connection,
        "SELECT version FROM accounts WHERE tenant_id = %(tenant)s AND user_id = %(user)s",
        tenant=tenant_id,
        user=user_id,
    )
    if not found:
        raise AccountMissing(f"{user_id} of {tenant_id}")
    return int(found[0][0])


_OF_TYPE = """
SELECT count(*) FROM accounts a JOIN entries e ON e.tenant_id = a.tenant_id AND e.account_id = a.id
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND e.type = %(type)s"""


def entries_of_type(connection: sa.Connection, tenant_id: str, user_id: str, type: str) -> int:
    """How many entries of a type the account has; reads all of its entries."""
    return int(rows(connection, _OF_TYPE, tenant=tenant_id, user=user_id, type=type)[0][0])

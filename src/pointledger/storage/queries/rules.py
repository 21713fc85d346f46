"""Queries about the rules of all tenants."""

import orjson
import sqlalchemy as sa

from pointledger.domain.program.rule import RuleBody, rule_as_saved
from pointledger.errors import InvalidRule
from pointledger.storage.database import rows

_WITH_EXPRESSIONS = """
SELECT tenant_id, body::text FROM (
    SELECT DISTINCT ON (tenant_id, name) tenant_id, name, body
    FROM rule_versions ORDER BY tenant_id, name, version DESC) AS latest
WHERE body ->> 'enabled' = 'true'
  AND (body ->> 'when' IS NOT NULL OR body #>> '{award,base,kind}' = 'formula')
ORDER BY tenant_id, name LIMIT %(most)s"""


def with_expressions(connection: sa.Connection, most: int) -> list[tuple[str, RuleBody]]:
    """Return enabled rules with a condition or a formula, each with its tenant.

    Rules that a newer version saved are missing.
    """
    found = []
    for tenant_id, text in rows(connection, _WITH_EXPRESSIONS, most=most):
        try:
            found.append((tenant_id, rule_as_saved(orjson.loads(text))))
        except InvalidRule:
            continue
    return found

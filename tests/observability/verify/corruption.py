"""Corrupts the history's ledger past all guards."""

from typing import NamedTuple

from pointledger.storage.database import driver
from tests.ledger import Ledger


class Corruption(NamedTuple):
    """SQL, and the ids of the invariants that it violates."""

    found_by: str
    sql: str


_UNGUARD = """
DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT DISTINCT tgrelid::regclass AS relation FROM pg_trigger WHERE NOT tgisinternal LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', found.relation);
    END LOOP;
    FOR found IN SELECT conrelid::regclass AS relation, conname FROM pg_constraint
                 WHERE contype = 'c' AND connamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.relation, found.conname);
    END LOOP;
END $$"""

_GUARD = """
DO $$ DECLARE found record; BEGIN
    FOR found IN SELECT tgrelid::regclass AS relation, tgname FROM pg_trigger WHERE NOT tgisinternal LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', found.relation, found.tgname);
    END LOOP;
END $$"""


def corrupt(ledger: Ledger, sql: str) -> None:
    """Run SQL with all guards disabled. SQL about triggers runs after they are enabled again."""
    about_triggers = "TRIGGER" in sql
    with ledger.owner.begin() as connection:
        for statement in (_UNGUARD, _GUARD, sql) if about_triggers else (_UNGUARD, sql, _GUARD):
            driver(connection).execute(statement.encode())

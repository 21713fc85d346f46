"""database.md: every table, its columns and constraints, and what the role of programs may do with it.

Read from a database that `pointledger migrate` has made.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from docs.generate.markdown import anchor, code, codes, heading, item, items, link, page
from docs.generate.prose_files import prose, sections
from pointledger.embedded import EmbeddedServers
from pointledger.storage.migrate import migrate
from pointledger.storage.roles import APP

_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid), a.attidentity <> ''
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
ORDER BY c.relname, a.attnum"""

# Of a column that is not null Postgres 18 has a constraint, too: the column says it already.
_CONSTRAINTS = """
SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.connamespace = current_schema()::regnamespace AND k.contype <> 'n'
ORDER BY c.relname, position(k.contype IN 'pufcx'), k.conname"""

_INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes i
WHERE schemaname = current_schema() AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conname = i.indexname)
ORDER BY tablename, indexname"""

_PRIVILEGES = """
SELECT c.relname, upper(p.privilege_type)
FROM pg_class c, aclexplode(c.relacl) p JOIN pg_roles r ON r.oid = p.grantee
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND r.rolname = %s
ORDER BY c.relname, position(p.privilege_type IN 'SELECT INSERT UPDATE DELETE')"""

_GUARDED = """
SELECT DISTINCT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
  AND t.tgname = c.relname || '_rows_stay'"""

Rows = dict[str, list[Any]]


def made_database_page() -> str:
    """The page, of a database that is made for it."""
    with TemporaryDirectory() as home, EmbeddedServers(Path(home), durable=False) as servers:
        migrate(servers.database_url)
        return database_page(servers.database_url)


def database_page(url: str) -> str:
    """The page, of the database of this URL, which is migrated and may have nothing else in it."""
    with psycopg.connect(url) as connection:
        columns, constraints, indexes = (
            _by_table(connection, query) for query in (_COLUMNS, _CONSTRAINTS, _INDEXES)
        )
        privileges = _by_table(connection, _PRIVILEGES, APP)
        append_only = set(_by_table(connection, _GUARDED))
    meanings = sections("tables.md", columns, all_of_them=True)
    return page(
        "Database",
        prose("database.md", app=APP),
        items(f"{link(code(name), '#' + anchor(name))}: {_first(text)}" for name, text in meanings.items()),
        *(
            part
            for name, text in meanings.items()
            for part in (
                heading(2, name),
                text,
                _allowed(privileges[name], is_append_only=name in append_only),
                items(_column(*row) for row in columns[name]),
                *_definitions("Constraints", constraints[name]),
                *_definitions("Indexes", ((index, _short(text)) for index, text in indexes[name])),
            )
        ),
    )


def _by_table(connection: psycopg.Connection, query: str, *values: str) -> Rows:
    """The rows without their first column, by it."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for table, *row in connection.execute(query, values or None):
        found[table].append(row)
    return found


def _allowed(privileges: list[list[str]], *, is_append_only: bool) -> str:
    told = f"Programs may {codes(privilege for (privilege,) in privileges)}."
    return f"{told} Append only: a trigger refuses every change and deletion." if is_append_only else told


def _column(name: str, type_: str, is_required: bool, default: str | None, is_identity: bool) -> str:
    facts = [code(type_), "not null" if is_required else "null"]
    if is_identity:
        facts.append("counted by Postgres")
    if default is not None:
        facts.append(f"default {code(default)}")
    return f"**{code(name)}**: {', '.join(facts)}"


def _definitions(title: str, rows: Any) -> Iterator[str]:
    found = [item(f"{code(name)}: {code(text)}") for name, text in rows]
    if found:
        yield f"{title}:"
        yield "\n".join(found)


def _short(index: str) -> str:
    """An index without its name and table, which stand beside it."""
    unique = "UNIQUE " if index.startswith("CREATE UNIQUE") else ""
    return unique + index.partition(" USING btree ")[2]


def _first(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."

"""Erases a user: renames the account with the decision, and searches for other rows that name the person.

An erased account has its pseudonym as user id. Only a command that finds no account by the user's id searches
by the pseudonym, so other commands pay nothing for it.
"""

from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted, users_of
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.errors import ErasureKeyDiffers, ErasureKeyMissing
from pointledger.storage.database import rows, run
from pointledger.storage.ledger.accounts import ACCOUNT
from pointledger.storage.ledger.erased_messages import redact_messages

_SEARCHED_AT_ONCE = 20_000  # commands of the journal in one statement: a tenth of a second
_BEFORE_ANY = UUID(int=0)


class Person(NamedTuple):
    """An erased user and the pseudonym."""

    tenant_id: str
    user_id: str
    pseudonym: str


def require_key(connection: sa.Connection, pseudonyms: Pseudonyms) -> None:
    """Raise ErasureKeyMissing or ErasureKeyDiffers if a user was erased with another key.

    With the wrong key, erased users would become new users.
    """
    found = rows(connection, "SELECT key_check FROM erasures ORDER BY erased_at DESC LIMIT 1")
    if found and bytes(found[0][0]) != pseudonyms.check():
        raise ErasureKeyDiffers


# ---------------------------------------------------------------------------------------- in a batch

_ERASED = f"""
SELECT wanted.user_id, {", ".join(f"a.{name}" for name in ACCOUNT)}
FROM unnest(%(tenants)b::text[], %(users)b::text[], %(pseudonyms)b::text[])
     AS wanted (tenant_id, user_id, pseudonym)
JOIN accounts a ON a.tenant_id = wanted.tenant_id COLLATE "C" AND a.user_id = wanted.pseudonym COLLATE "C"
WHERE a.status = 'erased'"""  # noqa: S608  (constants only)


def load_erased(connection: sa.Connection, book: Book, batch: list[Accepted], pseudonyms: Pseudonyms) -> None:
    """Put the accounts of erased users into the book, under the ids by which commands still name them.

    It locks none, because nothing changes them anymore. It runs no query if every user has an account,
    because an erased user has none. Raises ErasureKeyMissing if there is no key but a user was erased.
    """
    book.pseudonyms = pseudonyms
    missing = sorted(users_of(batch) - book.accounts.keys())
    if not missing:
        return
    if pseudonyms.key is None:
        if rows(connection, "SELECT EXISTS (SELECT FROM erasures)")[0][0]:
            raise ErasureKeyMissing(missing)
        return
    found = rows(
        connection,
        _ERASED,
        tenants=[tenant_id for tenant_id, _ in missing],
        users=[user_id for _, user_id in missing],
        pseudonyms=[pseudonyms.of(*user) for user in missing],
    )
    for user_id, *row in found:
        account = Account(**dict(zip(ACCOUNT, row, strict=True)))
        account.pseudonym, account.user_id = account.user_id, user_id
        book.accounts[account.tenant_id, user_id] = account


_NOTE = """
INSERT INTO erasures AS known (tenant_id, pseudonym, command_id, key_check, erased_at)
VALUES (%(tenant)s, %(pseudonym)s, %(command)s, %(check)s, %(moment)s)
ON CONFLICT (tenant_id, pseudonym) DO UPDATE
SET command_id = excluded.command_id, reached = NULL, finished_at = NULL"""

_RENAME = """
WITH named AS (UPDATE accounts SET user_id = %(pseudonym)s
               WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND status = 'erased'),
     owner AS (UPDATE wallets SET user_id = %(pseudonym)s
               WHERE tenant_id = %(tenant)s AND user_id = %(user)s)
UPDATE usage SET user_id = %(pseudonym)s WHERE tenant_id = %(tenant)s AND user_id = %(user)s"""


def save_erased(connection: sa.Connection, book: Book, batch: list[Accepted]) -> None:
    """Rename erased users and redact the batch's commands that name them; call it after all other saves.

    The command that requested the erasure keeps the name, because the search needs it.
    """
    if not any(account.status == "erased" for account in book.accounts.values()):
        return
    named: dict[Person, list[UUID]] = {}
    for accepted in batch:
        for user_id in accepted.command.users:
            account = book.accounts.get((accepted.command.tenant_id, user_id))
            if account and account.status == "erased":
                person = Person(account.tenant_id, user_id, account.pseudonym or user_id)
                named.setdefault(person, []).append(accepted.command.id)
    for person, command_ids in named.items():
        erasing = book.erasures.get((person.tenant_id, person.user_id))
        if erasing:
            _note(connection, book, person, erasing)
        _redact(connection, person, command_ids, but=erasing)


def _note(connection: sa.Connection, book: Book, person: Person, command_id: UUID) -> None:
    run(
        connection,
        _NOTE,
        tenant=person.tenant_id,
        pseudonym=person.pseudonym,
        command=command_id,
        check=book.pseudonyms.check(),
        moment=book.recorded_at,
    )
    run(connection, _RENAME, tenant=person.tenant_id, user=person.user_id, pseudonym=person.pseudonym)


_BEGIN = """
WITH begun AS (SELECT set_config('pointledger.person', %(user)s, true),
                      set_config('pointledger.pseudonym', %(pseudonym)s, true))
UPDATE erasures SET commands = commands + %(count)s FROM begun
WHERE tenant_id = %(tenant)s AND pseudonym = %(pseudonym)s"""

_END = """
SELECT set_config('pointledger.person', '', true), set_config('pointledger.pseudonym', '', true)"""


def _redact(
    connection: sa.Connection, person: Person, command_ids: list[UUID], but: UUID | None = None
) -> None:
    """Redact the person in these commands and their outcomes; the triggers decide what is left.

    For `but` it redacts only the outcome, because the search still needs the command.
    """
    if not command_ids:
        return
    values = {"tenant": person.tenant_id, "user": person.user_id, "pseudonym": person.pseudonym}
    run(connection, _BEGIN, count=len(command_ids), **values)
    rows(connection, "SELECT redact_commands(%(ids)s::uuid[], %(but)s)", ids=command_ids, but=but)
    rows(connection, _END)


# ----------------------------------------------------------------------------------------- the search

_UNFINISHED = """
SELECT e.tenant_id, j.user_id, e.pseudonym, e.command_id, e.reached
FROM erasures e JOIN journal j ON j.id = e.command_id
WHERE e.finished_at IS NULL ORDER BY e.erased_at LIMIT 1 FOR UPDATE OF e SKIP LOCKED"""

_SEARCH = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, user_id, payload FROM journal
    WHERE id > %(after)s ORDER BY id LIMIT %(most)s)
SELECT (SELECT id FROM piece ORDER BY id DESC LIMIT 1) AS reached,
       ARRAY(SELECT id FROM piece
             WHERE tenant_id = %(tenant)s AND id <> %(command)s
               AND %(user)s IN (user_id, payload ->> 'to_user_id') ORDER BY id) AS ids"""


def search_next(connection: sa.Connection) -> bool | None:
    """Redact the person of the oldest unfinished erasure in the next piece of the journal.

    Return whether it was the last piece, or None if there is no unfinished erasure that another process does
    not hold. It reads the whole journal, because an index by user would cost every acceptance. If a new
    command names the person, the batch that refuses it redacts it.
    """
    found = rows(connection, _UNFINISHED)
    if not found:
        return None
    person = Person(*found[0][:3])
    command_id, reached = found[0][3:]
    piece = rows(
        connection,
        _SEARCH,
        tenant=person.tenant_id,
        user=person.user_id,
        command=command_id,
        after=reached or _BEFORE_ANY,
        most=_SEARCHED_AT_ONCE,
    )[0]
    _redact(connection, person, piece.ids)
    if piece.reached is None:
        _finish(connection, person, command_id)
        return True
    run(
        connection,
        "UPDATE erasures SET reached = %(to)s WHERE tenant_id = %(tenant)s AND pseudonym = %(pseudonym)s",
        to=piece.reached,
        tenant=person.tenant_id,
        pseudonym=person.pseudonym,
    )
    return False


# An error's text may quote the person, so only its type stays. Callbacks are about the person, too, if the
# command is; `redact_messages` finds those that name the person elsewhere.
_ELSEWHERE = (
    """UPDATE failures SET user_id = %(pseudonym)s, error = split_part(error, ':', 1)
       WHERE tenant_id = %(tenant)s AND user_id = %(user)s""",
    """DELETE FROM callbacks c USING journal j
       WHERE c.sent_at IS NOT NULL AND j.id = c.command_id AND j.tenant_id = %(tenant)s
         AND j.user_id = %(pseudonym)s""",
    """UPDATE job_runs SET reached_user = ''
       WHERE tenant_id = %(tenant)s AND reached_user = %(user)s AND finished_at IS NOT NULL""",
)

_FINISH = """
UPDATE erasures SET finished_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND pseudonym = %(pseudonym)s"""


def _finish(connection: sa.Connection, person: Person, command_id: UUID) -> None:
    """Redact the other tables, and at last the command that requested the erasure."""
    values = {"tenant": person.tenant_id, "user": person.user_id, "pseudonym": person.pseudonym}
    for statement in _ELSEWHERE:
        run(connection, statement, **values)
    redact_messages(connection, person.tenant_id, person.user_id)
    _redact(connection, person, [command_id])
    run(connection, _FINISH, tenant=person.tenant_id, pseudonym=person.pseudonym)

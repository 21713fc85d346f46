"""Erasing a user: what is renamed with the decision, and the search for what else names the person.

An erased account bears its pseudonym. A command that names the person finds no account by that id, and only
then looks for one by the pseudonym: who was never erased pays nothing for it.
"""

from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.ledger.account import Account
from pointledger.domain.ledger.book import Book
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.errors import ErasureKeyDiffers, ErasureKeyMissing
from pointledger.storage.database import rows, run
from pointledger.storage.ledger.book import ACCOUNT

_SEARCHED_AT_ONCE = 20_000  # commands of the journal in one statement: a tenth of a second
_BEFORE_ANY = UUID(int=0)


class Person(NamedTuple):
    """Who is erased, and what stands in the person's place."""

    tenant_id: str
    user_id: str
    pseudonym: str


def require_key(connection: sa.Connection, pseudonyms: Pseudonyms) -> None:
    """Raises ErasureKeyMissing or ErasureKeyDiffers where somebody was erased with a key that is not ours:
    with it, the erased would be taken for new users."""
    found = rows(connection, "SELECT key_check FROM erasures ORDER BY erased_at DESC LIMIT 1")
    if found and bytes(found[0][0]) != pseudonyms.check():
        raise ErasureKeyDiffers


# ---------------------------------------------------------------------------------------- in a batch

_ERASED = f"""
SELECT wanted.user_id, {", ".join(f"a.{name}" for name in ACCOUNT)}
FROM unnest(%(tenants)b::text[], %(users)b::text[], %(pseudonyms)b::text[])
     AS wanted (tenant_id, user_id, pseudonym)
JOIN accounts a ON a.tenant_id = wanted.tenant_id COLLATE "C" AND a.user_id = wanted.pseudonym COLLATE "C"
WHERE a.status = 'erased'"""  # noqa: S608  (column names of ours)


def load_erased(connection: sa.Connection, book: Book, batch: list[Accepted], pseudonyms: Pseudonyms) -> None:
    """Puts the accounts of erased users into the book, under the ids by which commands still name them; not
    locked, for nothing changes them any more. Raises ErasureKeyMissing where somebody was erased.

    Only who has no account can be one of them, so a batch of users who have one asks nothing.
    """
    book.pseudonyms = pseudonyms
    named = {(a.command.tenant_id, user_id) for a in batch for user_id in a.command.users}
    missing = sorted(named - book.accounts.keys())
    if not missing:
        return
    if pseudonyms.key is None:
        if rows(connection, "SELECT EXISTS (SELECT FROM erasures)")[0][0]:
            raise ErasureKeyMissing
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
    """After everything else is saved: renames who was erased, and strips the batch's commands of the person;
    all but the one that asked for it, by which the search knows whom to look for."""
    if not any(account.status == "erased" for account in book.accounts.values()):
        return
    touched: dict[Person, list[UUID]] = {}
    for accepted in batch:
        for user_id in accepted.command.users:
            account = book.accounts.get((accepted.command.tenant_id, user_id))
            if account and account.status == "erased":
                person = Person(account.tenant_id, user_id, account.pseudonym or user_id)
                touched.setdefault(person, []).append(accepted.command.id)
    for person, command_ids in touched.items():
        erasing = book.erasures.get((person.tenant_id, person.user_id))
        if erasing:
            _note(connection, book, person, erasing)
        _strip(connection, person, command_ids, but=erasing)


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
WITH said AS (SELECT set_config('pointledger.person', %(user)s, true),
                     set_config('pointledger.pseudonym', %(pseudonym)s, true))
UPDATE erasures SET commands = commands + %(count)s FROM said
WHERE tenant_id = %(tenant)s AND pseudonym = %(pseudonym)s"""

_END = """
SELECT set_config('pointledger.person', '', true), set_config('pointledger.pseudonym', '', true)"""


def _strip(
    connection: sa.Connection, person: Person, command_ids: list[UUID], but: UUID | None = None
) -> None:
    """Takes the person out of these commands and their outcomes: what is left, the triggers decide. Of `but`
    only the outcome, for it is not done yet."""
    if not command_ids:
        return
    values = {"tenant": person.tenant_id, "user": person.user_id, "pseudonym": person.pseudonym}
    run(connection, _BEGIN, count=len(command_ids), **values)
    rows(connection, "SELECT strip_commands(%(ids)s::uuid[], %(but)s)", ids=command_ids, but=but)
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


def search_on(connection: sa.Connection) -> bool | None:
    """Takes the person of the oldest unfinished erasure out of the next piece of the journal; whether that
    was the last. None: there is none, or others are at it.

    The journal has no index by user, which each acceptance would pay for: so it is read as a whole. What
    comes meanwhile is stripped by the batch that refuses it.
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
    _strip(connection, person, piece.ids)
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


# A letter names the person as JSON does; inside a text that holds JSON, as an event's `data` may be; or, not
# to be seen, in an event's `data_base64`. Only what is base64 to the end is decoded, because Postgres raises
# an error for anything else.
_NAMES_THE_PERSON = r"""(
    position(convert_to('"' || %(user)s || '"', 'UTF8') IN raw) > 0
    OR position(convert_to('"' || %(user)s || '\"', 'UTF8') IN raw) > 0
    OR EXISTS (
        SELECT FROM regexp_matches(
            replace(encode(raw, 'escape'), '\\/', '/'),  -- some writers put a backslash before each /
            '"data_base64"\s*:\s*"((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)"', 'g'
        ) AS found
        WHERE position(convert_to('"' || %(user)s || '"', 'UTF8') IN decode(found[1], 'base64')) > 0))"""

# An error's text may quote the person; what kind of error it was stays. A row of a batch that was no earn
# does not tell its tenant, nor does an event in binary mode: there the name alone decides, and what is lost
# is a text about a mistake.
_ELSEWHERE = (
    """UPDATE failures SET user_id = %(pseudonym)s, error = split_part(error, ':', 1)
       WHERE tenant_id = %(tenant)s AND user_id = %(user)s""",
    f"""UPDATE dead_letters
       SET raw = '', reason = CASE reason WHEN 'DEFERRED' THEN 'CANCELLED' ELSE reason END,
           error = CASE reason WHEN 'INVALID_COMMAND' THEN error ELSE 'erased' END,
           headers = NULL, digest = NULL, held_until = NULL,
           state = CASE state WHEN 'held' THEN 'dead' ELSE state END
       WHERE {_NAMES_THE_PERSON}
         AND (door = 'batch-earn' OR reason = 'BINARY_MODE'
              OR position(convert_to('"' || %(tenant)s || '"', 'UTF8') IN raw) > 0)""",  # noqa: S608  (ours)
    """DELETE FROM callbacks c USING journal j
       WHERE c.sent_at IS NOT NULL AND j.id = c.command_id AND j.tenant_id = %(tenant)s
         AND (j.user_id = %(pseudonym)s OR position('"' || %(user)s || '"' IN c.message::text) > 0)""",
    """UPDATE job_runs SET reached_user = ''
       WHERE tenant_id = %(tenant)s AND reached_user = %(user)s AND finished_at IS NOT NULL""",
)

_FINISH = """
UPDATE erasures SET finished_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND pseudonym = %(pseudonym)s"""


def _finish(connection: sa.Connection, person: Person, command_id: UUID) -> None:
    """The other tables, and last the command that asked for it."""
    values = {"tenant": person.tenant_id, "user": person.user_id, "pseudonym": person.pseudonym}
    for statement in _ELSEWHERE:
        run(connection, statement, **values)
    _strip(connection, person, [command_id])
    run(connection, _FINISH, tenant=person.tenant_id, pseudonym=person.pseudonym)

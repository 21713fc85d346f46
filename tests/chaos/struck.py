"""What struck without being on the schedule: inside a process, at its failpoints, and between commands that
met."""

from collections import Counter
from pathlib import Path

import sqlalchemy as sa

from pointledger.storage.database import rows

# Between `after:fence` and `before:batch-commit` a worker is in its transaction.
_IN_TRANSACTION = (
    "after:fence",
    "before:load",
    "after:load",
    "before:decide",
    "after:decide",
    "before:batch-commit",
)
_OF_RELAYS = ("after:events-publish", "before:relay-commit")
_OF_INTAKES = ("before:letters-commit", "before:forget", "after:forget")
_ENDS = {"kill": "is killed", "stop": "stands still"}
_AFTER_COMMIT = ("after:batch-commit", "before:tell", "after:tell", "before:leave", "after:leave")


def struck_inside(log: Path) -> Counter[str]:
    """By the matrix' names, what the failpoints have noted."""
    if not log.exists():
        return Counter()
    return Counter(_name(line.split()[1]) for line in log.read_text().splitlines())


def _name(word: str) -> str:
    point, _, action = word.partition("=")
    action = action.partition("@")[0]
    if point in _OF_RELAYS:
        return f"F51 a relay {_ENDS[action]} between sending and noting"
    if point in _OF_INTAKES:
        return f"F13 the intake {_ENDS[action]} with messages that it has taken"
    if "accept-commit" in point or "publish" in point or "door" in point:
        return _of_client(point, action)
    if action.startswith("raise:"):
        return "F23 a deadlock, a serialization failure or a lock time-out"
    if action == "raise":
        return "F48 something raises in a batch"
    if action.startswith("sleep"):
        return "F44 a worker dawdles while others race"
    if action == "kill":
        if point in _IN_TRANSACTION:
            return "F15 a worker is killed in its transaction"
        if point in _AFTER_COMMIT:
            return "F16 a worker is killed after its commit"
        return "F13 a worker is killed between lock and transaction"
    if point in _IN_TRANSACTION:
        return "F18 a worker stands still in its transaction"
    if point in _AFTER_COMMIT:
        return "F19 a worker stands still after its commit"
    return "F17 a worker stands still between lock and transaction"


def _of_client(point: str, action: str) -> str:
    if action.startswith("raise"):
        return "F23 something raises while a command is accepted"
    if action == "stop":
        return "F1 a client stands still after it is accepted"
    if point == "before:accept-commit":
        return "F3 a client is killed before it is accepted"
    return "F2 a client is killed after it is accepted"


# All names that `struck_inside` and `struck_by_load` may give.
_INSIDE = (
    "F23 a deadlock, a serialization failure or a lock time-out",
    "F48 something raises in a batch",
    "F44 a worker dawdles while others race",
    "F15 a worker is killed in its transaction",
    "F16 a worker is killed after its commit",
    "F13 a worker is killed between lock and transaction",
    "F18 a worker stands still in its transaction",
    "F19 a worker stands still after its commit",
    "F17 a worker stands still between lock and transaction",
    "F23 something raises while a command is accepted",
    "F1 a client stands still after it is accepted",
    "F3 a client is killed before it is accepted",
    "F2 a client is killed after it is accepted",
    *(f"F51 a relay {end} between sending and noting" for end in _ENDS.values()),
    *(f"F13 the intake {end} with messages that it has taken" for end in _ENDS.values()),
)

_MET = {
    "F22 users give to each other at once": """
        SELECT count(*) FROM journal a JOIN journal b
          ON a.kind = 'transfer' AND b.kind = 'transfer' AND b.user_id = a.payload ->> 'to_user_id'
         AND b.payload ->> 'to_user_id' = a.user_id AND b.accepted_at BETWEEN a.accepted_at
         AND a.accepted_at + interval '1 second'""",
    "F37 clients use one key at once": "SELECT count(*) FROM aliases",
    "F44 holds time out while others capture them": """
        SELECT count(*) FROM entries WHERE subtype = 'timeout'""",
}


NAMES = (*_INSIDE, *_MET)


def struck_by_load(database: sa.Engine) -> Counter[str]:
    """How often commands met that would do each other harm."""
    with database.connect() as connection:
        return Counter({name: int(rows(connection, sql)[0][0]) for name, sql in _MET.items()})

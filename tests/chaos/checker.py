"""The checker: holds the clients' journals against the database, when everything has had time to end.

| what                                                                             | counts as      |
| -------------------------------------------------------------------------------- | -------------- |
| accepted, and not in the journal as it was sent, without an outcome, or dead     | lost           |
| accepted, and a lookup said that it is unknown                                   | lost           |
| refused at the door, and in the journal all the same                             | doubled        |
| a command with two entries of a kind, a saver or a twin with other points        | doubled        |
| A was accepted before B of the same user was sent, and B came first              | out of order   |
| real time and the orders of all accounts that together are a circle              | out of order   |
| an account that was older than when it was last read                             | out of order   |
| an event that nobody heard; of nothing; after a later one of the same user       | each of these  |

Of what lies in a queue nobody knows when it is accepted, so no real time is held against it.
"""

import graphlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from redis import Redis

from pointledger.domain.commands import AnyCommand, Earn
from pointledger.domain.commands.records import encode
from pointledger.storage.database import rows
from tests.chaos.doors import QUEUE
from tests.chaos.hearing import Heard, heard, out_of_order, to_hear
from tests.chaos.journal import ACCEPTED, REFUSED, Call, calls, complaints
from tests.waiting import wait_until

_SHOWN = 10  # of each sort of finding
_RELAY_SECONDS = 30.0  # an event is sent within a second or two


@dataclass
class Verdict:
    """What was found; `told` has the first of each."""

    commands: int = 0
    events: int = 0  # that were heard
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    told: list[str] = field(default_factory=list)

    def add(self, what: str, sort: str, found: Iterable[object]) -> None:
        offences = list(found)
        setattr(self, what, getattr(self, what) + len(offences))
        self.told += [f"{what}: {sort}: {offence}" for offence in offences[:_SHOWN]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A command, as its client knows it. The first sending and the last answer, in nanoseconds."""

    command: AnyCommand
    sent_at: int
    told_at: int
    lies_in_a_queue: bool  # when it was told; its acceptance came later


def check(database: sa.Engine, journals: list[Path], lanes: int) -> Verdict:
    """Everything that clients were promised. Nothing may be ambiguous any more."""
    verdict = Verdict()
    made = [call for path in journals for call in calls(path)]
    assert all(call.told for call in made), "each call was sent until its answer was clear"
    accepted = _of(made, ACCEPTED)
    verdict.commands = len(accepted)
    verdict.add("lost", "unknown", (c for p in journals for c in complaints(p) if "unknown" in c))
    verdict.add("out_of_order", "older", (c for p in journals for c in complaints(p) if "backwards" in c))
    with database.connect() as connection:
        firsts = {row[0]: row[1] for row in rows(connection, "SELECT id, journal_id FROM aliases")}
        stands = _journal(connection)
        verdict.add("lost", "not as sent", _not_as_sent(accepted, stands, firsts, lanes))
        verdict.add("lost", "no outcome", rows(connection, _WITHOUT_OUTCOME))
        verdict.add("doubled", "refused", (i for i in _of(made, REFUSED) if i in stands))
        verdict.add("doubled", "entries", rows(connection, _DOUBLE_ENTRIES))
        verdict.add("doubled", "balance", _other_balances(connection, accepted, firsts))
        orders = account_orders(connection)
    verdict.add("out_of_order", "real time", _against_time(accepted, stands, firsts))
    verdict.add("out_of_order", "circle", circle(orders, accepted, firsts))
    return verdict


def check_events(database: sa.Engine, events: Redis, queue: str, verdict: Verdict) -> None:
    """Compares the broker's events with the database's.

    Beat goes on, so the database is read twice: an event that was due before must have been received, and one
    that was received must be known afterwards.
    """
    due = _events_to_hear(database)
    with suppress(AssertionError):  # what is missing then is lost
        wait_until(
            lambda: due.keys() <= {each.id for each in heard(events, queue)},
            "the relay sends what is due",
            _RELAY_SECONDS,
        )
    received = {each.id: each for each in heard(events, queue)}
    known = _events_to_hear(database)
    verdict.events = len(received)
    verdict.add("lost", "event", (due[each] for each in due.keys() - received.keys()))
    verdict.add("doubled", "event of nothing", (received[each] for each in received.keys() - known.keys()))
    verdict.add("out_of_order", "event", out_of_order(heard(events, queue)))


def _events_to_hear(database: sa.Engine) -> dict[str, Heard]:
    with database.connect() as connection:
        return to_hear(connection)


def _of(made: list[Call], told: str) -> dict[UUID, Sent]:
    return {
        command.id: Sent(command, call.sent_at, call.told_at, call.door == QUEUE)
        for call in made
        if call.told == told
        for command in call.commands
    }


def _journal(connection: sa.Connection) -> dict[UUID, tuple[int, bytes, int, str]]:
    """By id: its place in the order, its content, its lane, whose it is."""
    found = rows(connection, "SELECT id, seq, fingerprint, lane, user_id FROM journal")
    return {row[0]: (row[1], bytes(row[2]), row[3], row[4]) for row in found}


def _not_as_sent(
    accepted: dict[UUID, Sent],
    stands: dict[UUID, tuple[int, bytes, int, str]],
    firsts: dict[UUID, UUID],
    lanes: int,
) -> Iterator[UUID]:
    for command_id, sent in accepted.items():
        line = encode(sent.command, lanes)
        _, fingerprint, lane, user = stands.get(firsts.get(command_id, command_id), (0, b"", -1, ""))
        if (fingerprint, lane, user) != (line.fingerprint, line.lane, line.user_id):
            yield command_id


# Beat goes on: what it has sent since everything had its outcome may wait.
_WITHOUT_OUTCOME = """
SELECT j.id, j.kind, j.user_id, f.error FROM journal j LEFT JOIN failures f ON f.id = j.id
WHERE NOT EXISTS (SELECT FROM outcomes o WHERE o.id = j.id)
  AND NOT (j.actor = 'job' AND EXISTS (SELECT FROM pending p WHERE p.id = j.id))"""

# What a command writes once for each account, or for each rule; time that passes may write more.
_DOUBLE_ENTRIES = """
SELECT command_id, account_id, type, subtype, count(*) FROM entries
WHERE subtype NOT IN ('scheduled', 'timeout', 'release', 'activation')
GROUP BY command_id, account_id, type, subtype, rule_id HAVING count(*) > 1"""

_BY_ACCOUNT = "SELECT account_id, command_id FROM entries ORDER BY account_id, seq"


def _other_balances(
    connection: sa.Connection, accepted: dict[UUID, Sent], firsts: dict[UUID, UUID]
) -> Iterator[str]:
    """Those who only earn: what the clients' journals say they have, repetitions once, and what they have."""
    wanted: Counter[str] = Counter()
    for command_id, sent in accepted.items():
        command = sent.command
        if isinstance(command, Earn) and command_id not in firsts and _only_earns(command.user_id):
            wanted[command.user_id] += command.amount
    found = Counter(
        {
            row[0]: int(row[1])
            for row in rows(connection, "SELECT user_id, balance FROM accounts")
            if _only_earns(row[0])
        }
    )
    for user in sorted(wanted.keys() | found.keys()):
        if wanted[user] != found[user]:
            yield f"{user} has {found[user]}, not {wanted[user]}"


def _only_earns(user: str) -> bool:
    return user.startswith(("saver-", "twin-", "letters-"))


# --------------------------------------------------------------------------------------------- order


def account_orders(connection: sa.Connection) -> list[list[UUID]]:
    """For each account, its commands in the order of its entries, each once.

    A place in the journal is drawn before the commit: of two acceptances of one user that overlap, the second
    place may be visible, and applied, first. So places are no order of what is applied; real time is.
    """
    orders: defaultdict[object, dict[UUID, None]] = defaultdict(dict)
    for key, command_id in rows(connection, _BY_ACCOUNT):
        orders[key].setdefault(command_id)
    return [list(order) for order in orders.values()]


def _by_sender(accepted: dict[UUID, Sent], firsts: dict[UUID, UUID]) -> dict[str, dict[UUID, Sent]]:
    """Without repetitions: what came first answers for them, and was sent at another time."""
    found: defaultdict[str, dict[UUID, Sent]] = defaultdict(dict)
    for command_id, sent in accepted.items():
        if command_id not in firsts and not sent.lies_in_a_queue:
            found[sent.command.user_id][command_id] = sent
    return found


def _against_time(
    accepted: dict[UUID, Sent], stands: dict[UUID, tuple[int, bytes, int, str]], firsts: dict[UUID, UUID]
) -> Iterator[UUID]:
    """Commands that were accepted before one was sent that has an earlier place: A was told before B was
    sent, both of one user, and B stands before A."""
    for own in _by_sender(accepted, firsts).values():
        placed = sorted((i for i in own if i in stands), key=lambda i: stands[i][0])
        latest_sent = 0
        for command_id in placed:
            if own[command_id].told_at < latest_sent:
                yield command_id
            latest_sent = max(latest_sent, own[command_id].sent_at)


def circle(
    orders: list[list[UUID]], accepted: dict[UUID, Sent], firsts: dict[UUID, UUID]
) -> list[list[object]]:
    """The order of every account's entries, and real time: is there one order that fits all? A circle, if
    not."""
    graph: graphlib.TopologicalSorter[object] = graphlib.TopologicalSorter()
    for order in orders:
        for earlier, later in pairwise(order):
            graph.add(later, earlier)
    for user, own in _by_sender(accepted, firsts).items():
        _add_real_time(graph, user, own)
    try:
        graph.prepare()
    except graphlib.CycleError as error:
        return [error.args[1]]
    return []


def _add_real_time(graph: graphlib.TopologicalSorter[object], user: str, own: dict[UUID, Sent]) -> None:
    """A before B where A was told before B was sent, by a node for each answer: so many edges as commands,
    not as pairs of them."""
    events = sorted(
        [(sent.sent_at, False, command_id) for command_id, sent in own.items()]
        + [(sent.told_at, True, command_id) for command_id, sent in own.items()]
    )
    moment: object = None
    for at, is_answer, command_id in events:
        if is_answer:
            now = (user, at, command_id)
            graph.add(now, command_id, *([moment] if moment else []))
            moment = now
        elif moment:
            graph.add(command_id, moment)

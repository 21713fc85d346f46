"""The checker: compares the clients' journals with the database when everything has ended.

| what                                                                           | counts as     |
| ------------------------------------------------------------------------------ | ------------- |
| accepted, and missing or different in the journal, without an outcome, or dead | lost          |
| accepted, and a query returned that it is unknown                              | lost          |
| refused when it was sent, and yet in the journal                               | doubled       |
| a command with two entries of a kind, or a user who only earns with other points | doubled     |
| A was accepted before B of the same user was sent, and B came first            | out of order  |
| real time and the orders of all accounts form a cycle                          | out of order  |
| an account that was older than when it was last read                           | out of order  |
| an event that was not received; without an entry; after a later one of its user | each of these |

The time at which a queued message is accepted is unknown, so it is in no comparison with real time.
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

from pointledger.domain.commands import AnyCommand, Earn
from pointledger.domain.commands.records import encode
from pointledger.storage.database import rows
from tests.chaos.entry_points import QUEUE
from tests.chaos.events_broker import EventsBroker
from tests.chaos.journal import ACCEPTED, REFUSED, Call, calls, violations
from tests.chaos.received_events import ReceivedEvent, expected_events, out_of_order, received_events
from tests.waiting import wait_until

_SHOWN = 10  # of each kind of problem
_RELAY_SECONDS = 30.0  # an event is sent within a second or two


@dataclass
class Verdict:
    """The numbers of problems, and descriptions of the first ones of each kind."""

    commands: int = 0
    events: int = 0  # that were received
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, what: str, kind: str, found: Iterable[object]) -> None:
        problems = list(found)
        setattr(self, what, getattr(self, what) + len(problems))
        self.problems += [f"{what}: {kind}: {problem}" for problem in problems[:_SHOWN]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A command as its client knows it, with the times of the first call and the last answer in ns."""

    command: AnyCommand
    sent_at: int
    answered_at: int
    is_queued: bool  # at the answer; the ledger accepted it later


def check(database: sa.Engine, journals: list[Path], lanes: int) -> Verdict:
    """Check all promises to the clients. No call may be ambiguous any more."""
    verdict = Verdict()
    made = [call for path in journals for call in calls(path)]
    assert all(call.answer for call in made), "each call was repeated until its answer was certain"
    accepted = _of(made, ACCEPTED)
    verdict.commands = len(accepted)
    verdict.add("lost", "unknown", (c for p in journals for c in violations(p) if "unknown" in c))
    verdict.add("out_of_order", "older", (c for p in journals for c in violations(p) if "backwards" in c))
    with database.connect() as connection:
        originals = {row[0]: row[1] for row in rows(connection, "SELECT id, journal_id FROM aliases")}
        recorded = _journal(connection)
        verdict.add("lost", "not as sent", _not_as_sent(accepted, recorded, originals, lanes))
        verdict.add("lost", "no outcome", rows(connection, _WITHOUT_OUTCOME))
        verdict.add("doubled", "refused", (i for i in _of(made, REFUSED) if i in recorded))
        verdict.add("doubled", "entries", rows(connection, _DOUBLE_ENTRIES))
        verdict.add("doubled", "balance", _other_balances(connection, accepted, originals))
        orders = account_orders(connection)
    verdict.add("out_of_order", "real time", _against_time(accepted, recorded, originals))
    verdict.add("out_of_order", "cycle", cycle(orders, accepted, originals))
    return verdict


def check_events(database: sa.Engine, events: EventsBroker, queue: str, verdict: Verdict) -> None:
    """Compare the broker's events with the database's.

    Beat goes on, so the database is read twice: an event that was due before must have been received, and one
    that was received must be known afterwards.
    """
    due = _expected(database)
    with suppress(AssertionError):  # a missing event is lost
        wait_until(
            lambda: due.keys() <= {each.id for each in received_events(events, queue)},
            "the relay sends what is due",
            _RELAY_SECONDS,
        )
    received = {each.id: each for each in received_events(events, queue)}
    known = _expected(database)
    verdict.events = len(received)
    verdict.add("lost", "event", (due[each] for each in due.keys() - received.keys()))
    verdict.add(
        "doubled", "event without an entry", (received[each] for each in received.keys() - known.keys())
    )
    verdict.add("out_of_order", "event", out_of_order(received_events(events, queue)))


def _expected(database: sa.Engine) -> dict[str, ReceivedEvent]:
    with database.connect() as connection:
        return expected_events(connection)


def _of(made: list[Call], answer: str) -> dict[UUID, Sent]:
    return {
        command.id: Sent(command, call.sent_at, call.answered_at, call.entry_point == QUEUE)
        for call in made
        if call.answer == answer
        for command in call.commands
    }


def _journal(connection: sa.Connection) -> dict[UUID, tuple[int, bytes, int, str]]:
    """Return the place, the fingerprint, the lane and the user of each command by its id."""
    found = rows(connection, "SELECT id, seq, fingerprint, lane, user_id FROM journal")
    return {row[0]: (row[1], bytes(row[2]), row[3], row[4]) for row in found}


def _not_as_sent(
    accepted: dict[UUID, Sent],
    recorded: dict[UUID, tuple[int, bytes, int, str]],
    originals: dict[UUID, UUID],
    lanes: int,
) -> Iterator[UUID]:
    for command_id, sent in accepted.items():
        line = encode(sent.command, lanes)
        _, fingerprint, lane, user = recorded.get(originals.get(command_id, command_id), (0, b"", -1, ""))
        if (fingerprint, lane, user) != (line.fingerprint, line.lane, line.user_id):
            yield command_id


# Beat goes on, so its own commands may be pending.
_WITHOUT_OUTCOME = """
SELECT j.id, j.kind, j.user_id, f.error FROM journal j LEFT JOIN failures f ON f.id = j.id
WHERE NOT EXISTS (SELECT FROM outcomes o WHERE o.id = j.id)
  AND NOT (j.actor = 'job' AND EXISTS (SELECT FROM pending p WHERE p.id = j.id))"""

# A command writes such an entry once for each account or rule. Time that passes may write others.
_DOUBLE_ENTRIES = """
SELECT command_id, account_id, type, subtype, count(*) FROM entries
WHERE subtype NOT IN ('scheduled', 'timeout', 'release', 'activation')
GROUP BY command_id, account_id, type, subtype, rule_id HAVING count(*) > 1"""

_BY_ACCOUNT = "SELECT account_id, command_id FROM entries ORDER BY account_id, seq"


def _other_balances(
    connection: sa.Connection, accepted: dict[UUID, Sent], originals: dict[UUID, UUID]
) -> Iterator[str]:
    """Compare balances of users who only earn with the clients' journals, where repetitions count once."""
    wanted: Counter[str] = Counter()
    for command_id, sent in accepted.items():
        command = sent.command
        if isinstance(command, Earn) and command_id not in originals and _only_earns(command.user_id):
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
    return user.startswith(("saver-", "keyed-", "queued-", "bulk-"))


# --------------------------------------------------------------------------------------------- order


def account_orders(connection: sa.Connection) -> list[list[UUID]]:
    """Return each account's commands in the order of its entries, each once.

    A command gets its place in the journal before the commit. If two acceptances of one user overlap, the
    second place can be visible, and applied, first. So places do not prove an order; real time does.
    """
    orders: defaultdict[object, dict[UUID, None]] = defaultdict(dict)
    for key, command_id in rows(connection, _BY_ACCOUNT):
        orders[key].setdefault(command_id)
    return [list(order) for order in orders.values()]


def _by_sender(accepted: dict[UUID, Sent], originals: dict[UUID, UUID]) -> dict[str, dict[UUID, Sent]]:
    """Group accepted commands by user, without repetitions, whose originals were sent at other times."""
    found: defaultdict[str, dict[UUID, Sent]] = defaultdict(dict)
    for command_id, sent in accepted.items():
        if command_id not in originals and not sent.is_queued:
            found[sent.command.user_id][command_id] = sent
    return found


def _against_time(
    accepted: dict[UUID, Sent], recorded: dict[UUID, tuple[int, bytes, int, str]], originals: dict[UUID, UUID]
) -> Iterator[UUID]:
    """Yield each command A that was accepted before B of the same user was sent, while the journal has B
    before A."""
    for own in _by_sender(accepted, originals).values():
        placed = sorted((i for i in own if i in recorded), key=lambda i: recorded[i][0])
        latest_sent = 0
        for command_id in placed:
            if own[command_id].answered_at < latest_sent:
                yield command_id
            latest_sent = max(latest_sent, own[command_id].sent_at)


def cycle(
    orders: list[list[UUID]], accepted: dict[UUID, Sent], originals: dict[UUID, UUID]
) -> list[list[object]]:
    """Return a cycle if no single order fits real time and the entries of all accounts."""
    graph: graphlib.TopologicalSorter[object] = graphlib.TopologicalSorter()
    for order in orders:
        for earlier, later in pairwise(order):
            graph.add(later, earlier)
    for user, own in _by_sender(accepted, originals).items():
        _add_real_time(graph, user, own)
    try:
        graph.prepare()
    except graphlib.CycleError as error:
        return [error.args[1]]
    return []


def _add_real_time(graph: graphlib.TopologicalSorter[object], user: str, own: dict[UUID, Sent]) -> None:
    """Add A before B where A was answered before B was sent.

    A node for each answer keeps the number of edges linear in the number of commands.
    """
    events = sorted(
        [(sent.sent_at, False, command_id) for command_id, sent in own.items()]
        + [(sent.answered_at, True, command_id) for command_id, sent in own.items()]
    )
    moment: object = None
    for at, is_answer, command_id in events:
        if is_answer:
            now = (user, at, command_id)
            graph.add(now, command_id, *([moment] if moment else []))
            moment = now
        elif moment:
            graph.add(command_id, moment)

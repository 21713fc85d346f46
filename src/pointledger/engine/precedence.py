"""Keeps the order of acceptance: a refusal is final when no earlier pending command can change it.

| the refusal depends on         | it is final when none of these is pending and earlier            |
| ------------------------------ | ---------------------------------------------------------------- |
| the recipient of a transfer    | a command of the recipient, or a transfer to the recipient       |
| the user's points (`incoming`) | a transfer to the user                                           |

Until then the command waits, and so do the later commands of its user. A command waits only for a smaller
`seq`, so there are no cycles. An earlier command can be stuck for another reason: it fails, or its lock is
taken. So the wait ends after `LONGEST_SECONDS`, and the refusal's message says that a command was pending.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands import Transfer
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import STILL_PENDING, Decision, Reason, Refused
from pointledger.domain.commands.records import lane_of
from pointledger.engine.locks import User
from pointledger.engine.peeked import sender
from pointledger.storage.queue import precedence
from pointledger.storage.queue.precedence import Place, PrecedenceQuery

LONGEST_SECONDS = 10.0  # far longer than a healthy ledger takes to apply the earlier command


class Unsettled(Exception):
    """Some refusals are not final yet.

    `waits`: commands that must wait, each with the place of the earlier command. `lanes_to_lock`: lanes whose
    rows the next decision must lock, so that no later command of theirs is applied first.
    """

    def __init__(self, waits: dict[UUID, Place], lanes_to_lock: set[int]) -> None:
        super().__init__(waits, lanes_to_lock)
        self.waits = waits
        self.lanes_to_lock = lanes_to_lock


def without(
    batch: list[Accepted], waits: dict[UUID, Place]
) -> tuple[list[Accepted], dict[User, tuple[UUID, Place]]]:
    """Take out the commands that must wait and the later commands of their senders.

    Return the rest, and each sender's first waiting command with the place it waits for. A sender's earlier
    commands stay in, because others may wait for them.
    """
    left = []
    stopped: dict[User, tuple[UUID, Place]] = {}
    for accepted in batch:
        command_id = accepted.command.id
        if command_id in waits:
            stopped.setdefault(sender(accepted), (command_id, waits[command_id]))
        if sender(accepted) not in stopped:
            left.append(accepted)
    return left, stopped


class _OpenRefusal(NamedTuple):
    """A refusal that may not be final, its place among the decisions, and the question that settles it."""

    place: int
    accepted: Accepted
    refused: Refused
    question: PrecedenceQuery


class LaneScope(NamedTuple):
    """The lanes whose rows are locked, and the number of all lanes."""

    locked: set[int]
    total: int


def settle(
    connection: sa.Connection,
    lanes: LaneScope,
    decisions: Sequence[tuple[Accepted, Decision]],
    *,
    some_have_waited: bool,
) -> list[tuple[Accepted, Decision]]:
    """Return the decisions once all are final. Raise Unsettled if some are not.

    A refusal that has waited for `LONGEST_SECONDS` is final and its message says so. `some_have_waited`:
    whether any command of the batch has waited before. Without a refusal that depends on other users it
    queries nothing.
    """
    refusals = [
        _open(place, accepted, decision, lanes.total)
        for place, (accepted, decision) in enumerate(decisions)
        if isinstance(decision, Refused) and decision.rests_on
    ]
    if not refusals:
        return list(decisions)
    deciding = [accepted.seq for accepted, _ in decisions]
    waits, lanes_to_lock = _obstacles(connection, lanes, deciding, refusals)
    overdue: set[UUID] = set()
    if waits and some_have_waited:
        overdue = precedence.overdue(connection, list(waits))
        waits = {command_id: place for command_id, place in waits.items() if command_id not in overdue}
    if waits or lanes_to_lock:
        raise Unsettled(waits, lanes_to_lock)
    settled = list(decisions)
    for one in refusals:
        if one.accepted.command.id in overdue:
            message = f"{one.refused.message}{STILL_PENDING}"
            settled[one.place] = one.accepted, replace(one.refused, message=message)
    return settled


def _open(place: int, accepted: Accepted, refused: Refused, lane_count: int) -> _OpenRefusal:
    command = accepted.command
    user_id = command.user_id
    if refused.rests_on == "recipient":
        assert isinstance(command, Transfer), "only a transfer has a recipient"
        user_id = command.to_user_id
    lane = lane_of(command.tenant_id, user_id, lane_count)
    return _OpenRefusal(
        place, accepted, refused, PrecedenceQuery(accepted.seq, command.tenant_id, user_id, lane)
    )


def _obstacles(
    connection: sa.Connection, lanes: LaneScope, deciding: list[int], refusals: list[_OpenRefusal]
) -> tuple[dict[UUID, Place], set[int]]:
    """Return the commands that must wait, and the lanes to lock, as `Unsettled` has them."""
    waits: dict[UUID, Place] = {}
    lanes_to_lock: set[int] = set()
    on_recipient = [one for one in refusals if one.refused.rests_on == "recipient"]
    if on_recipient:
        questions = [one.question for one in on_recipient]
        found = precedence.of_users(connection, deciding, questions)
        for one, answer in zip(on_recipient, found, strict=True):
            is_unknown = one.refused.reason is Reason.RECIPIENT_NOT_FOUND
            if answer.before is not None:
                waits[one.accepted.command.id] = answer.before
            elif is_unknown and (answer.is_there or answer.after) and one.question.lane not in lanes.locked:
                lanes_to_lock.add(one.question.lane)
    found = precedence.incoming(connection, deciding, [one.question for one in refusals])
    for one, answer in zip(refusals, found, strict=True):
        if answer.before is not None:
            waits[one.accepted.command.id] = answer.before
    return waits, lanes_to_lock

"""What was accepted first counts: a refusal is given when nothing accepted before the command can change it.

| the refusal rests on                  | it is given when nothing earlier waits that is           |
| ------------------------------------- | -------------------------------------------------------- |
| the recipient of a transfer           | the recipient's own, or a transfer to the recipient      |
| what the user has (`incoming`)        | a transfer to the user                                   |

Until then the command waits, and its user's later ones with it. Waiting for what has the smaller `seq` has no
cycles. What stands still for another reason (it fails, its lock is taken) holds nobody up for longer than
`LONGEST_SECONDS`: then the refusal is given, and says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands import Transfer
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import STILL_WAITS, Decision, Reason, Refused
from pointledger.domain.commands.records import lane_of
from pointledger.engine.locks import User
from pointledger.storage.queue import precedence
from pointledger.storage.queue.precedence import Place, Question

LONGEST_SECONDS = 10.0


class Unsettled(Exception):
    """Refusals that cannot be given yet.

    `waits`: which commands must wait, each for something earlier. `fence`: lanes whose rows must be held to
    decide again: their commands, accepted later, could change the answer meanwhile.
    """

    def __init__(self, waits: dict[UUID, Place], fence: set[int]) -> None:
        super().__init__(waits, fence)
        self.waits = waits
        self.fence = fence


def sender(accepted: Accepted) -> User:
    """In whose order a command stands."""
    return accepted.command.tenant_id, accepted.command.user_id


def without(
    batch: list[Accepted], waits: dict[UUID, Place]
) -> tuple[list[Accepted], dict[User, tuple[UUID, Place]]]:
    """The batch without commands that wait and what their senders sent after them; which these are, and for
    what they wait. What was sent before goes on: others may wait for that."""
    left = []
    stopped: dict[User, tuple[UUID, Place]] = {}
    for accepted in batch:
        command_id = accepted.command.id
        if command_id in waits:
            stopped.setdefault(sender(accepted), (command_id, waits[command_id]))
        if sender(accepted) not in stopped:
            left.append(accepted)
    return left, stopped


class _Asked(NamedTuple):
    """A refusal, its place among the decisions, and what is asked about it."""

    place: int
    accepted: Accepted
    refused: Refused
    question: Question


class Lanes(NamedTuple):
    """The lane whose commands are decided; whose rows are held, it among them; how many there are."""

    lane: int
    fenced: set[int]
    total: int


def settle(
    connection: sa.Connection,
    lanes: Lanes,
    decisions: Sequence[tuple[Accepted, Decision]],
    *,
    some_have_waited: bool,
) -> list[tuple[Accepted, Decision]]:
    """The decisions, each with nothing before it that could change it, or with a word of what has stood in
    its way for too long. Raises Unsettled. `some_have_waited`: whether that can be at all.

    Where nothing is refused for another user's points it asks nothing.
    """
    asked = [one for place, made in enumerate(decisions) if (one := _question(place, made, lanes.total))]
    if not asked:
        return list(decisions)
    deciding = [accepted.seq for accepted, _ in decisions]
    waits, fence = _in_the_way(connection, lanes, deciding, asked)
    overdue: set[UUID] = set()
    if waits and some_have_waited:
        overdue = precedence.overdue(connection, list(waits))
        waits = {command_id: place for command_id, place in waits.items() if command_id not in overdue}
    if waits or fence:
        raise Unsettled(waits, fence)
    settled = list(decisions)
    for one in asked:
        if one.accepted.command.id in overdue:
            told = f"{one.refused.message}{STILL_WAITS}"
            settled[one.place] = one.accepted, replace(one.refused, message=told)
    return settled


def _question(place: int, made: tuple[Accepted, Decision], lane_count: int) -> _Asked | None:
    accepted, decision = made
    if not isinstance(decision, Refused) or decision.rests_on is None:
        return None
    command = accepted.command
    is_about = command.user_id
    if decision.rests_on == "recipient":
        assert isinstance(command, Transfer), "nothing else has a recipient"
        is_about = command.to_user_id
    lane = lane_of(command.tenant_id, is_about, lane_count)
    return _Asked(place, accepted, decision, Question(accepted.seq, command.tenant_id, is_about, lane))


def _in_the_way(
    connection: sa.Connection, lanes: Lanes, deciding: list[int], asked: list[_Asked]
) -> tuple[dict[UUID, Place], set[int]]:
    """What `Unsettled` says."""
    waits: dict[UUID, Place] = {}
    fence: set[int] = set()
    on_recipient = [one for one in asked if one.refused.rests_on == "recipient"]
    if on_recipient:
        questions = [one.question for one in on_recipient]
        found = precedence.of_users(connection, lanes.lane, deciding, questions)
        for one, answer in zip(on_recipient, found, strict=True):
            is_unknown = one.refused.reason is Reason.RECIPIENT_NOT_FOUND
            if answer.before is not None:
                waits[one.accepted.command.id] = answer.before
            elif is_unknown and (answer.is_there or answer.after) and one.question.lane not in lanes.fenced:
                fence.add(one.question.lane)
    found = precedence.incoming(connection, lanes.lane, deciding, [one.question for one in asked])
    for one, answer in zip(asked, found, strict=True):
        if answer.before is not None:
            waits[one.accepted.command.id] = answer.before
    return waits, fence

"""The order in which commands were applied, held against the order in which they were accepted."""

from collections.abc import Iterator, Mapping, Sequence

from pointledger import AnyCommand, Outcome, Transfer, WalletAdjust
from tests.model.compare import Difference, Story
from tests.model.recorded import Applied, Recorded

_OF_RECIPIENTS = ("RECIPIENT_NOT_FOUND", "RECIPIENT_INACTIVE", "MAX_BALANCE")


def out_of_order(story: Story, recorded: Recorded) -> Iterator[Difference]:
    """What has waited too long, or has been answered too early. Each acceptance must have been committed
    before the next began: else their order is not known."""
    if recorded.unfinished:
        yield Difference("finished", recorded.unfinished, [])
    order = recorded.order
    for where, found in (
        ("overtaken", overtaken(order, story.commands)),
        ("refused too early", refused_too_early(order, story.commands, story.outcomes)),
    ):
        if told := [" ".join(map(story.label, words)) for words in found]:
            yield Difference(where, told, [])


def overtaken(order: Sequence[Applied], commands: Mapping[str, AnyCommand]) -> Iterator[tuple[str, ...]]:
    """Commands that were applied after one of the same user's that was accepted later: both, and whose."""
    latest: dict[str, Applied] = {}
    for applied in order:
        user = commands[applied.command_id].user_id
        if user in latest and latest[user].seq > applied.seq:
            yield applied.command_id, "after", latest[user].command_id, "of", user
        latest[user] = applied


def refused_too_early(
    order: Sequence[Applied], commands: Mapping[str, AnyCommand], outcomes: Mapping[str, Outcome]
) -> Iterator[tuple[str, ...]]:
    """Refusals that something which was accepted earlier, and waited still, might have turned into success:
    a transfer's for the state of its recipient, anybody's for want of points that a transfer was to bring.
    The refused, the reason, and what waited."""
    own: dict[str, list[tuple[int, Applied]]] = {}
    incoming: dict[str, list[tuple[int, Applied]]] = {}
    for place, applied in enumerate(order):
        command = commands[applied.command_id]
        own.setdefault(command.user_id, []).append((place, applied))
        if isinstance(command, Transfer):
            incoming.setdefault(command.to_user_id, []).append((place, applied))
    for place, applied in enumerate(order):
        command, reason = commands[applied.command_id], outcomes[applied.command_id].reason
        awaited: list[tuple[int, Applied]] = []
        if reason == "INSUFFICIENT_BALANCE" and not isinstance(command, WalletAdjust):
            awaited = incoming.get(command.user_id, [])
        elif isinstance(command, Transfer) and reason in _OF_RECIPIENTS:
            awaited = [*own.get(command.to_user_id, []), *incoming.get(command.to_user_id, [])]
        for others, other in awaited:
            if other.seq < applied.seq and others > place:
                yield applied.command_id, f"refused {reason} before", other.command_id

"""Compares the order in which commands were applied with the order of acceptance."""

from collections.abc import Iterator, Mapping, Sequence

from pointledger import AnyCommand, Outcome, Transfer, WalletAdjust
from tests.model.compare import Difference, TenantHistory
from tests.model.recorded import Applied, Recorded

_OF_RECIPIENTS = ("RECIPIENT_NOT_FOUND", "RECIPIENT_INACTIVE", "MAX_BALANCE")


def out_of_order(tenant_history: TenantHistory, recorded: Recorded) -> Iterator[Difference]:
    """Yield commands that were not applied, were overtaken or were refused too early.

    The order is known only if each acceptance was committed before the next began.
    """
    if recorded.unfinished:
        yield Difference("finished", recorded.unfinished, [])
    order = recorded.order
    for where, found in (
        ("overtaken", overtaken(order, tenant_history.commands)),
        ("refused too early", refused_too_early(order, tenant_history.commands, tenant_history.outcomes)),
    ):
        if texts := [" ".join(map(tenant_history.label, words)) for words in found]:
            yield Difference(where, texts, [])


def overtaken(order: Sequence[Applied], commands: Mapping[str, AnyCommand]) -> Iterator[tuple[str, ...]]:
    """Yield each command that was applied after a later one of its user, the later one, and the user."""
    latest: dict[str, Applied] = {}
    for applied in order:
        user = commands[applied.command_id].user_id
        if user in latest and latest[user].seq > applied.seq:
            yield applied.command_id, "after", latest[user].command_id, "of", user
        latest[user] = applied


def refused_too_early(
    order: Sequence[Applied], commands: Mapping[str, AnyCommand], outcomes: Mapping[str, Outcome]
) -> Iterator[tuple[str, ...]]:
    """Yield refusals that a pending command, accepted earlier, might have prevented.

    Such are refusals of a transfer for its recipient's state, and refusals for points that a transfer brings.
    """
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

"""Traces the acceptance of commands: a span for each call, whose address the commands carry."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from pydantic import BaseModel

from pointledger import tracing
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.base import Command
from pointledger.domain.values.extensions import check_extensions
from pointledger.ids import show_id


def accepting(commands: Sequence[AnyCommand]) -> AbstractContextManager[Sequence[AnyCommand]]:
    """Yield the commands to accept within the block.

    If the caller has a span, the block is a span below it, and a command without a `traceparent` gets that
    of the block. A command that came with one keeps it. Without a caller's span, the block is a span if some
    command came with a recorded trace: below it if the command is alone, else linked. So who traces nothing
    gets no span, and nightly jobs with a million commands do not either.
    """
    if not tracing.is_on():
        return nullcontext(commands)
    if tracing.ids():
        return _below_callers_span(commands)
    recorded = [one for one in map(_extensions, commands) if tracing.is_sampled(one)]
    if not recorded:
        return nullcontext(commands)
    parent = recorded[0] if len(commands) == 1 else None
    return _beside_given_traces(commands, parent, recorded)


@contextmanager
def _beside_given_traces(
    commands: Sequence[AnyCommand], parent: tracing.Carrier | None, recorded: list[dict[str, Any]]
) -> Iterator[Sequence[AnyCommand]]:
    name, attributes = _described(commands)
    with tracing.span(name, "PRODUCER", attributes, parent=parent, links=() if parent else recorded):
        yield commands


@contextmanager
def _below_callers_span(commands: Sequence[AnyCommand]) -> Iterator[Sequence[AnyCommand]]:
    name, attributes = _described(commands)
    with tracing.span(name, "PRODUCER", attributes, links=map(_extensions, commands)):
        carrier = tracing.current_carrier()
        yield [_carrying(command, carrier) for command in commands]


def _described(commands: Sequence[AnyCommand]) -> tuple[str, dict[str, Any]]:
    """Return the span's name and attributes, in OpenTelemetry's words. They name no person."""
    attributes: dict[str, Any] = {"messaging.system": "pointledger", "messaging.operation.type": "send"}
    kinds = {command.kind for command in commands if isinstance(command, Command)}
    tenants = {command.tenant_id for command in commands if isinstance(command, Command)}
    if len(tenants) == 1:
        attributes["pointledger.tenant_id"] = tenants.pop()
    if len(commands) == 1 and isinstance(commands[0], Command):
        attributes["messaging.message.id"] = show_id(commands[0].id)
    else:
        attributes["messaging.batch.message_count"] = len(commands)
    return f"accept {kinds.pop() if len(kinds) == 1 else 'commands'}", attributes


def _extensions(command: object) -> dict[str, Any]:
    """Return the extensions of what may not be a command: `encode` refuses it, not this module."""
    found = command.extensions if isinstance(command, Command) else None
    return found if isinstance(found, dict) else {}


def _carrying(command: AnyCommand, carrier: dict[str, str]) -> AnyCommand:
    """Return the command with the carrier, or as it is if it has one or no room for it."""
    extensions = _extensions(command)
    if not carrier or not isinstance(command, Command) or "traceparent" in extensions:
        return command
    extended = {**extensions, **carrier}
    if extensions:
        try:
            check_extensions(extended)
        except ValueError:
            return command  # a command must not be refused because it is traced
    # pydantic's own copy: it validates nothing again, which would cost ten times as much.
    return BaseModel.model_copy(command, update={"extensions": extended})

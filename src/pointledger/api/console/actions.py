"""What a person does that becomes a command, in three steps, each with an address of its own:

| step    | request                                   | what happens                                         |
| ------- | ----------------------------------------- | ---------------------------------------------------- |
| form    | GET, with fields that are known already   | an idempotency key is drawn, and stays with the form |
| check   | GET with the fields and the key           | a dry run shows what would happen; nothing changes   |
| confirm | POST with the fields, the key, the reason | the command is accepted; the outcome is awaited      |

The key makes a double click, a second tab and a repetition after an error the same command. The first two
steps change nothing, so they are links: an expired session leads to the login and back to them.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from pointledger.api.console import problems
from pointledger.api.console.visit import Visit
from pointledger.client.group_acceptor import Alone
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.outcomes import Outcome
from pointledger.domain.values.fields import MAX_AMOUNT
from pointledger.domain.values.validation import describe
from pointledger.errors import LedgerError, WaitTimedOut
from pointledger.ids import new_id, show_id

WAIT_SECONDS = 2.0  # a worker takes milliseconds; a person who waits longer gets the command's page
MOST_REASON = 200  # characters, as the commands have it
_KEY = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")
# Above 0; the command checks the digits, and the ledger the decimals of the currency.
_MONEY = re.compile(r"(?=[0-9.]{1,21}$)(?=.*[1-9])[0-9]{1,20}(\.[0-9]{1,4})?")
_NUMBER = re.compile(r"[+-]?\d{1,16}")

Kind = Literal["points", "signed", "days", "money", "moment", "choice", "flag", "id", "user", "ids"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an action's form. `name` is the command's."""

    name: str
    label: str
    kind: Kind
    help: str = ""
    required: bool = True
    choices: tuple[tuple[str, str], ...] = ()
    """Of a choice: the value, and what a person reads. The first one is chosen before."""


Check = Callable[[Visit, Mapping[str, Any]], dict[str, str]]


def _no_more(_visit: Visit, _values: Mapping[str, Any]) -> dict[str, str]:
    return {}


def _freely(_visit: Visit, _command: AnyCommand) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a person can do to a member. `name` is its part of the path."""

    name: str
    title: str
    about: str
    permission: str
    command: type[AnyCommand]
    fields: tuple[Field, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the command that the form does not have."""
    check: Check = _no_more
    """Returns what is wrong with the values for this person, by field."""
    around: Callable[[Visit, AnyCommand], AbstractContextManager[object]] = _freely
    """Accepts the command in this context, which raises ConsoleProblem if a limit is reached meanwhile."""
    is_grave: bool = False
    """Whether it takes something from the member, so that its button warns."""
    keeps_member: bool = True
    """Whether the member's page is there afterwards."""
    by_itself: bool = True
    """Whether the member's page leads to it. Others begin at an entry or a hold."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as a person has filled it in: texts, the values that they mean, and what is wrong with them."""

    texts: Mapping[str, str]
    values: Mapping[str, Any]
    errors: Mapping[str, str]


def new_key() -> str:
    """Draw the key of a form."""
    return show_id(new_id())


def key_of(text: str) -> str | None:
    """Return the key that a form has sent, or None without one. Raises ConsoleProblem for other text."""
    if not text:
        return None
    if not _KEY.fullmatch(text):
        raise problems.problem(400, "The form's key is malformed. Open the form anew.")
    return text


def idempotency_key(key: str) -> str:
    """Return the key of the command that a form with this key becomes."""
    return f"console:{key}"


def fill(visit: Visit, action: Action, texts: Mapping[str, str]) -> Filled:
    """Read the fields of the form."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    shown = {each.name: texts.get(each.name, "").strip() for each in action.fields}
    for each in action.fields:
        if not shown[each.name]:
            if each.required:
                errors[each.name] = f"{each.label}: fill this in."
            continue
        try:
            values[each.name] = _value(visit, each, shown[each.name])
        except ValueError as error:
            errors[each.name] = f"{each.label}: {error}."
    return Filled(shown, values, errors or action.check(visit, values))


def _value(visit: Visit, field: Field, text: str) -> Any:
    """Return what the text means. Raises ValueError, which says the limit."""
    match field.kind:
        case "points":
            return _whole(text, 1, MAX_AMOUNT)
        case "days":
            return _whole(text, 1, 36_500)
        case "signed":
            number = _whole(text, -MAX_AMOUNT, MAX_AMOUNT)
            if number == 0:
                raise ValueError("0 changes nothing; give points above 0, or take them below 0")
            return number
        case "moment":
            return _moment(visit, text)
        case "choice" | "flag":
            if text not in (value for value, _ in field.choices):
                raise ValueError(f"one of {', '.join(value for value, _ in field.choices)}")
            return text == "yes" if field.kind == "flag" else text
        case "money":
            if not _MONEY.fullmatch(text):
                raise ValueError("an amount above 0 like 12.50, of at most 20 digits, without commas")
            return text
        case "id" | "user":
            return text
        case "ids":
            return (text,)


def _whole(text: str, least: int, most: int) -> int:
    number = int(text) if text.isascii() and _NUMBER.fullmatch(text) else None
    if number is None or not least <= number <= most:
        raise ValueError(f"a whole number from {least:,} to {most:,}, in digits without commas")
    return number


def _moment(visit: Visit, text: str) -> datetime:
    if not _LOCAL.fullmatch(text):
        raise ValueError("a date and time of the tenant, like 2027-01-31T18:00")
    try:
        return visit.tenant.instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ValueError("this day does not exist") from None


def command_of(
    visit: Visit, action: Action, filled: Filled, user_id: str, reason: str, key: str | None
) -> AnyCommand | str:
    """Return the command, or what is wrong with it as a whole."""
    assert not filled.errors, "only a form without errors becomes a command"
    fields = {
        **action.extra,
        **filled.values,
        "tenant_id": visit.tenant.tenant_id,
        "user_id": user_id,
        "actor": visit.session.actor,
        "reason": reason,
        "idempotency_key": None if key is None else idempotency_key(key),
        # The subject of many providers is a number, so the journal also keeps how the person is called.
        "extensions": {"personname": visit.session.name},
    }
    try:
        return action.command.model_validate(fields)
    except ValidationError as error:
        return describe(error)


def reason_error(reason: str) -> str | None:
    """Return what is wrong with a reason, or None."""
    if not reason.strip():
        return "Reason: say why. The audit log keeps it."
    if len(reason) > MOST_REASON:
        return f"Reason: at most {MOST_REASON} characters; this has {len(reason)}."
    return "Reason: text without NUL." if "\x00" in reason else None


def accept(visit: Visit, command: AnyCommand) -> str:
    """Accept the command and return its task id; a repetition returns that of the first.

    Raises IdempotencyKeyReused for other content.
    """
    acceptance = visit.console.acceptance
    (result,) = acceptance.accept_each([command])
    if isinstance(result, Alone):
        result = acceptance.accept_alone(command, result)
    if isinstance(result, LedgerError):
        raise result
    return show_id(result.command_id)


def await_outcome(visit: Visit, task_id: str) -> Outcome:
    """Wait for the outcome. It is pending if that takes too long."""
    try:
        return visit.client.wait(task_id, WAIT_SECONDS)
    except WaitTimedOut:
        return visit.client.outcome(task_id)

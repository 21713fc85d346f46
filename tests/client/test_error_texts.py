"""Errors form one tree, and none has personal data in its text: users are attributes.

A log line or an error tracker has the texts of the whole chain of causes, so all of them count.
"""

import importlib
import pkgutil
import re
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import pointledger
from pointledger import AnyCommand, ApplyRule, Earn, PointsClient
from pointledger.domain.commands import command_from
from pointledger.errors import (
    AccountMissing,
    ErasureKeyMissing,
    IdempotencyKeyReused,
    InvalidCommand,
    LedgerError,
)
from pointledger.settings import Settings
from tests.client.calls import CALLS, Call
from tests.ledger import Ledger

PERSON = "anna"  # the user of every call in calls.py
NOTE = "born on the 3rd of May"

INSIDE = {
    "CommandFailed", "ConsoleProblem", "ExpressionFailed", "InjectedFault", "InvalidEvent", "LimitMoved",
    "LoginRefused", "NoAnswer", "Problem", "ProviderAway", "Rejected", "SessionTooLarge", "ShareTaken",
    "Unauthenticated", "UnknownPayload", "Unsettled", "Unsupported", "_SlotNeeded",
}  # fmt: skip
"""Exceptions that pointledger catches itself: no caller of the library gets one."""


def test_every_exception_is_a_ledger_error_or_is_caught_inside() -> None:
    outside = {
        each.__name__
        for module in _modules()
        for each in vars(module).values()
        if issubclass(type(each), type)  # isinstance() would make Django load settings
        if issubclass(each, BaseException) and each.__module__ == module.__name__
        if not issubclass(each, LedgerError)
    }
    assert outside == INSIDE
    assert not INSIDE & set(pointledger.__all__)


def _modules() -> Iterator[Any]:
    """Yield all modules but those that do something when they are imported."""
    for found in pkgutil.walk_packages(pointledger.__path__, "pointledger."):
        if not re.search(r"\.(migrations|apps)\.|__main__$", found.name):
            yield importlib.import_module(found.name)


def test_every_error_has_the_same_message_and_its_details_apart() -> None:
    kinds: list[type[LedgerError]] = [LedgerError, *_below(LedgerError)]
    kinds.remove(ErasureKeyMissing)  # it takes users instead
    assert len(kinds) > 40
    for kind in kinds:
        one, two = kind("here"), kind("there")
        assert one.message == two.message == " ".join((kind.__doc__ or "").split())
        assert (one.details, str(one)) == ("here", f"{one.message} (here)")
        assert str(kind("")) == one.message


def test_the_users_who_may_be_erased_are_an_attribute() -> None:
    error = ErasureKeyMissing([("shop", PERSON)])
    assert error.users == {("shop", PERSON)}
    assert (str(error), PERSON in repr(error)) == (error.message, False)


def _below(kind: type[LedgerError]) -> Iterator[type[LedgerError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


# -------------------------------------------------------------------------------------- personal data


def error_of(call: Callable[[], object]) -> LedgerError | None:
    """Return the error that a call raises. Others are failures of the test."""
    try:
        call()
    except LedgerError as error:
        return error
    return None


def texts_of(error: BaseException | None) -> str:
    """Return the texts of an error and of everything that led to it, without lines of code."""
    found = []
    while error is not None:
        found += [*traceback.format_exception_only(error), repr(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(found)


@pytest.fixture
def client(ledger: Ledger) -> Iterator[PointsClient]:
    ledger.tenant()
    with PointsClient.connect(ledger.settings) as opened:
        yield opened


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_call_names_the_user_in_the_text_of_its_error(client: PointsClient, call: Call) -> None:
    """There is no such account, entry, hold, wallet, command or batch."""
    assert PERSON not in texts_of(error_of(lambda: call(client)))


def test_the_user_is_an_attribute(client: PointsClient) -> None:
    error = error_of(lambda: client.account("shop", PERSON))
    assert isinstance(error, AccountMissing)
    assert (error.tenant_id, error.user_id) == ("shop", PERSON)


def test_a_failure_of_the_database_shows_no_parameters(client: PointsClient, ledger: Ledger) -> None:
    with ledger.owner.begin() as connection:
        for table in ("journal", "accounts", "wallets"):
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_gone")
    event = ApplyRule(tenant_id="shop", user_id=PERSON, event_type="visit", metadata={"note": NOTE})
    failed = 0
    for call in [*CALLS.values(), lambda client: client.enqueue(event), lambda client: client.dry_run(event)]:
        error = error_of(lambda call=call: call(client))  # type: ignore[misc]
        failed += error is not None
        assert PERSON not in texts_of(error)
        assert NOTE not in texts_of(error)
    assert failed > 10


def test_a_database_that_is_away_shows_no_parameters(client: PointsClient, settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    error = error_of(lambda: PointsClient.connect(away).account("shop", PERSON))
    assert error
    assert PERSON not in texts_of(error)


@pytest.mark.parametrize(
    "fields",
    [
        {"user_id": f"{PERSON}\n"},
        {"user_id": PERSON * 100},
        {"metadata": {"note": NOTE * 10_000}},
        {"metadata": {"note": {1, NOTE}}},
        {"metadata": NOTE},
        {"event_type": NOTE * 20},
        {"occurred_at": NOTE},
        {"amount": NOTE},
        {NOTE: 1},
    ],
    ids=lambda fields: f"{next(iter(fields))[:10]} {type(next(iter(fields.values()))).__name__}",
)
def test_an_invalid_command_shows_no_value(client: PointsClient, fields: dict[str, Any]) -> None:
    given = {"tenant_id": "shop", "user_id": PERSON, "event_type": "visit"} | fields
    error = error_of(lambda: command_from("apply-rule", given))
    assert isinstance(error, InvalidCommand)
    assert PERSON not in texts_of(error)


def test_a_key_with_other_content_shows_neither_content(client: PointsClient) -> None:
    def event(note: str) -> AnyCommand:
        return ApplyRule(
            tenant_id="shop", user_id=PERSON, event_type="visit", idempotency_key="k", metadata={"note": note}
        )

    client.enqueue(event("first"))
    error = error_of(lambda: client.enqueue(event(NOTE)))
    assert isinstance(error, IdempotencyKeyReused)
    assert PERSON not in texts_of(error)
    assert NOTE not in texts_of(error)


def test_a_command_that_died_and_a_wait_that_timed_out_show_no_user(client: PointsClient) -> None:
    task_id = client.enqueue(Earn(tenant_id="shop", user_id=PERSON, amount=1, occurred_at=datetime.now(UTC)))
    error = error_of(lambda: client.wait(task_id, timeout=0))
    assert error
    assert PERSON not in texts_of(error)

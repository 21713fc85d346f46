"""The limits of goodwill: what a person may give at once, and in one day of the tenant."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pointledger.api.console import problems
from pointledger.api.console.actions import idempotency_key, key_of
from pointledger.api.console.roles import ADMIN
from pointledger.api.console.visit import Visit
from pointledger.domain.commands import AnyCommand, Refund


def check(visit: Visit, values: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with the points of the form, for this person. Administrators may give any."""
    if ADMIN in visit.session.roles:
        return {}
    points: int = values["amount"]
    most = visit.console.settings.console_goodwill_limit
    if points > most:
        return {"amount": f"Points: at most {most:,} for your role. An administrator may give more."}
    form_key = key_of(visit.form.get("key") or visit.query("key"))
    but_key = idempotency_key(form_key) if form_key else None  # a form that is sent again counts once
    given = visit.console.goodwill.given_today(visit.tenant, visit.session.actor, but_key)
    wrong = _of_day(visit, given, points)
    return {"amount": f"Points: {wrong}"} if wrong else {}


@contextmanager
def counted(visit: Visit, command: AnyCommand) -> Iterator[None]:
    """Check the limit of the day once more, with no other gift of the person at the same time."""
    assert isinstance(command, Refund), "goodwill is a refund without a spend"
    if ADMIN in visit.session.roles:
        yield
        return
    goodwill = visit.console.goodwill
    with goodwill.one_at_a_time(visit.tenant, command.actor, command.idempotency_key) as given:
        if wrong := _of_day(visit, given, command.amount):
            raise problems.problem(422, f"Nothing was given: {wrong}", visit.url("members", command.user_id))
        yield


def _of_day(visit: Visit, given: int, points: int) -> str:
    """Return what is wrong, if the person would give too much today."""
    most = visit.console.settings.console_goodwill_daily_limit
    if given + points <= most:
        return ""
    left = max(most - given, 0)
    figures = f"you gave {given:,} of at most {most:,} a day, so {left:,} are left today"
    return f"{figures}. An administrator may give more."

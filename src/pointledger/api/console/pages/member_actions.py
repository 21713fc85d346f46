"""The pages of an action (`action_table`): a form, what it would do, and the confirmation with a reason."""

from typing import Any

from starlette.responses import Response

from pointledger.api.console import problems
from pointledger.api.console.actions import (
    Action,
    Filled,
    accept,
    await_outcome,
    command_of,
    fill,
    key_of,
    new_key,
    reason_error,
)
from pointledger.api.console.pages.action_table import BY_NAME
from pointledger.api.console.reasons import advice
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.errors import AccountMissing

_TRIAL_REASON = "tried at the console"  # of a dry run, which needs one and keeps none


def form(visit: Visit) -> Response:
    """Show the form of an action. Fields of the address fill it in."""
    action = _action(visit)
    texts = {each.name: visit.query(each.name) for each in action.fields}
    filled = Filled(texts, {}, {})
    return _form(visit, action, filled, key_of(visit.query("key")) or new_key())


def check(visit: Visit) -> Response:
    """Show what the action would do, and ask for the reason."""
    action = _action(visit)
    filled = fill(visit, action, {each.name: visit.query(each.name) for each in action.fields})
    return _confirmation(
        visit, action, filled, key_of(visit.query("key")) or new_key(), visit.query("reason")
    )


def confirm(visit: Visit) -> Response:
    """Send the command. Lead to the member when it is applied, else to the command."""
    action, user_id = _action(visit), visit.path("user_id")
    key, reason = key_of(visit.form.get("key", "")), visit.form.get("reason", "").strip()
    if key is None:
        raise problems.problem(400, "The form has no key. Open it anew.")
    filled = fill(visit, action, visit.form)
    if filled.errors:
        return _form(visit, action, filled, key, status=422)
    if wrong := reason_error(reason):
        return _confirmation(visit, action, filled, key, reason, wrong, status=422)
    command = command_of(visit, action, filled, user_id, reason, key)
    if isinstance(command, str):
        return _form(visit, action, filled, key, wrong=command, status=422)
    with action.around(visit, command):
        task_id = accept(visit, command)
    outcome = await_outcome(visit, task_id)
    if outcome.state == "applied" and action.keeps_member:
        return visit.redirect(visit.url("members", user_id, command=outcome.task_id))
    return visit.redirect(visit.url("commands", outcome.task_id, member=user_id))


def _action(visit: Visit) -> Action:
    action = BY_NAME.get(visit.path("action"))
    if action is None:
        raise problems.not_found()
    visit.require(action.permission)
    return action


def _form(
    visit: Visit, action: Action, filled: Filled, key: str, wrong: str = "", status: int = 200
) -> Response:
    return visit.page(
        "action_form.html",
        status,
        action=action,
        filled=filled,
        key=key,
        wrong=wrong,
        user_id=visit.path("user_id"),
        account=_account(visit),
        current="member",
    )


def _account(visit: Visit) -> dict[str, Any] | None:
    try:
        return visit.queries.account(visit.tenant.tenant_id, visit.path("user_id"))
    except AccountMissing:
        return None


def _confirmation(
    visit: Visit, action: Action, filled: Filled, key: str, reason: str, wrong: str = "", status: int = 200
) -> Response:
    if filled.errors:
        return _form(visit, action, filled, key, status=422)
    user_id = visit.path("user_id")
    command = command_of(visit, action, filled, user_id, _TRIAL_REASON, None)
    if isinstance(command, str):
        return _form(visit, action, filled, key, wrong=command, status=422)
    trial = visit.queries.try_command(command)
    fields = {each.name: filled.texts[each.name] for each in action.fields}
    return visit.page(
        "action_check.html",
        status,
        action=action,
        filled=filled,
        key=key,
        reason=reason,
        wrong=wrong,
        trial=trial,
        advice=advice(trial.refused.reason.value) if trial.refused else None,
        user_id=user_id,
        back=visit.url("members", user_id, "actions", action.name, "check", key=key, **fields),
        change=visit.url("members", user_id, "actions", action.name, key=key, **fields),
        current="member",
    )


ROUTES = (
    PageRoute("members/{user_id}/actions/{action}", "member", form),
    PageRoute("members/{user_id}/actions/{action}/check", "member", check),
    PageRoute("members/{user_id}/actions/{action}", "member", confirm, method="POST", waits=True),
)

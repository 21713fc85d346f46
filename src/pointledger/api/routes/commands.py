"""The routes that change an account: each is a command. The table says which, and which fields it takes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.auth.permissions import forbidden
from pointledger.api.commands import (
    CREATED,
    KEY_PARAMETER,
    PREFER_PARAMETER,
    accept_and_answer,
    key_of,
    not_theirs_to_say,
)
from pointledger.api.guard import principal_of
from pointledger.api.openapi.document import responses_of_command
from pointledger.api.schemas.body import read_object
from pointledger.api.schemas.commands import PointOperationResponse
from pointledger.api.schemas.envelope import Problem
from pointledger.api.schemas.parameters import UserId
from pointledger.api.schemas.points import Head
from pointledger.api.schemas.requests import body_of, request_of
from pointledger.api.schemas.wallets import AdjustBalanceResponse
from pointledger.domain.commands import (
    Adjust,
    AnyCommand,
    ApplyRule,
    ConfirmDeduction,
    Earn,
    Exchange,
    Expire,
    Freeze,
    OpenAccount,
    Refund,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
    WalletAdjust,
    command_from,
)
from pointledger.domain.commands.outcomes import Reason
from pointledger.domain.values.money import SCALES, minor_units, number_text

router = APIRouter(tags=["commands"])

_TOLD = ("reason", "source", "description")


@dataclass(frozen=True, slots=True)
class Door:
    """A route for a command. `fields`: what its body may have; the tenant, and who asks, are in the token,
    the user in the address unless it is among the fields."""

    path: str
    command: type[AnyCommand]
    fields: tuple[str, ...]
    summary: str
    operation: str
    method: str = "POST"
    created: bool = False  # answers 201
    answers: type[Head] = PointOperationResponse


DOORS = (
    Door(
        "/admin/points/apply-rule",
        ApplyRule,
        ("user_id", "event_type", "metadata", "event_id"),
        "An event happened: apply the tenant's rules",
        "apply_rule",
    ),
    Door(
        "/points/{user_id}/earn",
        Earn,
        ("amount", "expires_at", "activates_at", *_TOLD),
        "Grant points",
        "earn",
    ),
    Door("/points/{user_id}/spend", Spend, ("amount", *_TOLD), "Spend points", "spend"),
    Door(
        "/points/{user_id}/transfer",
        Transfer,
        ("to_user_id", "amount", *_TOLD),
        "Give points away",
        "transfer",
    ),
    Door(
        "/points/{user_id}/refund",
        Refund,
        ("related_id", "amount", *_TOLD),
        "Give back what was spent",
        "refund",
    ),
    Door(
        "/points/{user_id}/confirm-deduction",
        ConfirmDeduction,
        ("hold_id", "amount", "reason"),
        "Spend points that are held",
        "confirm_deduction",
    ),
    Door(
        "/admin/points/{user_id}/expire",
        Expire,
        ("amount", "strategy", "description"),
        "Expire points by hand, as many as are available",
        "expire",
    ),
    Door(
        "/admin/points/{user_id}/adjust", Adjust, ("amount", "reason"), "Give points, or take them", "adjust"
    ),
    Door(
        "/admin/points/{user_id}/freeze", Freeze, ("amount", "reason", "expires_at"), "Hold points", "freeze"
    ),
    Door(
        "/admin/points/{user_id}/unfreeze",
        Unfreeze,
        ("hold_id", "amount", "reason"),
        "Release points",
        "unfreeze",
    ),
    Door("/admin/points", OpenAccount, ("user_id",), "Open an account", "open_account", created=True),
    Door(
        "/admin/points/{user_id}/status",
        SetStatus,
        ("status", "reason"),
        "Suspend an account, let it go on, or close it for ever",
        "set_status",
        method="PUT",
    ),
    Door(
        "/points/{user_id}/exchange",
        Exchange,
        ("amount", "exchange_type", *_TOLD),
        "Exchange points for money or a coupon",
        "exchange",
    ),
    Door(
        "/admin/wallets/{user_id}/adjust",
        WalletAdjust,
        ("type", "amount", "currency", "application_id", "reason"),
        "Put money into a wallet, or take it out",
        "adjust_wallet",
        answers=AdjustBalanceResponse,
    ),
)


async def _run(request: Request, door: Door, user_id: str | None) -> Response:
    principal = principal_of(request)
    body = await read_object(request, (*door.fields, "occurred_at"))
    if not principal.is_service and "occurred_at" in body:
        raise not_theirs_to_say()
    fields = body | {
        "tenant_id": principal.tenant_id,
        "actor": principal.subject,
        "idempotency_key": key_of(request),
    }
    if user_id is not None:
        fields["user_id"] = user_id
    if door.command is WalletAdjust:
        _check_money(body)
    command = command_from(door.command.kind, fields)
    if isinstance(command, Refund) and command.related_id is None and not principal.is_admin:
        raise forbidden()  # goodwill is an administrator's
    return await accept_and_answer(request, command, CREATED if door.created else 200)


def _check_money(body: dict[str, Any]) -> None:
    """An amount that is text but no money has a status of its own; one that is no text is malformed."""
    amount, scale = body.get("amount"), SCALES.get(str(body.get("currency")))
    if not isinstance(amount, str):
        return
    try:
        number_text(amount) if scale is None else minor_units(amount, scale)
    except ValueError as error:
        raise Problem(422, f"amount: {error}", reason=Reason.AMOUNT_INVALID) from None


def _add(door: Door) -> None:
    endpoint: Callable[..., Awaitable[Response]]
    if "{user_id}" in door.path:

        async def endpoint(request: Request, user_id: UserId) -> Response:
            return await _run(request, door, user_id)

    else:

        async def endpoint(request: Request) -> Response:
            return await _run(request, door, None)

    router.add_api_route(
        door.path,
        endpoint,
        methods=[door.method],
        name=door.command.kind,
        summary=door.summary,
        description=cleandoc(door.command.__doc__ or ""),
        operation_id=door.operation,
        responses=responses_of_command(door.answers, CREATED if door.created else 200),
        openapi_extra=body_of(request_of(door.command, door.fields), KEY_PARAMETER, PREFER_PARAMETER),
    )


for _door in DOORS:
    _add(_door)

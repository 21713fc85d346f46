"""Routes that accept commands, from a table of paths, commands and fields."""

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
    accept_and_respond,
    key_of,
    occurred_at_forbidden,
    trace_of,
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

_TEXTS = ("reason", "source", "description")


@dataclass(frozen=True, slots=True)
class CommandRoute:
    """A route for a command.

    `fields` are those that the body may have. The tenant and the actor come from the token. The user comes
    from the path unless it is in `fields`.
    """

    path: str
    command: type[AnyCommand]
    fields: tuple[str, ...]
    summary: str
    operation: str
    method: str = "POST"
    created: bool = False  # answers 201
    response: type[Head] = PointOperationResponse


COMMAND_ROUTES = (
    CommandRoute(
        "/admin/points/apply-rule",
        ApplyRule,
        ("user_id", "event_type", "metadata", "event_id"),
        "Apply the tenant's rules to an event",
        "apply_rule",
    ),
    CommandRoute(
        "/points/{user_id}/earn",
        Earn,
        ("amount", "expires_at", "activates_at", *_TEXTS),
        "Grant points",
        "earn",
    ),
    CommandRoute("/points/{user_id}/spend", Spend, ("amount", *_TEXTS), "Spend points", "spend"),
    CommandRoute(
        "/points/{user_id}/transfer",
        Transfer,
        ("to_user_id", "amount", *_TEXTS),
        "Transfer points to another user",
        "transfer",
    ),
    CommandRoute(
        "/points/{user_id}/refund",
        Refund,
        ("related_id", "amount", *_TEXTS),
        "Refund spent points",
        "refund",
    ),
    CommandRoute(
        "/points/{user_id}/confirm-deduction",
        ConfirmDeduction,
        ("hold_id", "amount", "reason"),
        "Spend frozen points",
        "confirm_deduction",
    ),
    CommandRoute(
        "/admin/points/{user_id}/expire",
        Expire,
        ("amount", "strategy", "description"),
        "Expire available points manually",
        "expire",
    ),
    CommandRoute(
        "/admin/points/{user_id}/adjust",
        Adjust,
        ("amount", "reason"),
        "Adjust the balance up or down",
        "adjust",
    ),
    CommandRoute(
        "/admin/points/{user_id}/freeze",
        Freeze,
        ("amount", "reason", "expires_at"),
        "Freeze points",
        "freeze",
    ),
    CommandRoute(
        "/admin/points/{user_id}/unfreeze",
        Unfreeze,
        ("hold_id", "amount", "reason"),
        "Release frozen points",
        "unfreeze",
    ),
    CommandRoute("/admin/points", OpenAccount, ("user_id",), "Open an account", "open_account", created=True),
    CommandRoute(
        "/admin/points/{user_id}/status",
        SetStatus,
        ("status", "reason"),
        "Suspend, reactivate or close an account",
        "set_status",
        method="PUT",
    ),
    CommandRoute(
        "/points/{user_id}/exchange",
        Exchange,
        ("amount", "exchange_type", *_TEXTS),
        "Exchange points for money or a coupon",
        "exchange",
    ),
    CommandRoute(
        "/admin/wallets/{user_id}/adjust",
        WalletAdjust,
        ("type", "amount", "currency", "application_id", "reason"),
        "Deposit money into a wallet or withdraw it",
        "adjust_wallet",
        response=AdjustBalanceResponse,
    ),
)


async def _run(request: Request, route: CommandRoute, user_id: str | None) -> Response:
    principal = principal_of(request)
    body = await read_object(request, (*route.fields, "occurred_at"))
    if not principal.is_service and "occurred_at" in body:
        raise occurred_at_forbidden()
    fields = body | {
        "tenant_id": principal.tenant_id,
        "actor": principal.subject,
        "idempotency_key": key_of(request),
    }
    if trace := trace_of(request):
        fields["extensions"] = trace
    if user_id is not None:
        fields["user_id"] = user_id
    if "sender" in route.command.model_fields:
        fields["sender"] = principal.kind
    if route.command is WalletAdjust:
        _check_money(body)
    command = command_from(route.command.kind, fields)
    if isinstance(command, Refund) and command.related_id is None and not principal.is_admin:
        raise forbidden()  # only an administrator may refund without a spend, as goodwill
    return await accept_and_respond(request, command, CREATED if route.created else 200)


def _check_money(body: dict[str, Any]) -> None:
    """Answer an amount that is a string but not money with 422. Other types are malformed (400)."""
    amount, scale = body.get("amount"), SCALES.get(str(body.get("currency")))
    if not isinstance(amount, str):
        return
    try:
        number_text(amount) if scale is None else minor_units(amount, scale)
    except ValueError as error:
        raise Problem(422, f"amount: {error}", reason=Reason.AMOUNT_INVALID) from None


def _add(route: CommandRoute) -> None:
    endpoint: Callable[..., Awaitable[Response]]
    if "{user_id}" in route.path:

        async def endpoint(request: Request, user_id: UserId) -> Response:
            return await _run(request, route, user_id)

    else:

        async def endpoint(request: Request) -> Response:
            return await _run(request, route, None)

    router.add_api_route(
        route.path,
        endpoint,
        methods=[route.method],
        name=route.command.kind,
        summary=route.summary,
        description=cleandoc(route.command.__doc__ or ""),
        operation_id=route.operation,
        responses=responses_of_command(route.response, CREATED if route.created else 200),
        openapi_extra=body_of(request_of(route.command, route.fields), KEY_PARAMETER, PREFER_PARAMETER),
    )


for _each in COMMAND_ROUTES:
    _add(_each)

"""The tenant's rules, and what an event would bring."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from pointledger.api.guard import by_of, principal_of
from pointledger.api.openapi.document import LOCATION, responses
from pointledger.api.program import shown
from pointledger.api.schemas.body import read_object
from pointledger.api.schemas.envelope import listed, said
from pointledger.api.schemas.parameters import Id
from pointledger.api.schemas.program import RuleListResponse, RuleResponse
from pointledger.api.schemas.queries import DryRunResponse
from pointledger.api.schemas.requests import EVENT, RULE, body_of
from pointledger.api.state import gateway_of
from pointledger.domain.commands import ApplyRule, command_from
from pointledger.domain.program.rule import rule_from
from pointledger.ids import parse_id, show_id


class _NotTest(APIRoute):
    """`/test` is an address of its own, with methods of its own: it is no rule's id."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        if found.get("path_params", {}).get("id") == "test":
            return Match.NONE, {}
        return match, found


router = APIRouter(prefix="/admin/point-rules", tags=["programme"], route_class=_NotTest)

_EVENT_FIELDS = tuple(EVENT.model_fields)
IncludeDisabled = Annotated[bool, Query(description="Those that are switched off, too.")]


@router.get(
    "", operation_id="list_rules", responses=responses(RuleListResponse), summary="The tenant's rules"
)
async def rules(request: Request, include_disabled: IncludeDisabled = False) -> Response:
    """In the order in which they are tried."""
    gateway = gateway_of(request)
    found = await gateway.ask(gateway.programme.rules, principal_of(request).tenant_id)
    items = [shown(rule) for rule in found if include_disabled or rule.body.enabled]
    return listed(items, total=len(items), page=1, page_size=max(len(items), 1))


@router.post(
    "",
    operation_id="add_rule",
    status_code=201,
    responses=responses(RuleResponse, 200, 409, status=201, body=True, headers=LOCATION),
    openapi_extra=body_of(RULE),
    summary="Add a rule",
)
async def add_rule(request: Request) -> Response:
    """In force since ever, so that events of the past find it, too. The same rule again changes nothing."""
    gateway = gateway_of(request)
    body = rule_from(await read_object(request, decimals=True))
    tenant_id, by = principal_of(request).tenant_id, by_of(request)
    rule, is_new = await gateway.ask(gateway.programme.add_rule, tenant_id, body, by)
    if not is_new:
        return said(shown(rule))
    headers = {"Location": f"{router.prefix}/{show_id(rule.id)}"}
    return said(shown(rule), status=201, headers=headers)


@router.post(
    "/test",
    operation_id="test_rule",
    responses=responses(DryRunResponse, body=True),
    openapi_extra=body_of(EVENT),
    summary="What an event would bring",
)
async def try_event(request: Request) -> Response:
    """Which rules would grant what if it happened now, and why the others would not. Nothing changes."""
    gateway = gateway_of(request)
    given = await read_object(request, _EVENT_FIELDS)
    command = command_from(ApplyRule.kind, given | {"tenant_id": principal_of(request).tenant_id})
    assert isinstance(command, ApplyRule), "that is its kind"
    return said((await gateway.ask(gateway.lookups.dry_run, command)).as_json())


@router.get("/{id}", operation_id="get_rule", responses=responses(RuleResponse), summary="A rule")
async def rule(request: Request, id: Id) -> Response:
    """In its latest version."""
    gateway = gateway_of(request)
    tenant_id = principal_of(request).tenant_id
    return said(shown(await gateway.ask(gateway.programme.rule, tenant_id, parse_id(id))))


@router.put(
    "/{id}",
    operation_id="put_rule",
    responses=responses(RuleResponse, 409, body=True),
    openapi_extra=body_of(RULE),
    summary="Change a rule",
)
async def put_rule(request: Request, id: Id) -> Response:
    """All of it, but its name. Events that happened before find the version of then."""
    gateway = gateway_of(request)
    body = rule_from(await read_object(request, decimals=True))
    tenant_id, by = principal_of(request).tenant_id, by_of(request)
    return said(shown(await gateway.ask(gateway.programme.put_rule, tenant_id, parse_id(id), body, by)))


@router.delete(
    "/{id}", operation_id="delete_rule", responses=responses(RuleResponse), summary="Switch a rule off"
)
async def delete_rule(request: Request, id: Id) -> Response:
    """It grants nothing more; its versions stay, for what they granted must be explained."""
    gateway = gateway_of(request)
    tenant_id, by = principal_of(request).tenant_id, by_of(request)
    return said(shown(await gateway.ask(gateway.programme.switch_off, tenant_id, parse_id(id), by)))

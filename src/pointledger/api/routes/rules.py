"""Routes for the tenant's rules and for dry runs of events."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from pointledger.api.guard import actor_of, principal_of
from pointledger.api.openapi.document import LOCATION, responses
from pointledger.api.program import rule_as_json
from pointledger.api.schemas.body import read_object
from pointledger.api.schemas.envelope import data_response, list_response
from pointledger.api.schemas.parameters import Id
from pointledger.api.schemas.program import RuleListResponse, RuleResponse
from pointledger.api.schemas.queries import DryRunResponse
from pointledger.api.schemas.requests import EVENT, RULE, body_of
from pointledger.api.state import state_of
from pointledger.domain.commands import ApplyRule, command_from
from pointledger.domain.program.rule import rule_from
from pointledger.ids import parse_id, show_id


class _RuleRoute(APIRoute):
    """A route that never takes `test` for a rule's id, because `/test` has its own methods."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        if found.get("path_params", {}).get("id") == "test":
            return Match.NONE, {}
        return match, found


router = APIRouter(prefix="/admin/point-rules", tags=["program"], route_class=_RuleRoute)

_EVENT_FIELDS = tuple(EVENT.model_fields)
IncludeDisabled = Annotated[bool, Query(description="Include disabled rules.")]


@router.get(
    "", operation_id="list_rules", responses=responses(RuleListResponse), summary="List the tenant's rules"
)
async def rules(request: Request, include_disabled: IncludeDisabled = False) -> Response:
    """Returns the rules in evaluation order."""
    api = state_of(request)
    found = await api.run_in_thread(api.program.rules, principal_of(request).tenant_id)
    items = [rule_as_json(rule) for rule in found if include_disabled or rule.body.enabled]
    return list_response(items, total=len(items), page=1, page_size=max(len(items), 1))


@router.post(
    "",
    operation_id="add_rule",
    status_code=201,
    responses=responses(RuleResponse, 200, 409, status=201, body=True, headers=LOCATION),
    openapi_extra=body_of(RULE),
    summary="Add a rule",
)
async def add_rule(request: Request) -> Response:
    """Adds a rule that also applies to events of the past. Adding an identical rule again changes nothing."""
    api = state_of(request)
    fields = await read_object(request, decimals=True)
    body = await api.run_in_thread(rule_from, fields)  # compiling takes milliseconds
    tenant_id, actor = principal_of(request).tenant_id, actor_of(request)
    rule, is_new = await api.run_in_thread(api.program.add_rule, tenant_id, body, actor)
    if not is_new:
        return data_response(rule_as_json(rule))
    headers = {"Location": f"{router.prefix}/{show_id(rule.id)}"}
    return data_response(rule_as_json(rule), status=201, headers=headers)


@router.post(
    "/test",
    operation_id="test_rule",
    responses=responses(DryRunResponse, body=True),
    openapi_extra=body_of(EVENT),
    summary="Dry-run an event",
)
async def try_event(request: Request) -> Response:
    """Returns what each rule would grant if the event happened now, or why it would not. Changes nothing."""
    api = state_of(request)
    given = await read_object(request, _EVENT_FIELDS)
    command = command_from(ApplyRule.kind, given | {"tenant_id": principal_of(request).tenant_id})
    assert isinstance(command, ApplyRule), "the kind determines the class"
    return data_response((await api.run_in_thread(api.queries.dry_run, command)).as_json())


@router.get("/{id}", operation_id="get_rule", responses=responses(RuleResponse), summary="Get a rule")
async def rule(request: Request, id: Id) -> Response:
    """Returns the latest version."""
    api = state_of(request)
    tenant_id = principal_of(request).tenant_id
    return data_response(rule_as_json(await api.run_in_thread(api.program.rule, tenant_id, parse_id(id))))


@router.put(
    "/{id}",
    operation_id="put_rule",
    responses=responses(RuleResponse, 409, body=True),
    openapi_extra=body_of(RULE),
    summary="Replace a rule",
)
async def put_rule(request: Request, id: Id) -> Response:
    """Replaces everything but the name. Earlier events still use the version that was in force then."""
    api = state_of(request)
    fields = await read_object(request, decimals=True)
    body = await api.run_in_thread(rule_from, fields)  # compiling takes milliseconds
    tenant_id, actor = principal_of(request).tenant_id, actor_of(request)
    return data_response(
        rule_as_json(await api.run_in_thread(api.program.put_rule, tenant_id, parse_id(id), body, actor))
    )


@router.delete(
    "/{id}", operation_id="delete_rule", responses=responses(RuleResponse), summary="Disable a rule"
)
async def delete_rule(request: Request, id: Id) -> Response:
    """Disables the rule. Its versions remain, so that past grants can still be explained."""
    api = state_of(request)
    tenant_id, actor = principal_of(request).tenant_id, actor_of(request)
    return data_response(
        rule_as_json(await api.run_in_thread(api.program.disable_rule, tenant_id, parse_id(id), actor))
    )

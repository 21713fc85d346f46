"""Our own description against ourselves: schemathesis makes up requests from /openapi.json, good and bad, and
looks for server errors, statuses and shapes that are not described, requests that are accepted or refused
otherwise than described, and routes that ignore the token."""

import re
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from pointledger.api.auth.permissions import TABLE
from pointledger.api.openapi.examples import BODIES
from tests.api import schemathesis_hooks
from tests.api.described import DESCRIPTION, check_described
from tests.api.served import Served

pytest_plugins = ["schemathesis.pytest.plugin"]  # it makes the tests; pyproject.toml keeps it from the others

_EXAMPLES = 6  # of each route: the long test has twice as many, and more phases

_DEAR = ("add_rule", "put_rule", "put_config", "apply_rule", "test_rule")  # seconds before the first request
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION).exclude(operation_id=list(_DEAR))
assert schemathesis_hooks, "it says what no schema can"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    response_schema_conformance,
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    unsupported_method,
    allow_header_conformance,
]


@SCHEMA.parametrize()
@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_a_described_one(case: schemathesis.Case[Any], served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.admin}"}
    case.call_and_validate(base_url=served.url, headers=headers, checks=CHECKS)


def test_every_route_is_described_and_says_whether_it_needs_a_token() -> None:
    described = {
        (method.upper(), path): operation
        for path, operations in DESCRIPTION["paths"].items()
        for method, operation in operations.items()
    }
    assert set(described) == {
        place for place in TABLE if place[1] not in ("/openapi.json", "/docs", "/docs/{asset}")
    }
    for place, operation in described.items():
        assert bool(operation.get("security")) == (TABLE[place] is not None), place
        assert operation["summary"] or operation["description"]


def _operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, operations in DESCRIPTION["paths"].items()
        for method, operation in operations.items()
    }


def test_every_body_has_examples_and_the_gateway_takes_each(served: Served) -> None:
    served.ledger.tenant("example", transfer_enabled=True)
    admin = served.issuer.admin("example")
    added = served.post("/admin/point-rules", admin, BODIES["add_rule"]["with flat names"]["value"])
    served.post("/points/ben/earn", admin, {"amount": 1})
    for name, (method, path, operation) in _operations().items():
        if "requestBody" not in operation:
            continue
        for example, told in operation["requestBody"]["content"]["application/json"]["examples"].items():
            user = f"{name}-{example}".replace(" ", "-")
            body = told["value"]
            if (
                "{user_id}" in path
            ):  # somebody with points, a hold and a spend, whose ids take the example's place
                served.post(f"/points/{user}/earn", admin, {"amount": 100})
                held = served.post(f"/admin/points/{user}/freeze", admin, {"amount": 5}).json()["data"]
                spent = served.post(f"/points/{user}/spend", admin, {"amount": 5}).json()["data"]
                ids = {"hold_id": held["hold_id"], "related_id": spent["transaction"]["id"]}
                body = body | {field: ids[field] for field in ids if field in body}
            address = path.replace("{user_id}", user).replace("{id}", added.json()["data"]["id"])
            answer = served.call(method, address, admin, body, key=user)
            assert answer.status_code in (200, 201, 202), (name, example, answer.text)


def test_operation_ids_are_short_and_links_lead_to_operations_and_their_parameters() -> None:
    operations = _operations()
    assert {"earn", "transfer", "list_transactions"} <= operations.keys()
    assert all(re.fullmatch("[a-z]+(_[a-z]+){0,3}", name) for name in operations)
    for _, _, operation in operations.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                _, _, target = operations[link["operationId"]]
                known = {parameter["name"] for parameter in target["parameters"]}
                assert link["parameters"].keys() <= known


def test_no_body_takes_what_it_does_not_name() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    bodies = [name for name in schemas if name.endswith(("Request", "Input"))]
    assert len(bodies) > 20
    for name in bodies:
        assert schemas[name]["additionalProperties"] is False, name


def test_an_answer_with_a_field_that_is_not_described_would_be_found(served: Served) -> None:
    served.earn("shown", 1)
    answer = served.get("/points/shown", served.till)
    told = answer.json() | {"data": answer.json()["data"] | {"surprise": 1}}
    strange = httpx.Response(200, json=told, request=answer.request)
    with pytest.raises(AssertionError, match="surprise"):
        check_described(strange)
    with pytest.raises(AssertionError, match="is not described"):
        check_described(httpx.Response(418, json={}, request=answer.request))
    with pytest.raises(AssertionError, match="without Allow"):
        check_described(httpx.Response(405, json={}, request=answer.request))

"""The API conforms to its OpenAPI document.

schemathesis generates valid and invalid requests from /openapi.json. It reports server errors, undocumented
statuses and schemas, undocumented acceptance or rejection, and routes that ignore the token.
"""

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
from tests.api.environment import ApiEnvironment
from tests.api.openapi import DOCUMENT, check_response

# The plugin generates the tests. pyproject.toml disables it for other modules.
pytest_plugins = ["schemathesis.pytest.plugin"]

_EXAMPLES = 6  # per route; the long test has more examples and phases

# schemathesis takes seconds to generate the first request for these.
_SLOW = ("add_rule", "put_rule", "put_config", "apply_rule", "test_rule")
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(operation_id=list(_SLOW))
assert schemathesis_hooks, "its import registers hooks"
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
def test_responses_conform_to_the_document(case: schemathesis.Case[Any], api: ApiEnvironment) -> None:
    headers = {"Authorization": f"Bearer {api.admin}"}
    case.call_and_validate(base_url=api.url, headers=headers, checks=CHECKS)


def test_every_route_is_documented_with_its_security() -> None:
    documented = {
        (method.upper(), path): operation
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    assert set(documented) == {
        place for place in TABLE if place[1] not in ("/openapi.json", "/docs", "/docs/{asset}")
    }
    for place, operation in documented.items():
        assert bool(operation.get("security")) == (TABLE[place] is not None), place
        assert operation["summary"] or operation["description"]


def _operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }


def test_every_body_has_examples_that_the_api_accepts(api: ApiEnvironment) -> None:
    api.ledger.tenant("example", transfer_enabled=True)
    admin = api.issuer.admin("example")
    added = api.post("/admin/point-rules", admin, BODIES["add_rule"]["with flat names"]["value"])
    api.post("/points/ben/earn", admin, {"amount": 1})
    for name, (method, path, operation) in _operations().items():
        if "requestBody" not in operation:
            continue
        for example, content in operation["requestBody"]["content"]["application/json"]["examples"].items():
            user = f"{name}-{example}".replace(" ", "-")
            body = content["value"]
            if "{user_id}" in path:  # create points, a hold and a spend, and use their ids in the example
                api.post(f"/points/{user}/earn", admin, {"amount": 100})
                held = api.post(f"/admin/points/{user}/freeze", admin, {"amount": 5}).json()["data"]
                spent = api.post(f"/points/{user}/spend", admin, {"amount": 5}).json()["data"]
                ids = {"hold_id": held["hold_id"], "related_id": spent["transaction"]["id"]}
                body = body | {field: ids[field] for field in ids if field in body}
            address = path.replace("{user_id}", user).replace("{id}", added.json()["data"]["id"])
            answer = api.call(method, address, admin, body, key=user)
            assert answer.status_code in (200, 201, 202), (name, example, answer.text)


def test_operation_ids_are_short_and_links_name_existing_operations_and_parameters() -> None:
    operations = _operations()
    assert {"earn", "transfer", "list_transactions"} <= operations.keys()
    assert all(re.fullmatch("[a-z]+(_[a-z]+){0,3}", name) for name in operations)
    for _, _, operation in operations.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                _, _, target = operations[link["operationId"]]
                known = {parameter["name"] for parameter in target["parameters"]}
                assert link["parameters"].keys() <= known


def test_no_body_allows_undocumented_fields() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    bodies = [name for name in schemas if name.endswith(("Request", "Input"))]
    assert len(bodies) > 20
    for name in bodies:
        assert schemas[name]["additionalProperties"] is False, name


def test_the_check_finds_undocumented_fields_statuses_and_headers(api: ApiEnvironment) -> None:
    api.earn("shown", 1)
    answer = api.get("/points/shown", api.till)
    body = answer.json() | {"data": answer.json()["data"] | {"surprise": 1}}
    undocumented = httpx.Response(200, json=body, request=answer.request)
    with pytest.raises(AssertionError, match="surprise"):
        check_response(undocumented)
    with pytest.raises(AssertionError, match="is not documented"):
        check_response(httpx.Response(418, json={}, request=answer.request))
    with pytest.raises(AssertionError, match="without Allow"):
        check_response(httpx.Response(405, json={}, request=answer.request))

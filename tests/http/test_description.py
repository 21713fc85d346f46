"""Our own description against ourselves: schemathesis makes up requests from /openapi.json, good and bad, and
looks for server errors, statuses and shapes that are not described, requests that are accepted or refused
otherwise than described, and routes that ignore the token."""

from typing import Any

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

from pointledger.http.access import TABLE
from tests.http import schemathesis_hooks
from tests.http.described import DESCRIPTION
from tests.http.served import Served

_EXAMPLES = 6  # of each route: the long test has ten thousand in all

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
    assert set(described) == set(TABLE) - {("GET", "/openapi.json")}
    for place, operation in described.items():
        assert bool(operation.get("security")) == (TABLE[place] is not None), place
        assert operation["summary"] or operation["description"]

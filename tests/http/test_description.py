"""Our own description against ourselves: schemathesis makes up requests from /openapi.json, good and bad, and
looks for server errors, statuses and shapes that are not described, and routes that ignore the token."""

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
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from pointledger.http.access import TABLE
from pointledger.http.app import create_app
from pointledger.settings import Settings
from tests.http.served import Served

_EXAMPLES = 12  # of each route; more find nothing more, and cost a second each ten

DESCRIPTION = create_app(Settings()).openapi()
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    response_schema_conformance,
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
]
EXCLUDED: dict[str, list[Any]] = {
    "/admin/point-rules/test": [unsupported_method],  # PUT there is PUT of a rule whose id is none
    "/admin/points/batch-earn": [negative_data_rejection],  # a row that is no earn is refused by itself
}


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
    case.call_and_validate(
        base_url=served.url, headers=headers, checks=CHECKS, excluded_checks=EXCLUDED.get(case.path, [])
    )


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

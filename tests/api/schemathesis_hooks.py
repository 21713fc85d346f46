"""Configures schemathesis for this API (`schemathesis.toml` names this module).

Custom formats get strategies, so that schemathesis generates valid requests. The API may also reject a
request that the OpenAPI document allows, for reasons that the document describes in words. These hooks
recognize each reason by the request and the response together. Every other rejection is a failure.
"""

import json
from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

from pointledger.domain.values.json_values import METADATA_BYTES

CONDITIONS = ["true", "event.amount_minor >= 1000", "has(event.channel) && event.channel == 'app'"]
FORMULAS = ["1", "account.balance / 100", "has(event.n) ? int(event.n) : 0"]
ZONES = ["UTC", "Europe/Berlin", "Asia/Shanghai", "America/St_Johns", "Pacific/Apia"]

# Messages of checks that compare two fields of a rule.
_CONTRADICTIONS = (
    "min is at most max",
    "each bracket's from must be above the one before it",
    "from lies before until",
    "expiry.date lies before the last points become available",
)

schemathesis.openapi.format("cel-bool", st.sampled_from(CONDITIONS))
schemathesis.openapi.format("cel-int", st.sampled_from(FORMULAS))
schemathesis.openapi.format("iana-time-zone", st.sampled_from(ZONES))
schemathesis.openapi.format("idempotency-key", st.uuids().map(str))


@schemathesis.hook
def filter_failure(_: Any, failure: Any, case: Any, response: Any) -> bool:
    """Return False for a rejection that the document describes in words."""
    if isinstance(failure, UseAfterFree):  # a disabled rule can still be read
        return not failure.usage.startswith("GET /admin/point-rules/")
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = json.loads(response.content)
    return not _is_documented_rejection(case, problem["code"], problem.get("reason"), problem["message"])


def _is_documented_rejection(case: Any, status: int, reason: str | None, message: str) -> bool:
    operation, body = case.operation.definition.raw["operationId"], case.body
    match status, reason:
        case 422, "IDEMPOTENCY_KEY_REUSED":
            return "event_id" in body or any(name.lower() == "x-idempotency-key" for name in case.headers)
        case 422, "AMOUNT_INVALID" | "CURRENCY_MISMATCH":
            return bool(operation == "adjust_wallet")
        case 400, "SELF_TRANSFER":
            return bool(body["to_user_id"] == case.path_parameters["user_id"])
        case 400, None if "expires_at lies after activates_at" in message:
            return bool(operation == "earn" and body.get("expires_at") and body.get("activates_at"))
        case 400, None if "valid integer" in message:
            return any(isinstance(value, float) and value.is_integer() for value in _values(body))
        case 400, None if operation in ("add_rule", "put_rule"):
            return any(contradiction in message for contradiction in _CONTRADICTIONS)
        case 400, None if "until: must be from" in message:
            return bool(operation == "list_days" and "until" in case.query)
        case 400, None if "larger than" in message:
            return len(json.dumps(body["metadata"])) > METADATA_BYTES
    return False


def _values(value: Any) -> Iterator[Any]:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _values(each)

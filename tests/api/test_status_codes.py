"""The table of HTTP statuses is complete, and matches the specification."""

import re

from pointledger import errors
from pointledger.api.schemas.status_codes import OF_FAILURE, OF_REASON
from pointledger.domain.commands.outcomes import CANCELLED, IDEMPOTENCY_KEY_REUSED, INVALID_COMMAND, Reason

# Copied from the specification's list of refusals.
SPECIFIED = """TENANT_UNKNOWN 404, FEATURE_DISABLED 403, SELF_TRANSFER 400, ACCOUNT_NOT_FOUND 404,
ACCOUNT_SUSPENDED 409, ACCOUNT_CLOSED 409, RECIPIENT_NOT_FOUND 404, RECIPIENT_INACTIVE 409,
RELATED_NOT_FOUND 404, RELATED_NOT_REVERSIBLE 409, NO_MATCHING_RULE 404, BELOW_MINIMUM 409,
LIMIT_REACHED 409, MAX_BALANCE 409, INSUFFICIENT_BALANCE 409, INSUFFICIENT_FROZEN 409"""


def test_every_reason_has_a_status() -> None:
    assert set(OF_REASON) == {*Reason, CANCELLED, INVALID_COMMAND, IDEMPOTENCY_KEY_REUSED}


def test_the_statuses_match_the_specification() -> None:
    for reason, status in re.findall(r"([A-Z_]+) (\d+)", SPECIFIED):
        assert OF_REASON[reason] == int(status)


def test_no_refusal_is_a_server_error() -> None:
    for status in [*OF_REASON.values(), *(status for status, _, _ in OF_FAILURE.values())]:
        assert 400 <= status < 500


def test_the_table_of_failures_has_only_ledger_errors() -> None:
    assert all(issubclass(kind, errors.LedgerError) for kind in OF_FAILURE)

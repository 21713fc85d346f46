"""Builds responses from outcomes.

A retry gets the same bytes as the first request, because the timestamp and all fields come from the outcome.
"""

from typing import Any

from starlette.responses import Response

from pointledger.api.queries import Page
from pointledger.api.schemas.envelope import Problem, data_response, list_response
from pointledger.api.schemas.status_codes import OF_REASON, UNAVAILABLE
from pointledger.client.queries.results import Explanation, iso
from pointledger.ids import show_id
from pointledger.storage.queries.outcomes import Result

REPLAYED = "Idempotent-Replayed"


def outcome_response(result: Result, headers: dict[str, str], status: int = 200) -> Response:
    """Build the response to a command with a final outcome. `status` applies if the command was applied."""
    if result.state == "applied":
        return data_response(outcome_data(result), status=status, at=result.applied_at, headers=headers)
    if result.state == "refused":
        reason = result.reason or ""
        problem = Problem(OF_REASON[reason], result.message or reason, reason=reason, headers=headers)
        return problem.response(result.applied_at)
    message = "the command could not be applied; an operator must retry it"
    return Problem(UNAVAILABLE, message, headers=headers | {"Location": _task_address(result)}).response()


def accepted_response(task_id: str, headers: dict[str, str]) -> Response:
    """Build the 202 response of an accepted command, with the URL of its task."""
    location = {"Location": f"/tasks/{task_id}"}
    return data_response(
        {"task_id": task_id, "state": "pending"}, status=202, message="accepted", headers=headers | location
    )


def task_data(result: Result) -> dict[str, Any]:
    """Return an outcome as GET /tasks/{task_id} shows it. `data` is that of the command's response."""
    return {
        "task_id": show_id(result.requested_id),
        "tenant_id": result.tenant_id,
        "kind": result.kind,
        "state": result.state,
        "reason": result.reason,
        "message": result.message,
        "accepted_at": iso(result.accepted_at),
        "applied_at": iso(result.applied_at) if result.applied_at else None,
        "data": outcome_data(result) if result.state == "applied" else None,
    }


def outcome_data(result: Result) -> dict[str, Any]:
    """Return the effect of an applied command: the account afterwards, and its transactions."""
    data = dict(result.data or {})
    if "wallet" in data:
        data |= {
            "wallet": present(data["wallet"] | _owner(result)),
            "wallet_transaction": _wallet_transaction(result, data["wallet_transaction"]),
        }
    if result.kind == "wallet-adjust":
        data["transaction"] = data.pop("wallet_transaction")
    account = data.get("account")
    if not isinstance(account, dict):
        return data
    data["account"] = present(account | _account_fields(result))
    if "transactions" in data:
        fields = _transaction_fields(result, account["id"])
        data["transactions"] = [present(entry | fields) for entry in data["transactions"]]
        # Some clients read a single transaction: give them the one of highest priority.
        data.pop("transaction", None)
        if data["transactions"]:
            data["transaction"] = data["transactions"][0]
    return data


def explanation_data(found: Explanation) -> dict[str, Any]:
    """Return an explanation. The command's outcome is left out: `GET /tasks/{task_id}` has it."""
    command = found.command and {name: value for name, value in found.command.items() if name != "data"}
    return {
        "sentences": found.sentences,
        "transaction": present(found.entry),
        "command": command and present(command),
        "rule": found.rule and present(found.rule),
        "grant": found.grant,
        "lots_moved": [present(lot) for lot in found.lots_moved],
        "lots_arrived": [present(lot) for lot in found.lots_arrived],
    }


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """Drop fields that are None, because the API's fields are optional but never null."""
    return {name: value for name, value in fields.items() if value is not None}


def page_response(found: Page, items: list[dict[str, Any]], *, page: int, page_size: int) -> Response:
    """Build the response for a page, with its items in their JSON form."""
    cursor = None if found.next_before is None else str(found.next_before)
    return list_response(items, total=found.total, page=page, page_size=page_size, next_cursor=cursor)


def _task_address(result: Result) -> str:
    return f"/tasks/{show_id(result.id)}"


def _account_fields(result: Result) -> dict[str, Any]:
    changed_at = result.applied_at if result.kind == "set-status" else result.account_changed_at
    return {
        "tenant_id": result.tenant_id,
        "points_type": result.points_type,
        "exchange_rate": result.exchange_rate,
        "created_at": iso(result.account_created_at) if result.account_created_at else None,
        "updated_at": iso(changed_at) if changed_at else None,
    }


def _owner(result: Result) -> dict[str, Any]:
    return {"tenant_id": result.tenant_id, "user_id": result.user_id}


def _wallet_transaction(result: Result, entry: dict[str, Any]) -> dict[str, Any]:
    fields = {
        "status": "completed",
        "description": result.given_reason,
        "reference_id": entry["related_id"] or result.idempotency_key,
        "created_at": iso(result.applied_at) if result.applied_at else None,
    }
    return present(entry | fields)


def _transaction_fields(result: Result, account_id: str) -> dict[str, Any]:
    at = iso(result.applied_at) if result.applied_at else None
    return {
        "account_id": account_id,
        "user_id": result.user_id,
        "status": "completed",
        "source": result.source,
        "reason": result.given_reason,
        "description": result.description,
        "idempotency_key": result.idempotency_key,
        "created_at": at,
        "updated_at": at,
    }

"""From an outcome to the answer, in the fields of the API's pages. A repetition gets the same answer to the
byte: its moment is the outcome's, and nothing in it is of today."""

from typing import Any

from starlette.responses import Response

from pointledger.api.queries import Page
from pointledger.api.schemas.envelope import Problem, listed, said
from pointledger.api.schemas.status_codes import OF_REASON, UNAVAILABLE
from pointledger.client.queries.results import iso
from pointledger.ids import show_id
from pointledger.storage.queries.outcomes import Answered

REPLAYED = "Idempotent-Replayed"


def answer_of(answered: Answered, headers: dict[str, str], status: int = 200) -> Response:
    """The answer to a command whose outcome is there; `status` if it was applied."""
    if answered.state == "applied":
        return said(data_of(answered), status=status, at=answered.applied_at, headers=headers)
    if answered.state == "refused":
        reason = answered.reason or ""
        problem = Problem(OF_REASON[reason], answered.message or reason, reason=reason, headers=headers)
        return problem.answer(answered.applied_at)
    message = "the command could not be applied, and an operator must see to it"
    return Problem(UNAVAILABLE, message, headers=headers | {"Location": address_of(answered)}).answer()


def not_yet(task_id: str, headers: dict[str, str]) -> Response:
    """The command is accepted, and will be applied; where to ask."""
    location = {"Location": f"/tasks/{task_id}"}
    return said(
        {"task_id": task_id, "state": "pending"}, status=202, message="accepted", headers=headers | location
    )


def task_of(answered: Answered) -> dict[str, Any]:
    """An outcome as GET /tasks/{task_id} tells it; its `data` is that of the answer."""
    return {
        "task_id": show_id(answered.asked_id),
        "tenant_id": answered.tenant_id,
        "kind": answered.kind,
        "state": answered.state,
        "reason": answered.reason,
        "message": answered.message,
        "accepted_at": iso(answered.accepted_at),
        "applied_at": iso(answered.applied_at) if answered.applied_at else None,
        "data": data_of(answered) if answered.state == "applied" else None,
    }


def data_of(answered: Answered) -> dict[str, Any]:
    """What an applied command did: the account as it left it, and its transactions."""
    data = dict(answered.data or {})
    if "wallet" in data:
        data |= {
            "wallet": present(data["wallet"] | _owner(answered)),
            "wallet_transaction": _money_moved(answered, data["wallet_transaction"]),
        }
    if answered.kind == "wallet-adjust":
        data["transaction"] = data.pop("wallet_transaction")
    account = data.get("account")
    if not isinstance(account, dict):
        return data
    data["account"] = present(account | _account_beside(answered))
    if "transactions" in data:
        beside = _transaction_beside(answered, account["id"])
        data["transactions"] = [present(entry | beside) for entry in data["transactions"]]
        # The one of highest priority, where one is asked for: the API's pages know only one.
        data.pop("transaction", None)
        if data["transactions"]:
            data["transaction"] = data["transactions"][0]
    return data


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is not there: the pages' fields are optional, but never null."""
    return {name: value for name, value in fields.items() if value is not None}


def paged(found: Page, items: list[dict[str, Any]], *, page: int, page_size: int) -> Response:
    """The answer to a question for a page, with its items as they are shown."""
    cursor = None if found.next_before is None else str(found.next_before)
    return listed(items, total=found.total, page=page, page_size=page_size, next_cursor=cursor)


def address_of(answered: Answered) -> str:
    """Where the task is."""
    return f"/tasks/{show_id(answered.id)}"


def _account_beside(answered: Answered) -> dict[str, Any]:
    changed_at = answered.applied_at if answered.kind == "set-status" else answered.account_changed_at
    return {
        "tenant_id": answered.tenant_id,
        "points_type": answered.points_type,
        "exchange_rate": answered.exchange_rate,
        "created_at": iso(answered.account_created_at) if answered.account_created_at else None,
        "updated_at": iso(changed_at) if changed_at else None,
    }


def _owner(answered: Answered) -> dict[str, Any]:
    return {"tenant_id": answered.tenant_id, "user_id": answered.user_id}


def _money_moved(answered: Answered, entry: dict[str, Any]) -> dict[str, Any]:
    beside = {
        "status": "completed",
        "description": answered.given_reason,
        "reference_id": entry["related_id"] or answered.idempotency_key,
        "created_at": iso(answered.applied_at) if answered.applied_at else None,
    }
    return present(entry | beside)


def _transaction_beside(answered: Answered, account_id: str) -> dict[str, Any]:
    at = iso(answered.applied_at) if answered.applied_at else None
    return {
        "account_id": account_id,
        "user_id": answered.user_id,
        "status": "completed",
        "source": answered.source,
        "reason": answered.given_reason,
        "description": answered.description,
        "idempotency_key": answered.idempotency_key,
        "created_at": at,
        "updated_at": at,
    }

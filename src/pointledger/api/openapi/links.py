"""Links of the OpenAPI document: which values of a response or request another operation takes."""

from typing import Any

Links = dict[str, dict[str, Any]]


def _link(operation: str, body: dict[str, str] | None = None, **parameters: str) -> dict[str, Any]:
    link: dict[str, Any] = {"operationId": operation, "parameters": parameters}
    return link | ({"requestBody": body} if body else {})


def _in(pointer: str) -> str:
    return f"$response.body#/{pointer}"


_USER, _OF_ACCOUNT = "$request.path.user_id", _in("data/account/user_id")
_TASK: Links = {"task": _link("get_task", task_id=_in("data/task_id"))}
_TRANSACTION = _link("get_transaction", user_id=_OF_ACCOUNT, tx_id=_in("data/transaction/id"))
_APPLIED: Links = {
    "account": _link("get_account", user_id=_OF_ACCOUNT),
    "integrity": _link("check_integrity", account_id=_in("data/account/id")),
}
_WRITTEN: Links = _APPLIED | {"transaction": _TRANSACTION}
_RULE: Links = {
    name: _link(operation, id=_in("data/id"))
    for name, operation in (("rule", "get_rule"), ("change", "put_rule"), ("off", "delete_rule"))
}
_HOLD: Links = {
    "capture": _link("confirm_deduction", {"hold_id": _in("data/hold_id")}, user_id=_USER),
    "release": _link("unfreeze", {"hold_id": _in("data/hold_id")}, user_id=_USER),
}
_SPENT: Links = {
    "refund": _link(
        "refund",
        {"related_id": _in("data/transaction/id"), "amount": _in("data/transaction/amount")},
        user_id=_USER,
    )
}
_WALLET: Links = {
    "wallet": _link("get_wallet", user_id=_USER),
    "transactions": _link("list_wallet_transactions", user_id=_USER),
}
_WRITING = (
    "apply_rule", "earn", "transfer", "refund", "confirm_deduction", "expire", "adjust", "unfreeze",
)  # fmt: skip

LINKS: dict[str, dict[int, Links]] = {
    **{name: {200: _WRITTEN, 202: _TASK} for name in _WRITING},
    "spend": {200: _WRITTEN | _SPENT, 202: _TASK},
    "exchange": {200: _WRITTEN, 202: _TASK},
    "freeze": {200: _WRITTEN | _HOLD, 202: _TASK},
    "set_status": {200: _APPLIED, 202: _TASK},
    "open_account": {201: _APPLIED, 202: _TASK},
    "adjust_wallet": {200: _WALLET, 202: _TASK},
    "batch_earn": {202: {"task": _link("get_task", task_id=_in("data/batch_id"))}},
    "get_account": {
        200: {
            "transactions": _link("list_transactions", user_id=_in("data/user_id")),
            "integrity": _link("check_integrity", account_id=_in("data/id")),
        }
    },
    "list_transactions": {
        200: {
            "transaction": _link("get_transaction", user_id=_USER, tx_id=_in("items/0/id")),
            "next_page": _link("list_transactions", user_id=_USER, cursor=_in("pagination/next_cursor")),
        }
    },
    "add_rule": {200: _RULE, 201: _RULE},
    "get_rule": {200: {name: link for name, link in _RULE.items() if name != "rule"}},
}

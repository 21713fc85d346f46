"""Explanations of transactions, and a tenant's books by day."""

from collections.abc import Callable
from typing import Any

from pointledger import ExtendExpiry
from pointledger.client.queries.days import DayQueries
from tests.api.environment import ApiEnvironment

User = Callable[[], str]


def explained(api: ApiEnvironment, user_id: str, tx_id: str) -> dict[str, Any]:
    answer = api.get(f"/points/{user_id}/transactions/{tx_id}/explanation", api.till)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_a_grant_is_explained_by_its_event_and_its_rule(api: ApiEnvironment, user: User) -> None:
    anna = user()
    event = {"event_type": "welcome", "event_id": f"signup {anna}", "user_id": anna}
    api.post("/admin/points/apply-rule", api.till, event)
    (entry,) = api.ledger.entries(anna)
    found = explained(api, anna, entry["id"])
    library = api.ledger.client.explain_entry("shop", entry["id"])
    assert found["sentences"] == list(library.sentences)
    assert (found["transaction"]["id"], found["command"]["actor"]) == (entry["id"], "svc:till")
    assert (found["rule"]["name"], found["grant"]["granted"]) == ("welcome", 100)
    assert [lot["amount"] for lot in found["lots_arrived"]] == [100]


def test_a_spend_is_explained_by_the_lots_that_it_took_from(api: ApiEnvironment, user: User) -> None:
    anna = user()
    for amount, expires_at in ((5, "2999-01-01T00:00:00Z"), (3, None)):
        earn = {"amount": amount} | ({"expires_at": expires_at} if expires_at else {})
        assert api.post(f"/points/{anna}/earn", api.till, earn).status_code == 200
    api.post(f"/points/{anna}/spend", api.till, {"amount": 6, "reason": "a coffee"})
    found = explained(api, anna, api.ledger.entries(anna)[0]["id"])
    assert [(lot["amount"], lot.get("expires_at")) for lot in found["lots_moved"]] == [
        (5, "2999-01-01T00:00:00Z"),
        (1, None),
    ]
    assert (found["rule"], found["grant"], found["lots_arrived"]) == (None, None, [])
    assert "Its reason: a coffee." in found["sentences"]


def test_a_lots_moved_expiry_is_part_of_the_explanation(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.post(f"/points/{anna}/earn", api.till, {"amount": 5, "expires_at": "2999-01-01T00:00:00Z"})
    (entry,) = api.ledger.entries(anna)
    api.ledger.client.wait(
        api.ledger.client.enqueue(
            ExtendExpiry(tenant_id="shop", user_id=anna, lots=(entry["id"],), days=10, reason="a strike")
        ),
        timeout=60,
    )
    ((change,),) = [lot["expiry_changes"] for lot in explained(api, anna, entry["id"])["lots_arrived"]]
    assert (change["was"], change["becomes"]) == ("2999-01-01T00:00:00Z", "2999-01-11T00:00:00Z")


def test_a_transaction_is_explained_to_its_tenants_administrators_and_services_only(
    api: ApiEnvironment, user: User
) -> None:
    anna = user()
    api.earn(anna, 5)
    (entry,) = api.ledger.entries(anna)
    path = f"/points/{anna}/transactions/{entry['id']}/explanation"
    tokens = {
        "administrator": api.admin,
        "user": api.issuer.user(anna),
        "service of another kind": api.issuer.token("svc:mute"),
        "another tenant's": api.issuer.admin("other"),
    }
    statuses = {who: api.get(path, token).status_code for who, token in tokens.items()}
    assert statuses == {
        "administrator": 200,
        "user": 403,
        "service of another kind": 403,
        "another tenant's": 404,
    }
    assert api.get(path.replace(anna, user()), api.admin).status_code == 404, "it is another user's"


def test_the_books_of_a_day_are_those_of_the_library(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 10)
    api.post(f"/points/{anna}/spend", api.till, {"amount": 4})
    books = api.get("/admin/points/days?days=2", api.admin).json()["data"]
    queries = DayQueries(api.ledger.database)
    assert books["days"] == queries.days("shop", 2).as_json()["days"]
    assert books["days"][-1]["outstanding"] == queries.outstanding("shop").points
    assert books["days"][-1]["spent"] >= 4
    occurred = api.get("/admin/points/days?days=1&by=occurred", api.admin).json()["data"]["days"]
    assert [day["outstanding"] for day in occurred] == [None]


def test_books_have_valid_days_only(api: ApiEnvironment) -> None:
    for query in (
        "days=0",
        "days=367",
        "until=2999-01-01",
        "until=1000-01-01",
        "until=1",
        "until=2026-02-30",
        "by=heart",
    ):
        assert api.get(f"/admin/points/days?{query}", api.admin).status_code == 400, query
    for token in (api.till, api.issuer.user("anna")):
        assert api.get("/admin/points/days", token).status_code == 403

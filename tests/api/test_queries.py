"""Other queries of users and administrators."""

from collections.abc import Callable

from pointledger.ids import new_id, show_id
from tests.api.environment import ApiEnvironment

User = Callable[[], str]


def test_an_account_and_its_cash_value(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 150)
    token = api.issuer.user(anna)
    account = api.get(f"/points/{anna}", token).json()["data"]
    assert (account["balance"], account["total_earned"], account["user_id"]) == (150, 150, anna)
    value = api.get(f"/points/{anna}/value", token).json()["data"]
    assert (value["value"], value["is_exact"]) == ("1.50", True)


def test_points_of_other_types_have_no_cash_value(api: ApiEnvironment) -> None:
    other_admin = api.issuer.admin("other")
    api.post("/points/poor/earn", other_admin, {"amount": 5})
    assert api.get("/points/poor/value", other_admin).status_code == 409


def test_points_that_expire_soon_are_counted_within_valid_days(api: ApiEnvironment, user: User) -> None:
    anna = user()
    for amount, moment in ((5, "2999-01-01T00:00:00Z"), (3, "8000-01-01T00:00:00Z")):
        body = {"amount": amount, "expires_at": moment}
        assert api.post(f"/points/{anna}/earn", api.till, body).status_code == 200
    token = api.issuer.user(anna)
    assert api.get(f"/points/{anna}/expiring?days=36500", token).json()["data"]["points"] == 0
    for days in ("0", "-1", "1e3", "36501", "abc", "1_0", "１２", " 5", "1.0", "+1"):
        assert api.get(f"/points/{anna}/expiring?days={days}", token).status_code == 400, days


def test_statistics_by_rule(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.post("/admin/points/apply-rule", api.till, {"event_type": "welcome", "user_id": anna})
    data = api.get(f"/points/{anna}/stats", api.issuer.user(anna)).json()["data"]
    assert [(rule["rule"], rule["points"]) for rule in data["by_rule"]] == [("welcome", 100)]


def test_a_user_reads_one_of_its_own_transactions_only(api: ApiEnvironment, user: User) -> None:
    anna, ben = user(), user()
    api.earn(anna, 5)
    api.earn(ben, 6)
    (entry,) = api.ledger.entries(anna)
    token = api.issuer.user(anna)
    shown = api.get(f"/points/{anna}/transactions/{entry['id']}", token).json()["data"]
    assert (shown["id"], shown["amount"]) == (entry["id"], 5)
    (other,) = api.ledger.entries(ben)
    for other_id in (other["id"], show_id(new_id()), str(new_id())):
        assert api.get(f"/points/{anna}/transactions/{other_id}", token).status_code == 404
    assert api.get(f"/points/{anna}/transactions/x", token).status_code == 400


def test_a_risk_score_explains_itself(api: ApiEnvironment, user: User) -> None:
    mule, saver = user(), user()
    friends = [user() for _ in range(5)]
    for who in (mule, saver, *friends):
        api.earn(who, 100)
    for friend in friends:
        api.post(f"/points/{mule}/transfer", api.till, {"to_user_id": friend, "amount": 20})
    data = {who: api.get(f"/points/{who}/risk-score", api.admin).json()["data"] for who in (mule, saver)}
    values = {factor["name"]: factor["value"] for factor in data[mule]["factors"]}
    assert values == {
        "recipients_last_week": 5,
        "transfers_last_day": 5,
        "debits_last_day": 5,
        "age_days": 0,
        "share_moved_on_last_week": 1.0,
    }
    for score in data.values():
        assert score["score"] == sum(factor["points"] for factor in score["factors"])
        assert sum(factor["weight"] for factor in score["factors"]) == 100
    assert (data[mule]["score"], data[saver]["score"]) == (76, 20)  # 11 + 20 + 10 + 20 + 15, and 20 for youth


def test_accounts_are_listed_by_page_and_status(api: ApiEnvironment, user: User) -> None:
    names = sorted(f"list-{number}" for number in range(5))
    other_admin = api.issuer.admin("other")
    for name in names:
        assert api.post("/admin/points", other_admin, {"user_id": name}).status_code == 201
    api.call(
        "PUT", f"/admin/points/{names[0]}/status", other_admin, {"status": "suspended", "reason": "test"}
    )
    pages = [api.get(f"/admin/points?page={page}&page_size=2", other_admin).json() for page in (1, 2, 3, 4)]
    found = [item["user_id"] for page in pages for item in page["items"]]
    assert [name for name in found if name in names] == names
    suspended = api.get("/admin/points?status=suspended", other_admin).json()
    assert [item["user_id"] for item in suspended["items"]] == [names[0]]
    assert suspended["total"] == 1
    for query in ("status=gone", "page=1002&page_size=100", "page=0", "page_size=101"):
        assert api.get(f"/admin/points?{query}", other_admin).status_code == 400, query


def test_transactions_are_listed_for_all_users_or_one(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 5)
    api.post(f"/points/{anna}/spend", api.till, {"amount": 2})
    all_users = api.get("/admin/points/transactions?page_size=2", api.admin).json()
    assert [item["user_id"] for item in all_users["items"]] == [anna, anna]
    assert (
        all_users["total"] == api.ledger.rows("SELECT count(*) FROM entries WHERE tenant_id = 'shop'")[0][0]
    )
    spent = api.get(f"/admin/points/transactions?user_id={anna}&type=spend", api.admin).json()
    assert [item["amount"] for item in spent["items"]] == [2]
    latest = api.get("/admin/points/transactions?type=spend&page_size=1", api.admin).json()
    assert [item["user_id"] for item in latest["items"]] == [anna]
    assert api.get("/admin/points/transactions?user_id=a%0Ab", api.admin).status_code == 400


def test_statistics_of_the_tenant(api: ApiEnvironment) -> None:
    data = api.get("/admin/points/stats", api.admin).json()["data"]
    assert data["tenant_id"] == "shop"
    assert data["accounts"]["active"] >= 1


def test_verifying_an_account_finds_corruption(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 5)
    account = api.get(f"/points/{anna}", api.admin).json()["data"]
    path = f"/admin/point/integrity/{account['id']}"
    data = api.get(path, api.admin).json()["data"]
    assert data["is_sound"]
    assert len(data["invariants"]) > 10

    with api.ledger.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE accounts SET balance = 6, total_earned = 6 WHERE user_id = %(user)s", {"user": anna}
        )
    data = api.get(path, api.admin).json()["data"]
    assert not data["is_sound"]
    broken = {check["id"] for check in data["invariants"] if check["rows"]}
    assert {"I2", "I3b", "I14"} <= broken
    assert api.get(f"/admin/point/integrity/{new_id()}", api.admin).status_code == 404
    assert api.get(path, api.issuer.admin("other")).status_code == 404

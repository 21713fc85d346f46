"""What users and administrators may ask beside the pages."""

from collections.abc import Callable

from pointledger.ids import new_id, show_id
from tests.api.served import Served

User = Callable[[], str]


def test_an_account_and_its_worth(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 150)
    token = served.issuer.user(anna)
    account = served.get(f"/points/{anna}", token).json()["data"]
    assert (account["balance"], account["total_earned"], account["user_id"]) == (150, 150, anna)
    value = served.get(f"/points/{anna}/value", token).json()["data"]
    assert (value["value"], value["is_exact"]) == ("1.50", True)


def test_points_that_are_no_money_have_no_worth(served: Served) -> None:
    there = served.issuer.admin("other")
    served.post("/points/poor/earn", there, {"amount": 5})
    assert served.get("/points/poor/value", there).status_code == 409


def test_what_expires_soon_is_told_lot_by_lot(served: Served, user: User) -> None:
    anna = user()
    for amount, moment in ((5, "2999-01-01T00:00:00Z"), (3, "8000-01-01T00:00:00Z")):
        body = {"amount": amount, "expires_at": moment}
        assert served.post(f"/points/{anna}/earn", served.till, body).status_code == 200
    token = served.issuer.user(anna)
    assert served.get(f"/points/{anna}/expiring?days=36500", token).json()["data"]["points"] == 0
    for days in ("0", "-1", "1e3", "36501", "abc", "1_0", "１２", " 5", "1.0", "+1"):
        assert served.get(f"/points/{anna}/expiring?days={days}", token).status_code == 400, days


def test_figures_by_month_and_rule(served: Served, user: User) -> None:
    anna = user()
    served.post("/admin/points/apply-rule", served.till, {"event_type": "welcome", "user_id": anna})
    told = served.get(f"/points/{anna}/stats", served.issuer.user(anna)).json()["data"]
    assert [(rule["rule"], rule["points"]) for rule in told["by_rule"]] == [("welcome", 100)]


def test_one_transaction_and_nobody_elses(served: Served, user: User) -> None:
    anna, ben = user(), user()
    served.earn(anna, 5)
    served.earn(ben, 6)
    (entry,) = served.ledger.entries(anna)
    token = served.issuer.user(anna)
    shown = served.get(f"/points/{anna}/transactions/{entry['id']}", token).json()["data"]
    assert (shown["id"], shown["amount"]) == (entry["id"], 5)
    (other,) = served.ledger.entries(ben)
    for wrong in (other["id"], show_id(new_id()), str(new_id())):
        assert served.get(f"/points/{anna}/transactions/{wrong}", token).status_code == 404
    assert served.get(f"/points/{anna}/transactions/x", token).status_code == 400


def test_a_risk_score_explains_itself(served: Served, user: User) -> None:
    mule, saver = user(), user()
    friends = [user() for _ in range(5)]
    for who in (mule, saver, *friends):
        served.earn(who, 100)
    for friend in friends:
        served.post(f"/points/{mule}/transfer", served.till, {"to_user_id": friend, "amount": 20})
    told = {
        who: served.get(f"/points/{who}/risk-score", served.admin).json()["data"] for who in (mule, saver)
    }
    values = {factor["name"]: factor["value"] for factor in told[mule]["factors"]}
    assert values == {
        "recipients_last_week": 5,
        "transfers_last_day": 5,
        "debits_last_day": 5,
        "age_days": 0,
        "share_moved_on_last_week": 1.0,
    }
    for score in told.values():
        assert score["score"] == sum(factor["points"] for factor in score["factors"])
        assert sum(factor["weight"] for factor in score["factors"]) == 100
    assert (told[mule]["score"], told[saver]["score"]) == (76, 20)  # 11 + 20 + 10 + 20 + 15, and 20 for youth


def test_all_accounts_in_pages_and_by_status(served: Served, user: User) -> None:
    names = sorted(f"list-{number}" for number in range(5))
    there = served.issuer.admin("other")
    for name in names:
        assert served.post("/admin/points", there, {"user_id": name}).status_code == 201
    served.call("PUT", f"/admin/points/{names[0]}/status", there, {"status": "suspended", "reason": "test"})
    pages = [served.get(f"/admin/points?page={page}&page_size=2", there).json() for page in (1, 2, 3, 4)]
    found = [item["user_id"] for page in pages for item in page["items"]]
    assert [name for name in found if name in names] == names
    suspended = served.get("/admin/points?status=suspended", there).json()
    assert [item["user_id"] for item in suspended["items"]] == [names[0]]
    assert suspended["total"] == 1
    for query in ("status=gone", "page=1002&page_size=100", "page=0", "page_size=101"):
        assert served.get(f"/admin/points?{query}", there).status_code == 400, query


def test_everybodys_transactions_and_one_users(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 5)
    served.post(f"/points/{anna}/spend", served.till, {"amount": 2})
    everybodys = served.get("/admin/points/transactions?page_size=2", served.admin).json()
    assert [item["user_id"] for item in everybodys["items"]] == [anna, anna]
    assert (
        everybodys["total"]
        == served.ledger.rows("SELECT count(*) FROM entries WHERE tenant_id = 'shop'")[0][0]
    )
    spent = served.get(f"/admin/points/transactions?user_id={anna}&type=spend", served.admin).json()
    assert [item["amount"] for item in spent["items"]] == [2]
    latest = served.get("/admin/points/transactions?type=spend&page_size=1", served.admin).json()
    assert [item["user_id"] for item in latest["items"]] == [anna]
    assert served.get("/admin/points/transactions?user_id=a/b", served.admin).status_code == 400


def test_the_tenants_figures(served: Served) -> None:
    told = served.get("/admin/points/stats", served.admin).json()["data"]
    assert told["tenant_id"] == "shop"
    assert told["accounts"]["active"] >= 1


def test_an_account_is_checked_in_all_its_parts(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 5)
    account = served.get(f"/points/{anna}", served.admin).json()["data"]
    path = f"/admin/point/integrity/{account['id']}"
    told = served.get(path, served.admin).json()["data"]
    assert told["is_sound"]
    assert len(told["invariants"]) > 10

    with served.ledger.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE accounts SET balance = 6, total_earned = 6 WHERE user_id = %(user)s", {"user": anna}
        )
    told = served.get(path, served.admin).json()["data"]
    assert not told["is_sound"]
    broken = {check["id"] for check in told["invariants"] if check["rows"]}
    assert {"I2", "I3b", "I14"} <= broken
    assert served.get(f"/admin/point/integrity/{new_id()}", served.admin).status_code == 404
    assert served.get(path, served.issuer.admin("other")).status_code == 404

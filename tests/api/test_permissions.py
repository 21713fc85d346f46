"""Permissions: eight kinds of principal at every route of the table."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pointledger.api.auth.permissions import ADMIN, TABLE, WRITE, Permission, Principal, check
from pointledger.api.routes import ROUTERS, openapi
from pointledger.api.schemas.envelope import Problem
from pointledger.client.batches import BatchAcceptor
from pointledger.ids import new_id, show_id
from tests.api.environment import ApiEnvironment
from tests.api.issuer import Issuer

TOKENS: dict[str, Callable[[Issuer], str | None]] = {
    "no token": lambda _: None,
    "the user": lambda issuer: issuer.user("owner"),
    "another user": lambda issuer: issuer.user("somebody-else"),
    "administrator": lambda issuer: issuer.admin(),
    "administrator of another tenant": lambda issuer: issuer.admin("other"),
    "service": lambda issuer: issuer.token("svc:till"),
    "service of another kind": lambda issuer: issuer.token("svc:mute"),
    "expired": lambda issuer: issuer.signed(
        issuer.claims("owner", scope="points:admin", iat=int(time.time()) - 900, exp=int(time.time()) - 60)
    ),
}
ROUTES = [(method, path, required) for (method, path), required in TABLE.items() if required]


def routes() -> Iterator[tuple[str, str]]:
    for router in (*ROUTERS, openapi.router):
        for route in router.routes:
            for method in route.methods:  # type: ignore[attr-defined]
                yield method, route.path  # type: ignore[attr-defined]


def test_the_table_has_every_route_and_no_other() -> None:
    assert {*routes(), ("GET", "/openapi.json")} == set(TABLE)


def test_only_operators_routes_and_docs_need_no_token() -> None:
    assert {path for (_, path), required in TABLE.items() if required is None} == {
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/{asset}",
    }


def test_admin_routes_require_the_admin_scope() -> None:
    for (_, path), required in TABLE.items():
        if path.startswith("/admin/"):
            assert required
            assert required.scope == ADMIN, path


def test_a_route_that_is_not_in_the_table_is_forbidden() -> None:
    boss = Principal("boss", "shop", scopes=frozenset({ADMIN, WRITE, "unknown"}))
    for principal in (boss, Principal("svc:x", "shop", kinds=frozenset({"read"}), is_service=True)):
        with pytest.raises(Problem) as refused:
            check(principal, "GET", "/new", None)
        assert refused.value.status == 403


def expected(who: str, required: Permission, path: str) -> set[int]:
    """Return the allowed statuses. A permitted request may get any but 401, 403 and 429."""
    if who in ("no token", "expired"):
        return {401}
    permitted = {200, 201, 202, 400, 404, 409, 415, 422}
    if who in ("administrator", "service"):
        return permitted if who == "administrator" or required.kind else {403}
    if who == "service of another kind":
        return permitted if required.kind == "expire" else {403}
    if who == "administrator of another tenant":
        return permitted - {200, 201, 202}
    if required.scope == ADMIN:
        return {403}
    return {404} if who == "another user" else permitted


OWN = {"/admin/points/config", "/admin/points/stats", "/admin/points", "/admin/points/transactions"}
OWN |= {"/admin/point-rules", "/admin/audit", "/admin/points/days"}  # an administrator reads their own tenant


@pytest.mark.parametrize("who", TOKENS)
def test_every_route_admits_only_the_principals_of_the_table(api: ApiEnvironment, who: str) -> None:
    api.ledger.tenant("other", transfer_enabled=True)
    api.earn("owner", 1)
    token = TOKENS[who](api.issuer)
    for method, path, required in ROUTES:
        address = path.replace("{user_id}", "owner")
        for name in ("{task_id}", "{tx_id}", "{id}", "{account_id}"):
            address = address.replace(name, show_id(new_id()))
        # an empty object passes the permission check but changes nothing
        body: Any = None if method == "GET" else {}
        answer = api.call(method, address, token, body)
        allowed = expected(who, required, path)
        if who == "administrator of another tenant" and path in OWN:
            allowed |= {200, 201}
        assert answer.status_code in allowed, (method, path, answer.status_code, answer.text)


def test_24_another_users_account_looks_like_a_missing_one(api: ApiEnvironment) -> None:
    api.earn("rich", 100)
    mallory = api.issuer.user("mallory")
    bodies = [
        api.get("/points/rich", mallory).json(),
        api.get("/points/missing", mallory).json(),
        api.post("/points/rich/transfer", mallory, {"to_user_id": "mallory", "amount": 1}).json(),
    ]
    for body in bodies:
        body.pop("timestamp")
    assert bodies[0] == bodies[1] == bodies[2]  # the response does not reveal whether the user exists
    assert api.ledger.balance("rich") == 100


def test_23_25_tenants_with_the_same_user_id_have_separate_accounts(api: ApiEnvironment) -> None:
    api.earn("same-id", 7)
    other_admin = api.issuer.admin("other")
    assert api.get("/points/same-id", other_admin).status_code == 404
    assert api.post("/points/same-id/earn", other_admin, {"amount": 3}).status_code == 200
    assert api.get("/points/same-id", other_admin).json()["data"]["balance"] == 3
    assert api.get("/points/same-id", api.issuer.user("same-id")).json()["data"]["balance"] == 7


def test_26_the_tenant_comes_only_from_the_token(api: ApiEnvironment) -> None:
    api.earn("solo", 1)
    answer = api.get("/points/solo?tenant_id=shop", api.issuer.admin("other"), X_Tenant_Id="shop")
    assert answer.status_code == 404
    body = {"amount": 1, "tenant_id": "other"}
    assert api.post("/points/solo/earn", api.till, body).status_code == 400


def test_22_an_unlisted_service_is_unauthenticated_and_one_of_another_tenant_forbidden(
    api: ApiEnvironment,
) -> None:
    assert api.get("/points/anna", api.issuer.token("svc:unlisted")).status_code == 401
    # The settings decide a service's rights, not its scopes.
    scoped = api.issuer.token("svc:till", "other", scope="points:admin points:read")
    assert api.get("/points/anna", scoped).status_code == 403


def test_a_user_without_the_scope_cannot_access_its_own_account(api: ApiEnvironment) -> None:
    api.earn("scopeless", 1)
    reader = api.issuer.token("scopeless", scope="points:read")
    assert api.get("/points/scopeless", reader).status_code == 200
    assert api.post("/points/scopeless/spend", reader, {"amount": 1}).status_code == 403
    assert api.get("/points/scopeless", api.issuer.token("scopeless")).status_code == 403


def test_the_journal_records_the_actor(api: ApiEnvironment) -> None:
    api.earn("watched", 1)
    actors = api.ledger.rows("SELECT actor FROM journal WHERE user_id = 'watched'")
    assert [row[0] for row in actors] == ["svc:till"]


def test_only_a_service_may_set_occurred_at(api: ApiEnvironment) -> None:
    event = {"event_type": "visit", "user_id": "late", "occurred_at": "2026-01-01T00:00:00Z"}
    assert api.post("/admin/points/apply-rule", api.admin, event).status_code == 403
    assert api.post("/admin/points/apply-rule", api.till, event).status_code == 200
    (entry,) = api.ledger.entries("late")
    assert entry["occurred_at"] == "2026-01-01T00:00:00Z"


def test_only_a_service_may_set_occurred_at_in_a_batch(api: ApiEnvironment) -> None:
    row = {"user_id": "late", "amount": 1, "occurred_at": "2026-01-01T00:00:00Z"}
    for token, status in ((api.admin, 403), (api.till, 202)):
        body = {"items": [{"user_id": "late", "amount": 2}, row]}
        answer = api.post("/admin/points/batch-earn", token, body, key=f"late {status}")
        assert answer.status_code == status, answer.text


def test_only_an_administrator_may_refund_as_goodwill(api: ApiEnvironment) -> None:
    api.earn("sorry", 1)
    assert api.post("/points/sorry/refund", api.till, {"amount": 5}).status_code == 403
    assert api.post("/points/sorry/refund", api.admin, {"amount": 5}).status_code == 200


def test_a_task_is_visible_to_its_users_and_administrators_only(api: ApiEnvironment) -> None:
    api.earn("giver", 10)
    api.earn("taker", 1)
    transfer = {"to_user_id": "taker", "amount": 1}
    giver = api.issuer.user("giver")
    answer = api.post("/points/giver/transfer", giver, transfer, Prefer="respond-async")
    address = answer.headers["location"]
    assert (answer.status_code, api.get(address, giver).status_code) == (202, 200)
    assert api.get(address, api.admin).status_code == 200
    for token in (api.issuer.user("taker"), api.issuer.user("giver", "other")):
        assert api.get(address, token).status_code == 404
    assert api.get(address, api.issuer.admin("other")).status_code == 404


def test_another_tenants_batch_is_not_even_counted(
    api: ApiEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"items": [{"user_id": "counted", "amount": 1}] * 3}
    sent = api.post("/admin/points/batch-earn", api.admin, body, key="counted")
    batch_id = sent.json()["data"]["batch_id"]
    assert api.get(f"/tasks/{batch_id}", api.admin).json()["data"]["size"] == 3

    def counts(*_: object) -> None:
        raise AssertionError("a stranger could measure the time of counting")

    monkeypatch.setattr(BatchAcceptor, "pages", counts)
    others = [api.get(f"/tasks/{each}", api.issuer.admin("other")) for each in (batch_id, show_id(new_id()))]
    one, none = (answer.json() | {"timestamp": None} for answer in others)
    assert (others[0].status_code, one) == (404, none)

"""Who may what: eight kinds of principal at every route, generated from the table; a route that is not in the
table is nobody's."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pointledger.api.auth.permissions import ADMIN, TABLE, WRITE, Need, Principal, check
from pointledger.api.routes import ROUTERS, openapi
from pointledger.api.schemas.envelope import Problem
from pointledger.ids import new_id, show_id
from tests.api.issuer import Issuer
from tests.api.served import Served

TOKENS: dict[str, Callable[[Issuer], str | None]] = {
    "nobody": lambda _: None,
    "the user": lambda issuer: issuer.user("owner"),
    "another user": lambda issuer: issuer.user("stranger"),
    "administrator": lambda issuer: issuer.admin(),
    "administrator of another tenant": lambda issuer: issuer.admin("other"),
    "service": lambda issuer: issuer.token("svc:till"),
    "service of another kind": lambda issuer: issuer.token("svc:mute"),
    "expired": lambda issuer: issuer.signed(
        issuer.claims("owner", scope="points:admin", iat=int(time.time()) - 900, exp=int(time.time()) - 60)
    ),
}
ROUTES = [(method, path, need) for (method, path), need in TABLE.items() if need]


def routes() -> Iterator[tuple[str, str]]:
    for router in (*ROUTERS, openapi.router):
        for route in router.routes:
            for method in route.methods:  # type: ignore[attr-defined]
                yield method, route.path  # type: ignore[attr-defined]


def test_every_route_stands_in_the_table_and_nothing_else_does() -> None:
    assert {*routes(), ("GET", "/openapi.json")} == set(TABLE)


def test_only_those_who_look_after_us_need_no_token() -> None:
    assert {path for (_, path), need in TABLE.items() if need is None} == {
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/{asset}",
    }


def test_what_is_under_admin_demands_the_scope_of_administrators() -> None:
    for (_, path), need in TABLE.items():
        if path.startswith("/admin/"):
            assert need
            assert need.scope == ADMIN, path


def test_a_route_that_is_not_in_the_table_is_nobodys() -> None:
    boss = Principal("boss", "shop", scopes=frozenset({ADMIN, WRITE, "nobody's"}))
    for principal in (boss, Principal("svc:x", "shop", kinds=frozenset({"read"}), is_service=True)):
        with pytest.raises(Problem) as refused:
            check(principal, "GET", "/new", None)
        assert refused.value.status == 403


def expected(who: str, need: Need, path: str) -> set[int]:
    """What the answer's status may be: of what is let through anything but 401, 403 and 429."""
    if who in ("nobody", "expired"):
        return {401}
    through = {200, 201, 202, 400, 404, 409, 415, 422}
    if who in ("administrator", "service"):
        return through if who == "administrator" or need.kind else {403}
    if who == "service of another kind":
        return through if need.kind == "expire" else {403}
    if who == "administrator of another tenant":
        return through - {200, 201, 202}
    if need.scope == ADMIN:
        return {403}
    return {404} if who == "another user" else through


OWN = {"/admin/points/config", "/admin/points/stats", "/admin/points", "/admin/points/transactions"}
OWN |= {"/admin/point-rules", "/admin/audit"}  # about the administrator's own tenant, whichever that is


@pytest.mark.parametrize("who", TOKENS)
def test_every_route_is_for_those_whom_the_table_names(served: Served, who: str) -> None:
    served.ledger.tenant("other", transfer_enabled=True)
    served.earn("owner", 1)
    token = TOKENS[who](served.issuer)
    for method, path, need in ROUTES:
        address = path.replace("{user_id}", "owner")
        for name in ("{task_id}", "{tx_id}", "{id}", "{account_id}"):
            address = address.replace(name, show_id(new_id()))
        # an empty object: enough to be let through, not enough to change anything
        body: Any = None if method == "GET" else {}
        answer = served.call(method, address, token, body)
        may = expected(who, need, path)
        if who == "administrator of another tenant" and path in OWN:
            may |= {200, 201}
        assert answer.status_code in may, (method, path, answer.status_code, answer.text)


def test_24_another_users_points_are_not_there(served: Served) -> None:
    served.earn("rich", 100)
    mallory = served.issuer.user("mallory")
    bodies = [
        served.get("/points/rich", mallory).json(),
        served.get("/points/nobody-at-all", mallory).json(),
        served.post("/points/rich/transfer", mallory, {"to_user_id": "mallory", "amount": 1}).json(),
    ]
    for body in bodies:
        body.pop("timestamp")
    assert bodies[0] == bodies[1] == bodies[2]  # whether there is such a user cannot be told
    assert served.ledger.balance("rich") == 100


def test_23_25_a_tenant_has_its_own_users_whatever_they_are_called(served: Served) -> None:
    served.earn("twin", 7)
    there = served.issuer.admin("other")
    assert served.get("/points/twin", there).status_code == 404
    assert served.post("/points/twin/earn", there, {"amount": 3}).status_code == 200
    assert served.get("/points/twin", there).json()["data"]["balance"] == 3
    assert served.get("/points/twin", served.issuer.user("twin")).json()["data"]["balance"] == 7


def test_26_the_tenant_comes_from_the_token_and_from_nowhere_else(served: Served) -> None:
    served.earn("solo", 1)
    answer = served.get("/points/solo?tenant_id=shop", served.issuer.admin("other"), X_Tenant_Id="shop")
    assert answer.status_code == 404
    body = {"amount": 1, "tenant_id": "other"}
    assert served.post("/points/solo/earn", served.till, body).status_code == 400


def test_22_a_service_of_no_list_and_a_service_of_another_tenant_may_nothing(served: Served) -> None:
    for token in (served.issuer.token("svc:unlisted"), served.issuer.token("svc:till", "other")):
        assert served.get("/points/anna", token).status_code == 403
    scoped = served.issuer.token("svc:unlisted", scope="points:admin points:read")
    assert served.get("/points/anna", scoped).status_code == 403  # a service's rights are in the settings


def test_a_user_without_the_scope_may_not_even_what_is_its_own(served: Served) -> None:
    served.earn("scopeless", 1)
    reader = served.issuer.token("scopeless", scope="points:read")
    assert served.get("/points/scopeless", reader).status_code == 200
    assert served.post("/points/scopeless/spend", reader, {"amount": 1}).status_code == 403
    assert served.get("/points/scopeless", served.issuer.token("scopeless")).status_code == 403


def test_who_asked_is_in_the_journal(served: Served) -> None:
    served.earn("watched", 1)
    actors = served.ledger.rows("SELECT actor FROM journal WHERE user_id = 'watched'")
    assert [row[0] for row in actors] == ["svc:till"]


def test_when_it_happened_is_for_services_to_say_and_for_nobody_else(served: Served) -> None:
    event = {"event_type": "visit", "user_id": "late", "occurred_at": "2026-01-01T00:00:00Z"}
    assert served.post("/admin/points/apply-rule", served.admin, event).status_code == 403
    assert served.post("/admin/points/apply-rule", served.till, event).status_code == 200
    (entry,) = served.ledger.entries("late")
    assert entry["occurred_at"] == "2026-01-01T00:00:00Z"


def test_when_the_rows_of_a_batch_happened_is_for_services_to_say_too(served: Served) -> None:
    row = {"user_id": "late", "amount": 1, "occurred_at": "2026-01-01T00:00:00Z"}
    for token, status in ((served.admin, 403), (served.till, 202)):
        body = {"items": [{"user_id": "late", "amount": 2}, row]}
        answer = served.post("/admin/points/batch-earn", token, body, key=f"late {status}")
        assert answer.status_code == status, answer.text


def test_goodwill_is_an_administrators(served: Served) -> None:
    served.earn("sorry", 1)
    assert served.post("/points/sorry/refund", served.till, {"amount": 5}).status_code == 403
    assert served.post("/points/sorry/refund", served.admin, {"amount": 5}).status_code == 200


def test_a_task_is_for_those_whom_it_concerns(served: Served) -> None:
    served.earn("giver", 10)
    served.earn("taker", 1)
    asked = {"to_user_id": "taker", "amount": 1}
    giver = served.issuer.user("giver")
    answer = served.post("/points/giver/transfer", giver, asked, Prefer="respond-async")
    address = answer.headers["location"]
    assert (answer.status_code, served.get(address, giver).status_code) == (202, 200)
    assert served.get(address, served.admin).status_code == 200
    for token in (served.issuer.user("taker"), served.issuer.user("giver", "other")):
        assert served.get(address, token).status_code == 404
    assert served.get(address, served.issuer.admin("other")).status_code == 404

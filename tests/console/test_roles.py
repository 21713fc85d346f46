"""What a role may not do is absent from its pages, and the server refuses it."""

from collections.abc import Callable

import pytest

from pointledger import Earn
from pointledger.api.console.app import PAGES
from pointledger.api.console.pages.action_table import ACTIONS
from pointledger.api.console.roles import PERMISSIONS, ROLES, may
from pointledger.api.console.visit import PageRoute
from tests.console.browsing import Browsing, Form, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment

User = Callable[[], str]
Browse = Callable[[str], Browsing]

_FORBIDDEN = 403


def _routes() -> list[PageRoute]:
    return [route for module in PAGES for route in module.ROUTES]


def _path(route: PageRoute) -> str:
    filled = route.path
    for parameter in ("user_id", "entry_id", "task_id", "batch_id", "rule_id", "action", "number"):
        filled = filled.replace(f"{{{parameter}}}", "goodwill" if parameter == "action" else "none")
    assert "{" not in filled, f"give {filled} a value"
    return f"/console/shop/{filled}".rstrip("/")


@pytest.mark.parametrize("role", ROLES)
def test_every_page_is_refused_to_roles_without_its_permission(browse: Browse, role: str) -> None:
    browsing = browse(role)
    for route in _routes():
        if route.method == "POST":
            token = browsing.html("/console/shop").form("/logout").fields["_token"]
            form = Form({"action": _path(route), "method": "post"})
            status = browsing.send(form, _token=token).status_code
        else:
            status = browsing.get(_path(route)).status_code
        if not may([role], route.permission):
            assert status == _FORBIDDEN, route
        elif "action" not in route.path:
            assert status != _FORBIDDEN, route


@pytest.mark.parametrize("role", ROLES)
def test_every_action_is_absent_and_refused_without_its_permission(
    console: ConsoleEnvironment, browse: Browse, user: User, role: str
) -> None:
    anna = user()
    applied(console, Earn(tenant_id="shop", user_id=anna, amount=50))
    browsing = browse(role)
    member = Html(browsing.get(f"/console/shop/members/{anna}").text)
    for action in ACTIONS:
        is_allowed = may([role], action.permission)
        if action.by_itself:
            assert (action.title in member.links) == is_allowed, action.name
        path = f"/console/shop/members/{anna}/actions/{action.name}"
        assert (browsing.get(path).status_code != _FORBIDDEN) == is_allowed
        assert (browsing.get(f"{path}/check").status_code != _FORBIDDEN) == is_allowed
        form = Form({"action": path, "method": "post"})
        token = browsing.html("/console/shop").form("/logout").fields["_token"]
        assert (browsing.send(form, _token=token).status_code != _FORBIDDEN) == is_allowed
    assert console.ledger.balance(anna) == 50


@pytest.mark.parametrize("role", ROLES)
def test_the_navigation_leads_only_where_the_role_may_go(browse: Browse, role: str) -> None:
    browsing = browse(role)
    links = browsing.html("/console/shop").links
    assert ("Members" in links) == may([role], "member")
    own = [href for href in links.values() if href.startswith("/console/shop/")]
    for href in own:
        assert browsing.get(href).status_code == 200


def test_every_permission_is_some_roles_and_every_route_has_one() -> None:
    assert all(PERMISSIONS.values())
    assert {route.permission for route in _routes()} <= PERMISSIONS.keys()
    assert {action.permission for action in ACTIONS} <= PERMISSIONS.keys()
    assert all(may(["admin"], permission) for permission in PERMISSIONS)

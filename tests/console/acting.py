"""Members with points, and the forms of the actions on them."""

from datetime import UTC, datetime, timedelta

from pointledger import Earn, Freeze, Spend
from tests.console.browsing import Browsing, Html
from tests.console.conftest import applied
from tests.console.environment import ConsoleEnvironment


def add_member(console: ConsoleEnvironment, user: str) -> None:
    """Add a member who has earned 1,000 points that expire in 30 days and 80 that are pending, has spent 100
    and has 200 frozen: 700 are available."""
    now = datetime.now(UTC)
    applied(
        console,
        Earn(tenant_id="shop", user_id=user, amount=1_000, expires_at=now + timedelta(days=30)),
        Earn(tenant_id="shop", user_id=user, amount=80, activates_at=now + timedelta(days=3)),
        Spend(tenant_id="shop", user_id=user, amount=100),
        Freeze(tenant_id="shop", user_id=user, amount=200),
    )


def checked(browsing: Browsing, user: str, action: str, **fields: str) -> Html:
    """Fill in the form, and return the page that shows what it would do."""
    form = browsing.html(f"/console/shop/members/{user}/actions/{action}").form(f"/{action}/check")
    answer = browsing.send(form, **fields)
    assert answer.status_code == 200, Html(answer.text).words
    return Html(answer.text)

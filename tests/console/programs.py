"""Rules of the console's tests: their ids, and ways to their pages."""

from pointledger.ids import show_id
from tests.console.browsing import Browsing, Html
from tests.console.environment import ConsoleEnvironment


def rule_id(console: ConsoleEnvironment, name: str, tenant: str = "shop") -> str:
    """Return the id of a rule."""
    found = console.ledger.rows(
        "SELECT rule_id FROM rule_versions WHERE tenant_id = %(tenant)s AND name = %(name)s LIMIT 1",
        tenant=tenant,
        name=name,
    )
    return show_id(found[0].rule_id)


def page_of(console: ConsoleEnvironment, rule: str) -> str:
    """Return the path of a rule's page."""
    return f"/console/shop/rules/{rule_id(console, rule)}"


def versions(console: ConsoleEnvironment, name: str, tenant: str = "shop") -> int:
    """Return how many versions a rule has."""
    found = console.ledger.rows(
        "SELECT count(*) FROM rule_versions WHERE tenant_id = %(tenant)s AND name = %(name)s",
        tenant=tenant,
        name=name,
    )
    return int(found[0][0])


def reviewed(browsing: Browsing, page: str, **fields: str) -> Html:
    """Fill in the form of a rule or of the configuration, and return its review."""
    form = browsing.html(f"{page}/edit").form("/edit")
    answer = browsing.send(form, **({"to": "review"} | fields))
    html = Html(answer.text)
    assert answer.status_code == 200, html.words
    return html

"""Each page about a framework starts its shop of `examples`, in an environment that has the framework.

curl and a plain Celery client talk to the shop, as the page says. Then Postgres has what the page claims.
"""

from pathlib import Path

import pytest

from pointledger.settings import Settings
from tests import environments
from tests.docs.blocks import ROOT, blocks_of
from tests.docs.conftest import ReadPage
from tests.ledger import Ledger

EXAMPLES = ROOT / "examples"
SHOPS = {
    "docs/guides/celery-tasks.md": ("celery", "orders"),
    "docs/guides/django.md": ("django", "shop_order"),
    "docs/guides/fastapi.md": ("fastapi", "orders"),
    "docs/guides/flask.md": ("flask", "orders"),
}


@pytest.mark.long
@pytest.mark.parametrize("page", SHOPS)
def test_a_shop_commits_its_order_with_the_command_or_neither(
    page: str, read: ReadPage, settings: Settings, tmp_path: Path
) -> None:
    framework, table = SHOPS[page]
    (tmp_path / "examples").symlink_to(EXAMPLES)
    read(page, environments.python("frameworks"))
    with Ledger(settings) as ledger, ledger.owner.connect() as connection:
        keys = "SELECT idempotency_key FROM journal WHERE user_id = 'anna'"
        orders = f"SELECT id FROM shop_{framework}.{table}"
        for accepted_or_ordered in (keys, orders):
            found = connection.exec_driver_sql(accepted_or_ordered).scalars().all()
            assert found == [f"{framework}-1"]


@pytest.mark.parametrize("page", SHOPS)
def test_what_the_page_shows_is_the_code_of_its_shop(page: str) -> None:
    framework, _ = SHOPS[page]
    code = [_without_indents(path.read_text()) for path in (EXAMPLES / framework).rglob("*.py")]
    shown = [block.text for block in blocks_of(page) if block.info == "python no-run"]
    assert shown
    assert [text for text in shown if not any(_without_indents(text) in file for file in code)] == []


def _without_indents(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())

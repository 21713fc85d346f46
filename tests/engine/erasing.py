"""Applies commands that name a person, erases the person, and searches the database for the rest."""

from typing import Any

from pointledger import Adjust, ApplyRule, Earn, EraseUser, Spend, Transfer, WalletAdjust
from pointledger.jobs.scheduler import JobScheduler
from tests.ledger import Ledger, data_of

PERSON = "anna.smith"
ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": PERSON}
BEN: dict[str, Any] = {"tenant_id": "shop", "user_id": "ben"}


def everything(ledger: Ledger) -> str:
    """Return the whole database as text."""
    tables = [row[0] for row in ledger.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    lines = [str(row) for table in tables for row in ledger.rows(f"SELECT row::text FROM {table} AS row")]
    return "\n".join(lines) + str(ledger.rows("SELECT encode(raw, 'escape') FROM dead_letters"))


def search(ledger: Ledger) -> int:
    return JobScheduler(ledger.database, ledger.client._own.acceptance).finish_erasures()


def program(ledger: Ledger) -> None:
    ledger.tenant(transfer_enabled=True, max_earn_per_day=1_000)
    ledger.rule(name="visit", event_type="visit", points=5, daily_limit=100)


def live(ledger: Ledger) -> None:
    """Apply commands for Anna that leave data in every table."""
    program(ledger)
    about: dict[str, Any] = {"reason": "Secret reason", "source": "Secret", "description": "Secret text"}
    ledger.apply(Earn(**BEN, amount=100))
    ledger.apply(
        Earn(**ANNA, amount=50, idempotency_key="secret-key", extensions={"partitionkey": "secret"}, **about),
        ApplyRule(**ANNA, event_type="visit", event_id="secret-event", metadata={"name": "Secret Anna"}),
        ApplyRule(**ANNA, event_type="nothing", metadata={"name": "Secret Anna"}),
        Adjust(**ANNA, amount=3, reason="Secret complaint", actor=PERSON),
        Transfer(**ANNA, to_user_id="ben", amount=10, reason="Secret gift"),
        Spend(**ANNA, amount=9_999),
    )
    ledger.apply(
        WalletAdjust(**ANNA, type="deposit", amount="5", reason="Secret"),
        WalletAdjust(**ANNA, type="withdraw", amount="5", reason="Secret"),
    )
    ledger.apply(
        Transfer(**BEN, to_user_id=PERSON, amount=20, idempotency_key="to-anna.smith"),
        Transfer(**BEN, to_user_id=PERSON, amount=10_000),
        Spend(tenant_id="shop", user_id="anna.smith2", amount=1),
    )


def erase(ledger: Ledger) -> dict[str, Any]:
    (outcome,) = ledger.apply(EraseUser(**ANNA, actor="admin"))
    return data_of(outcome)


def assert_redacted(ledger: Ledger) -> None:
    text = everything(ledger).replace("anna.smith2", "")
    assert PERSON not in text
    assert "ecret" not in text

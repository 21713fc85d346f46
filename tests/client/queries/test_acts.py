"""Who did what: by person, kind, member, outcome and time, page by page, and as an export."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import pointledger
from pointledger import Actor, Adjust, Earn, SetStatus
from pointledger.client.queries import acts
from pointledger.client.queries.acts import ACT_KINDS, OTHER_KINDS
from pointledger.client.queries.console import ConsoleQueries
from pointledger.errors import InvalidCommand, TenantMissing
from pointledger.storage.queries.audit_log import AuditLogFilter
from tests.client.queries.conftest import clock
from tests.ledger import Ledger

EVA = Actor("person:eva", "asked for")


def live(ledger: Ledger) -> None:
    about: dict[str, Any] = {"tenant_id": "shop", "reason": "a gift"}
    ledger.apply(
        Earn(tenant_id="shop", user_id="anna", amount=5),
        Adjust(**about, user_id="anna", amount=1, actor="person:eva"),
        Adjust(**about, user_id="ben", amount=2, actor="person:ole"),
        Adjust(**about, user_id="anna", amount=-99, actor="person:ole"),
        SetStatus(**about, user_id="anna", status="suspended", actor="person:eva"),
    )
    ledger.client.pause("shop", EVA)
    ledger.client.resume("shop", EVA)


def kinds(console: ConsoleQueries, **which: Any) -> list[str]:
    return [act["kind"] for act in console.acts("shop", AuditLogFilter(**which)).acts]


def test_acts_are_selected_by_person_kind_member_and_outcome(ledger: Ledger, console: ConsoleQueries) -> None:
    live(ledger)
    assert kinds(console) == ["resume", "pause", "set-status", "adjust", "adjust", "adjust", "tenant-put"]
    assert kinds(console, actor="person:eva") == ["resume", "pause", "set-status", "adjust"]
    assert kinds(console, kind="adjust") == ["adjust"] * 3
    assert kinds(console, user="anna", state="applied") == ["set-status", "adjust"]
    assert kinds(console, actor="person:ole", user="anna") == ["adjust"]
    assert kinds(console, actor="person:nobody") == []


def test_acts_are_selected_by_time(ledger: Ledger, console: ConsoleQueries) -> None:
    live(ledger)
    middle = clock(ledger)
    ledger.client.pause("shop", EVA)
    assert kinds(console, since=middle) == ["pause"]
    assert len(kinds(console, until=middle)) == 7
    assert kinds(console, since=middle - timedelta(days=2), until=middle - timedelta(days=1)) == []


@pytest.mark.parametrize("scanned", [1, 3, 20_000])
def test_pages_of_acts_add_up_however_many_records_a_page_reads(
    ledger: Ledger, console: ConsoleQueries, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    live(ledger)
    monkeypatch.setattr(acts, "_SCANNED", scanned)
    which, found, before, pages = AuditLogFilter(actor="person:ole"), [], None, 0
    while True:
        page = console.acts("shop", which, before=before, limit=1)
        found += [act["state"] for act in page.acts]
        pages += 1
        before = page.next_before
        if before is None:
            break
    assert (found, pages <= 8) == (["refused", "applied"], True)
    assert [act["state"] for act in console.exported_acts("shop", which)] == found


def test_an_export_ends_at_its_bound(
    ledger: Ledger, console: ConsoleQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(ledger)
    monkeypatch.setattr(acts, "MOST_EXPORTED", 4)
    monkeypatch.setattr(acts, "MOST_ACTS", 3)
    assert len(list(console.exported_acts("shop"))) == 4


def test_acts_of_another_tenant_are_not_shown(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.tenant("cafe")
    live(ledger)
    assert [act["kind"] for act in console.acts("cafe").acts] == ["tenant-put"]
    theirs = console.acts("shop").acts[0]["id"]
    assert console.acts("cafe", before=theirs).acts == ()


def test_the_kinds_of_acts_are_those_that_the_ledger_records() -> None:
    source = "\n".join(path.read_text() for path in Path(pointledger.__file__).parent.rglob("*.py"))
    recorded = re.findall(r'audit_log\.record\(\s*connection,\s*[a-z_.]+,\s*"([a-z-]+)"', source)
    assert sorted(set(recorded)) == sorted(OTHER_KINDS)
    assert {"adjust", "freeze", "pause"} <= set(ACT_KINDS)


def test_wrong_questions_are_refused(console: ConsoleQueries) -> None:
    with pytest.raises(InvalidCommand, match="before: "):
        console.acts("shop", before="x")
    with pytest.raises(TenantMissing):
        console.acts("nowhere")

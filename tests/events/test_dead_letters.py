"""Ingest keeps an invalid message unchanged as a dead letter, which can be replayed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pointledger import Actor
from pointledger.client.control import Control
from pointledger.errors import DeadLetterNotReplayable
from pointledger.events.ingest import Ingest
from pointledger.events.ingest_queue import Message
from tests.cli.conftest import Run
from tests.events.ingesting import kept, received
from tests.events.keys import write_keys
from tests.events.sender import Sender, earn, event, signed
from tests.ledger import Ledger

DEEP = b"[" * 100_000 + b"]" * 100_000
TWICE = json.dumps(earn()).replace('"subject": "anna"', '"subject": "anna", "subject": "eve"').encode()
NOW = datetime.now(UTC)

INVALID: dict[str, tuple[object, str, str]] = {
    "Q1 not JSON": (b"{", "UNREADABLE", "not strict JSON"),
    "Q1 NaN": (b'{"id": NaN}', "UNREADABLE", "NaN"),
    "Q2 empty": (b"", "UNREADABLE", "not strict JSON"),
    "Q3 binary": (bytes(range(256)), "UNREADABLE", "UnicodeDecodeError"),
    "Q4 nested": (DEEP[30_000:130_000][:60_000], "UNREADABLE", "nested too deeply"),
    "Q5 large": (b" " * 65_537, "TOO_LARGE", "65537 bytes"),
    "no events": ([earn(), 7], "INVALID_EVENT", "a list of at most 1000"),
    "text": ("x", "INVALID_EVENT", "one CloudEvent"),
    "Q6 no id": ({k: v for k, v in earn().items() if k != "id"}, "INVALID_EVENT", "id: Field required"),
    "Q6 no source": ({k: v for k, v in earn().items() if k != "source"}, "INVALID_EVENT", "source: Field"),
    "Q7 source": (earn(source="a b"), "INVALID_EVENT", "source: Value error, printable ASCII without blanks"),
    "Q7 taskid": (earn(taskid="17"), "INVALID_EVENT", "taskid: Value error, an id is a ULID or a UUID"),
    "Q7 empty": (earn(id=""), "INVALID_EVENT", "id: String should have at least 1 character"),
    "Q8 kind": (earn() | {"kind": "mint"}, "INVALID_EVENT", "kind: one of"),
    "Q11 kind": (event(kind="expire", data={"amount": 1}), "NOT_ALLOWED", "may not send expire"),
    "Q12 tenant": (earn(tenantid="cafe"), "NOT_ALLOWED", "web-shop may not send earn for this tenant"),
    "Q13 old": (earn(iat=(NOW - timedelta(hours=25)).isoformat()), "STALE", "older than 24 hours"),
    "Q13 ahead": (earn(iat=(NOW + timedelta(hours=1)).isoformat()), "STALE", "ahead by more than"),
    "Q13 no offset": (earn(iat="2026-03-01T10:00:00"), "INVALID_EVENT", "iat: Value error, a moment needs"),
    **{
        f"Q16 amount {shown}": (earn(amount=amount), "INVALID_EVENT", "amount:")
        for shown, amount in {
            "0": 0, "-1": -1, "1.0": 1.0, "1.5": 1.5, "text": "5", "true": True, "null": None, "list": [],
            "object": {}, "10^15+1": 10**15 + 1, "2^63": 2**63, "2^64+5": 2**64 + 5,
        }.items()
    },
    "Q16 digits": (json.dumps(earn()).replace(": 5", ": " + "9" * 5_000).encode(), "UNREADABLE", "5000"),
    "Q16 exponent": (json.dumps(earn()).replace(": 5", ": 1e309").encode(), "INVALID_EVENT", "amount:"),
    **{
        f"Q17 user {user!r}": (earn(subject=user), "INVALID_EVENT", "subject:")
        for user in ("", "a\n", "a\u200bb", "\u202ea", "a\u2028", "\x7f", "a" * 256, 7, None)
    },
    "Q20 unknown": (earn(newBalance=9), "INVALID_EVENT", "newBalance: an attribute's name has 1 to 64"),
    "Q20 in data": (event(kind="earn", data={"amount": 1, "vip": 1}), "INVALID_EVENT", "vip: Extra inputs"),
    "Q20 own": (event(kind="earn", data={"amount": 1, "actor": "x"}), "INVALID_EVENT", "actor are"),
    "Q21 twice": (TWICE, "UNREADABLE", "subject: given twice"),
    "Q22 NUL": (event(data={"a": "\x00"}), "INVALID_EVENT", "NUL"),
    "Q22 surrogate": (event(data={"a": "\ud800"}), "INVALID_EVENT", "surrogates"),
    "second of two": ([earn(8), earn(9, amount=0)], "INVALID_EVENT", "event 2: data.amount:"),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_a_signed_but_invalid_message_is_kept_unchanged(ledger: Ledger, ingest: Ingest, case: str) -> None:
    content, reason, error = INVALID[case]
    assert received(ingest, content) == {"dead": 1}
    (dead_letter,) = kept(ledger)
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    assert (dead_letter.state, dead_letter.reason, dead_letter.raw) == ("dead", reason, raw)
    assert error in dead_letter.error
    assert dead_letter.producer == (None if reason == "TOO_LARGE" else "web-shop")
    assert ledger.counts("journal") == [0]
    assert received(ingest, earn(77)) == {"accepted": 1}, "the next message is accepted"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-producer": "web-shop", "x-key": "new"},
        signed(b"something else"),
        signed(json.dumps(earn()).encode()) | {"x-key": "old"},
        signed(json.dumps(earn()).encode()) | {"x-producer": "bank"},
        signed(json.dumps(earn()).encode()) | {"x-producer": "nobody"},
        signed(json.dumps(earn()).encode()) | {"x-signature": "ä"},
    ],
)
def test_an_unsigned_message_is_not_read(ledger: Ledger, ingest: Ingest, headers: dict[str, str]) -> None:
    """Q10."""
    stale = earn() | {"iat": "2026-03-01T10:00:00Z"}
    assert received(ingest, stale, headers) == {"dead": 1}
    (dead_letter,) = kept(ledger)
    assert (dead_letter.reason, dead_letter.producer) == ("UNSIGNED", None)
    assert ledger.counts("journal") == [0]


def test_a_message_cannot_choose_a_reply_channel(ledger: Ledger, ingest: Ingest) -> None:
    """Q23."""
    assert received(ingest, earn(), reply_to="admins") == {"dead": 1}
    assert kept(ledger)[0].reason == "REPLY_REFUSED"


BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/till",
    "ce-type": "visit",
    "ce-subject": "anna",
}


@pytest.mark.parametrize("is_signed", [True, False])
def test_an_event_in_binary_mode_is_rejected_with_a_remedy(
    ledger: Ledger, ingest: Ingest, is_signed: bool
) -> None:
    """Anyone with write access to the queue could put other attributes beside the signed data."""
    body = b'{"amount_minor": 1999}'
    headers = BINARY | (signed(body) if is_signed else {})
    assert received(ingest, body, headers) == {"dead": 1}
    (dead_letter,) = kept(ledger)
    assert (dead_letter.reason, dead_letter.raw) == ("BINARY_MODE", body)
    assert "send structured mode" in dead_letter.error
    with pytest.raises(DeadLetterNotReplayable, match="send structured mode"):
        ingest.replay(dead_letter.id)
    assert (kept(ledger)[0].reason, kept(ledger)[0].attempts) == ("BINARY_MODE", 2)


def test_an_event_in_structured_mode_may_repeat_its_attributes_in_headers(
    ledger: Ledger, ingest: Ingest
) -> None:
    raw = json.dumps(earn(1)).encode()
    assert received(ingest, raw, BINARY | signed(raw)) == {"accepted": 1}


def test_a_reused_id_is_a_dead_letter_and_its_neighbors_are_accepted(ledger: Ledger, ingest: Ingest) -> None:
    """Q14, Q15."""
    messages = [json.dumps(content).encode() for content in (earn(1), earn(2), earn(1, amount=9), earn(3))]
    counts = ingest.receive([Message(raw, signed(raw)) for raw in messages])
    assert counts == {"accepted": 3, "dead": 1}
    assert (kept(ledger)[0].reason, kept(ledger)[0].raw) == ("IDEMPOTENCY_KEY_REUSED", messages[2])
    assert ledger.counts("journal") == [3]


def test_a_message_that_arrives_again_is_one_dead_letter_with_a_count(ledger: Ledger, ingest: Ingest) -> None:
    for _ in range(3):
        received(ingest, b"{")
    received(ingest, b"[")
    first, second = kept(ledger)
    assert (first.attempts, second.attempts) == (3, 1)
    assert first.last_seen_at > first.received_at


def test_a_dead_letter_can_be_replayed_once_its_cause_is_fixed(
    ledger: Ledger, sender: Sender, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTLEDGER_INGEST_KEYS_FILE", str(write_keys(tmp_path, tenants=["cafe"])))
    old = earn(1, iat=(NOW - timedelta(hours=30)).isoformat(), traceparent="00-trace")
    sender.send(old)
    sender.send(earn(2))
    assert run("ingest", "--once", "--json").json == {"accepted": 0, "dead": 2, "deferred": 0}
    second, first = run("dead-letters", "list", "--json").json_lines
    assert (first["reason"], second["reason"]) == ("STALE", "NOT_ALLOWED")
    assert run("dead-letters", "show", str(first["dead_letter"]), "--json").json == first
    refused = run("dead-letters", "replay", str(second["dead_letter"]), "--json")
    assert (refused.status, "may not send" in refused.stderr) == (1, True)

    monkeypatch.setenv("POINTLEDGER_INGEST_KEYS_FILE", str(write_keys(tmp_path)))
    replayed = [
        run("dead-letters", "replay", str(dead_letter["dead_letter"]), "--json").json
        for dead_letter in (first, second)
    ]
    ledger.drain()

    task_ids = [task_id for each in replayed for task_id in each["task_ids"]]
    assert [outcome.state for outcome in ledger.client.outcomes(task_ids)] == ["applied", "applied"]
    assert ledger.balance("anna") == 10
    assert ledger.rows("SELECT extensions FROM journal ORDER BY seq LIMIT 1") == [
        ({"traceparent": "00-trace"},)
    ]
    assert [dead_letter["state"] for dead_letter in run("dead-letters", "list", "--json").json_lines] == [
        "replayed"
    ] * 2
    assert run("dead-letters", "list", "--state", "dead").stderr.strip() == "No dead letters."
    missing = run("dead-letters", "show", "99")
    assert (missing.status, "No dead letter has this number" in missing.stderr) == (1, True)


def test_a_dead_letter_that_a_person_replays_is_retried_by_the_ingest_whatever_its_age(
    ledger: Ledger, ingest: Ingest
) -> None:
    received(ingest, earn(1, iat=(NOW - timedelta(hours=30)).isoformat()))
    (letter,) = kept(ledger)
    assert (letter.reason, letter.tenant_id) == ("STALE", "shop")
    control = Control(ledger.database, ledger.doorbells, ledger.settings)
    eva = Actor("person:eva", "the till was away")

    assert not control.replay("cafe", letter.id, eva), "another tenant's"
    assert [control.replay("shop", letter.id, eva) for _ in range(2)] == [True, False]
    assert ingest.retry_deferred() == {"accepted": 1}
    ledger.drain()

    assert ledger.balance("anna") == 5
    assert kept(ledger)[0].state == "replayed"
    assert not control.replay("shop", letter.id, eva), "it is replayed"
    acts = ledger.client.audit_log("shop", kind="dead-letter-replay")
    assert [(act["actor"], act["reason"], act["after"]) for act in acts] == [
        ("person:eva", "the till was away", {"dead_letter": letter.id, "state": "deferred"})
    ]


@pytest.mark.parametrize(
    ("content", "tenant_id"),
    [
        pytest.param(earn(amount=0), "shop", id="an event"),
        pytest.param([earn(amount=0), earn()], "shop", id="two events of a tenant"),
        pytest.param([earn(amount=0), earn(tenantid="nowhere")], None, id="two tenants"),
        pytest.param(earn(amount=0, tenantid="cafe"), None, id="a tenant of others"),
        pytest.param(earn(amount=0, tenantid="a\0"), None, id="no name of a tenant"),
        pytest.param(earn(amount=0, tenantid=7), None, id="a number as tenant"),
        pytest.param([], None, id="no events"),
        pytest.param([7], None, id="a list of numbers"),
        pytest.param(7, None, id="a number"),
        pytest.param(b"{", None, id="no JSON"),
    ],
)
def test_a_signed_dead_letter_is_of_the_one_tenant_that_it_names_and_may_name(
    ledger: Ledger, ingest: Ingest, content: object, tenant_id: str | None
) -> None:
    received(ingest, content)
    assert [each.tenant_id for each in kept(ledger)] == ([] if content == [] else [tenant_id])


def test_an_unsigned_dead_letter_is_of_no_tenant(ledger: Ledger, ingest: Ingest) -> None:
    received(ingest, earn(), headers={})
    assert kept(ledger)[0].tenant_id is None


def test_a_dead_letter_that_is_still_invalid_says_why(ledger: Ledger, ingest: Ingest) -> None:
    received(ingest, earn(1, amount=0))
    with pytest.raises(DeadLetterNotReplayable, match=r"data\.amount: Input should be greater"):
        ingest.replay(kept(ledger)[0].id)
    assert kept(ledger)[0].attempts == 2

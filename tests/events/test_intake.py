"""Events in: what is understood becomes a command, once; all else is kept, as it came, with the reason."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from pointledger import Earn, SetStatus
from pointledger.client.acceptor import Acceptance
from pointledger.domain.events.producers import producers_from
from pointledger.errors import InvalidProducers, LetterUnfit
from pointledger.events.ingest import Intake, load_producers
from pointledger.events.ingest_queue import Mailbox, Message
from pointledger.settings import Settings
from pointledger.storage.queue import dead_letters
from pointledger.storage.queue.dead_letters import Letter
from tests.cli.conftest import Run
from tests.events.sender import NEW_KEY, OLD_KEY, Sender, earn, event, opened_mailbox, producers, signed
from tests.ledger import Ledger
from tests.waiting import wait_until


@pytest.fixture
def sender(settings: Settings) -> Iterator[Sender]:
    with Sender(settings) as opened:
        yield opened


@pytest.fixture
def mailbox(settings: Settings, sender: Sender) -> Iterator[Mailbox]:
    opened = opened_mailbox(settings)
    yield opened
    opened.close()


@pytest.fixture
def intake(ledger: Ledger) -> Intake:
    ledger.rule(name="visits", event_type="visit", points=3)
    return intake_of(ledger)


def intake_of(ledger: Ledger, **more: Any) -> Intake:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return Intake(ledger.database, acceptance, producers(**more))


def take(intake: Intake, mailbox: Mailbox, count: int) -> Counter[str]:
    """So many messages are received, and then no more."""
    found: Counter[str] = Counter()
    wait_until(
        lambda: bool(found.update(intake.step(mailbox, wait_seconds=0.1))) or found.total() >= count, ""
    )
    assert found.total() == count
    return found


def kept(ledger: Ledger, state: str | None = None) -> list[Letter]:
    with ledger.database.connect() as connection:
        return dead_letters.letters(connection, state=state)[::-1]


def received(
    intake: Intake, what: object, headers: dict[str, str] | None = None, **more: Any
) -> Counter[str]:
    """Straight to the intake, without a broker."""
    raw = what if isinstance(what, bytes) else json.dumps(what).encode()
    return intake.receive([Message(raw, signed(raw) if headers is None else headers, **more)])


# ---------------------------------------------------------------------------------------- what is right


def test_an_event_becomes_a_command_and_the_queue_forgets_it(
    ledger: Ledger, intake: Intake, sender: Sender, mailbox: Mailbox
) -> None:
    happened = datetime(2026, 3, 1, 10, tzinfo=UTC)
    sender.send(event(1, time=happened.isoformat(), data={"app": True}))
    sender.send([earn(2), earn(3, amount=7)])
    assert take(intake, mailbox, 2) == {"accepted": 2}
    ledger.drain()

    assert ledger.balance("anna") == 3 + 5 + 7
    assert sender.count() == 0
    assert ledger.counts("dead_letters") == [0]
    first = ledger.rows("SELECT kind, actor, idempotency_key, occurred_at FROM journal ORDER BY seq LIMIT 1")
    assert tuple(first[0]) == ("apply-rule", "web-shop", "/shop/web visit-1", happened)


def test_the_same_event_is_one_command_however_often_it_comes(ledger: Ledger, intake: Intake) -> None:
    later = earn(1) | {"iat": (datetime.now(UTC) - timedelta(minutes=5)).isoformat()}
    for _ in range(2):
        assert received(intake, later) == {"accepted": 1}
    assert received(intake, earn(1)) == {"accepted": 1}, "signed anew"
    ledger.drain()
    assert ledger.balance("anna") == 5
    assert ledger.counts("journal", "dead_letters", "aliases") == [1, 0, 1]


def test_either_of_two_keys_is_good(ledger: Ledger, intake: Intake) -> None:
    for number, (key, key_id) in enumerate([(OLD_KEY, "old"), (NEW_KEY, "new")]):
        raw = json.dumps(earn(number)).encode()
        assert received(intake, raw, signed(raw, key, key_id)) == {"accepted": 1}


def test_a_producer_may_choose_the_task_id_by_which_it_asks(ledger: Ledger, intake: Intake) -> None:
    received(intake, earn(1, taskid="01HZZZZZZZZZZZZZZZZZZZZZZZ"))
    ledger.drain()
    assert ledger.client.outcome("01HZZZZZZZZZZZZZZZZZZZZZZZ").state == "applied"


def test_what_came_with_an_event_is_found_with_its_command_and_no_decision(
    ledger: Ledger, intake: Intake, run: Run
) -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    received(intake, event(1, **trace, partitionkey="anna"))
    again = event(1, traceparent="00-11111111111111111111111111111111-2222222222222222-01")
    assert received(intake, again) == {"accepted": 1}, "the same event, sent again by another request"
    ledger.drain()
    (entry,) = ledger.entries("anna")
    why = run("why", "shop", entry["id"], "--json").json
    assert why["command"]["extensions"] == {**trace, "partitionkey": "anna"}
    assert f"Its extension traceparent: {trace['traceparent']}." in why["told"]
    (exported,) = run("export", "shop", "anna").json["commands"]
    assert exported["extensions"] == why["command"]["extensions"]
    assert "traceparent" not in exported["payload"]
    assert ledger.counts("journal", "dead_letters") == [1, 0]


def test_an_empty_batch_asks_for_nothing(ledger: Ledger, intake: Intake) -> None:
    assert received(intake, []) == {"accepted": 1}
    assert ledger.counts("journal", "dead_letters") == [0, 0]


def test_what_the_ledger_refuses_is_an_outcome_and_no_dead_letter(ledger: Ledger, intake: Intake) -> None:
    """Q18, Q19: a tenant that is not there, an account that is closed."""
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=1))
    ledger.apply(SetStatus(tenant_id="shop", user_id="anna", status="closed", reason="gone"))
    received(intake, [earn(1), earn(2, tenantid="nowhere")])
    ledger.drain()
    reasons = {row[0] for row in ledger.rows("SELECT reason FROM outcomes WHERE state = 'refused'")}
    assert reasons == {"ACCOUNT_CLOSED", "TENANT_UNKNOWN"}
    assert ledger.counts("dead_letters") == [0]


# ---------------------------------------------------------------------------------------- what is wrong

DEEP = b"[" * 100_000 + b"]" * 100_000
TWICE = json.dumps(earn()).replace('"subject": "anna"', '"subject": "anna", "subject": "eve"').encode()
NOW = datetime.now(UTC)

UNFIT: dict[str, tuple[object, str, str]] = {
    "Q1 not JSON": (b"{", "UNREADABLE", "not strict JSON"),
    "Q1 NaN": (b'{"id": NaN}', "UNREADABLE", "NaN"),
    "Q2 empty": (b"", "UNREADABLE", "not strict JSON"),
    "Q3 binary": (bytes(range(256)), "UNREADABLE", "UnicodeDecodeError"),
    "Q4 nested": (DEEP[30_000:130_000][:60_000], "UNREADABLE", "nested too deeply"),
    "Q5 large": (b" " * 65_537, "TOO_LARGE", "65537 bytes"),
    "no events": ([earn(), 7], "INVALID_EVENT", "a list of 1000 at most"),
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
        for user in ("", ".", "..", "%2e", "a/b", "a\u200bb", "а", "ａ", "a ",
            "' OR 1=1--", "a" * 65, 7, None)
    },
    "Q20 unknown": (earn(newBalance=9), "INVALID_EVENT", "newBalance: an attribute's name is 1 to 64"),
    "Q20 in data": (event(kind="earn", data={"amount": 1, "vip": 1}), "INVALID_EVENT", "vip: Extra inputs"),
    "Q20 own": (event(kind="earn", data={"amount": 1, "actor": "x"}), "INVALID_EVENT", "actor are"),
    "Q21 twice": (TWICE, "UNREADABLE", "subject: given twice"),
    "Q22 NUL": (event(data={"a": "\x00"}), "INVALID_EVENT", "NUL"),
    "Q22 surrogate": (event(data={"a": "\ud800"}), "INVALID_EVENT", "surrogates"),
    "second of two": ([earn(8), earn(9, amount=0)], "INVALID_EVENT", "event 2: data.amount:"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNFIT)
def test_what_is_signed_and_unfit_is_kept_as_it_came(ledger: Ledger, intake: Intake, case: str) -> None:
    what, reason, told = UNFIT[case]
    assert received(intake, what) == {"dead": 1}
    (letter,) = kept(ledger)
    raw = what if isinstance(what, bytes) else json.dumps(what).encode()
    assert (letter.state, letter.reason, letter.raw) == ("dead", reason, raw)
    assert told in letter.error
    assert letter.producer == (None if reason == "TOO_LARGE" else "web-shop")
    assert ledger.counts("journal") == [0]
    assert received(intake, earn(77)) == {"accepted": 1}, "and the next one goes on"


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
def test_what_nobody_has_signed_is_not_looked_at(
    ledger: Ledger, intake: Intake, headers: dict[str, str]
) -> None:
    """Q10."""
    what = earn() | {"iat": "2026-03-01T10:00:00Z"}
    assert received(intake, what, headers) == {"dead": 1}
    (letter,) = kept(ledger)
    assert (letter.reason, letter.producer) == ("UNSIGNED", None)
    assert ledger.counts("journal") == [0]


def test_no_answer_goes_to_a_channel_of_a_messages_choice(ledger: Ledger, intake: Intake) -> None:
    """Q23."""
    assert received(intake, earn(), reply_to="admins") == {"dead": 1}
    assert kept(ledger)[0].reason == "REPLY_REFUSED"


BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/till",
    "ce-type": "visit",
    "ce-subject": "anna",
}


@pytest.mark.parametrize("signs", [True, False])
def test_an_event_in_binary_mode_is_told_how_to_come(ledger: Ledger, intake: Intake, signs: bool) -> None:
    """Anyone with write access to the queue could put other attributes beside the signed data."""
    body = b'{"amount_minor": 1999}'
    headers = BINARY | (signed(body) if signs else {})
    assert received(intake, body, headers) == {"dead": 1}
    (letter,) = kept(ledger)
    assert (letter.reason, letter.raw) == ("BINARY_MODE", body)
    assert "send structured mode" in letter.error
    with pytest.raises(LetterUnfit, match="send structured mode"):
        intake.replay(letter.id)
    assert (kept(ledger)[0].reason, kept(ledger)[0].attempts) == ("BINARY_MODE", 2)


def test_an_event_in_structured_mode_may_repeat_its_attributes_in_headers(
    ledger: Ledger, intake: Intake
) -> None:
    raw = json.dumps(earn(1)).encode()
    assert received(intake, raw, BINARY | signed(raw)) == {"accepted": 1}


def test_an_id_with_other_content_is_dead_and_its_neighbours_are_not(ledger: Ledger, intake: Intake) -> None:
    """Q14, Q15."""
    messages = [json.dumps(what).encode() for what in (earn(1), earn(2), earn(1, amount=9), earn(3))]
    counts = intake.receive([Message(raw, signed(raw)) for raw in messages])
    assert counts == {"accepted": 3, "dead": 1}
    assert (kept(ledger)[0].reason, kept(ledger)[0].raw) == ("IDEMPOTENCY_KEY_REUSED", messages[2])
    assert ledger.counts("journal") == [3]


def test_what_comes_again_is_one_letter_that_counts(ledger: Ledger, intake: Intake) -> None:
    for _ in range(3):
        received(intake, b"{")
    received(intake, b"[")
    first, second = kept(ledger)
    assert (first.attempts, second.attempts) == (3, 1)
    assert first.last_seen_at > first.received_at


# ----------------------------------------------------------------------------------------- what is held


@pytest.mark.parametrize("newer", [{"version": 2}, {"specversion": "2.0"}])
def test_a_version_of_the_future_is_held_and_tried_again(
    ledger: Ledger, intake: Intake, newer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q9."""
    assert received(intake, earn() | newer) == {"held": 1}
    assert intake.retry_held() == {}, "not yet"
    become_due(ledger)
    assert intake.retry_held() == {"held": 1}
    (letter,) = kept(ledger, "held")
    assert (letter.reason, letter.attempts) == ("UNKNOWN_VERSION", 2)
    become_due(ledger)
    monkeypatch.setattr(
        "pointledger.events.ingest.commands_of", lambda *_: [Earn(tenant_id="shop", user_id="anna", amount=1)]
    )
    assert intake.retry_held() == {"accepted": 1}
    assert kept(ledger)[0].state == "replayed"


def become_due(ledger: Ledger) -> None:
    with ledger.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE dead_letters SET held_until = now() - interval '1 s' WHERE state = 'held'"
        )


def next_minute(ledger: Ledger) -> None:
    become_due(ledger)
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE producer_minutes SET minute = minute - interval '1 minute'")


def test_what_is_more_than_a_producers_quota_waits_and_keeps_its_order(ledger: Ledger) -> None:
    """Q24: the producer's later events stand behind it, others' do not."""
    intake = intake_of(ledger, per_minute=3)
    raw = [
        json.dumps(earn(number, amount=number + 1, sequence=str(number + 1))).encode() for number in range(8)
    ]
    bank = json.dumps(earn(1, subject="ben")).encode()
    messages = [Message(each, signed(each)) for each in raw]
    others = Message(bank, signed(bank, "b" * 32, "b", "bank"))
    with frozen_minute(ledger):
        assert intake.receive([*messages[:5], others]) == {"accepted": 4, "held": 2}
        next_minute(ledger)
        assert intake.receive(messages[5:]) == {"held": 3}, "behind what is held"
        next_minute(ledger)
        assert intake.retry_held() == {"accepted": 3, "held": 2}
        next_minute(ledger)
        assert intake.retry_held() == {"accepted": 2}
    found = ledger.rows(
        """SELECT (payload ->> 'amount')::int, (extensions ->> 'sequence')::int FROM journal
           WHERE user_id = 'anna' ORDER BY seq"""
    )
    assert found == [(number, number) for number in range(1, 9)]


class frozen_minute:
    """Begins early in a minute, so that none ends in the middle of the test."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __enter__(self) -> None:
        early = "SELECT extract(second FROM clock_timestamp()) < 50"
        wait_until(lambda: bool(self._ledger.rows(early)[0][0]), "a minute has begun")

    def __exit__(self, *_: object) -> None:
        pass


# ------------------------------------------------------------------------------------ nothing gets lost


def test_what_was_taken_and_not_done_with_comes_again(
    ledger: Ledger, intake: Intake, sender: Sender, settings: Settings
) -> None:
    sender.send(earn(1))
    sender.send(earn(2))
    dying = opened_mailbox(settings)
    taken: list[Message] = []
    while len(taken) < 2:
        taken = list(dying.take(10, 1.0))
    intake.receive(taken)  # committed, and then it is killed
    dying.close()

    again = opened_mailbox(settings)
    assert take(intake, again, 2) == {"accepted": 2}
    again.close()
    ledger.drain()
    assert ledger.balance("anna") == 10
    assert sender.count() == 0


def test_a_taker_that_died_gives_back_what_it_had_to_the_front(redis_url: str, settings: Settings) -> None:
    on_redis = settings.model_copy(update={"events_url": redis_url})
    with Sender(on_redis) as sender, Redis.from_url(redis_url) as client:
        for number in range(4):
            sender.send(earn(number))
        dead = opened_mailbox(on_redis)
        first = dead.take(2, 0)
        living = opened_mailbox(on_redis)
        assert len(living.take(1, 0)) == 1, "it still shows itself: only what is free"
        living.close()
        client.delete(*client.keys("points.intake:alive:*"))  # half a minute later

        heir = opened_mailbox(on_redis)
        heard = heir.take(10, 0)
        assert [message.raw for message in heard[:2]] == [message.raw for message in first]
        assert len(heard) == 4
        assert heir.take(10, 0) == heard, "until it is done with"
        heir.done()
        assert client.keys("points.intake*") != []
        heir.close()
        assert client.keys("points.intake*") == []


def test_what_is_no_message_at_all_is_kept_as_well(
    ledger: Ledger, intake: Intake, redis_url: str, settings: Settings
) -> None:
    """Garbage on the list itself, with which kombu's own reader would be lost."""
    garbage = [
        b"",
        b"\xff\x00",
        b"null",
        b"[]",
        b'{"body": 7}',
        b"[" * 2_000,
        b'{"headers": [], "properties": {}}',
    ]
    with Redis.from_url(redis_url) as client:
        client.lpush("points.intake", *garbage)
    mailbox = opened_mailbox(settings.model_copy(update={"events_url": redis_url}))
    assert take(intake, mailbox, len(garbage)) == {"dead": len(garbage)}
    mailbox.close()
    assert {letter.raw for letter in kept(ledger)} == set(garbage)
    assert {letter.reason for letter in kept(ledger)} == {"UNSIGNED"}


def test_an_intake_whose_database_is_away_keeps_what_it_has_and_goes_on(
    ledger: Ledger, intake: Intake, sender: Sender, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.send(earn(1))
    real, fails = intake.receive, iter([True, True])
    stop = threading.Event()

    def flaky(messages: Any) -> Any:
        if next(fails, False):
            with ledger.database.connect() as connection:
                connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        counts = real(messages)
        stop.set()
        return counts

    monkeypatch.setattr(intake, "receive", flaky)
    paused: list[float] = []
    intake.run(mailbox, stop.is_set, paused.append)
    assert paused == [0.5, 1.0]
    ledger.drain()
    assert ledger.balance("anna") == 5


# --------------------------------------------------------------------------------------- keys, commands


def test_a_letter_can_be_replayed_once_its_cause_is_put_right(
    ledger: Ledger, sender: Sender, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTLEDGER_INTAKE_KEYS_FILE", str(write_keys(tmp_path, tenants=["cafe"])))
    old = earn(1, iat=(NOW - timedelta(hours=30)).isoformat(), traceparent="00-trace")
    sender.send(old)
    sender.send(earn(2))
    assert run("intake", "--once", "--json").json == {"accepted": 0, "dead": 2, "held": 0}
    second, first = run("dead", "letters", "--json").json_lines
    assert (first["reason"], second["reason"]) == ("STALE", "NOT_ALLOWED")
    assert run("dead", "letter", str(first["letter"]), "--json").json == first
    refused = run("dead", "replay", str(second["letter"]), "--json")
    assert (refused.status, "may not send" in refused.stderr) == (1, True)

    monkeypatch.setenv("POINTLEDGER_INTAKE_KEYS_FILE", str(write_keys(tmp_path)))
    replayed = [run("dead", "replay", str(letter["letter"]), "--json").json for letter in (first, second)]
    ledger.drain()

    task_ids = [task_id for each in replayed for task_id in each["task_ids"]]
    assert [outcome.state for outcome in ledger.client.outcomes(task_ids)] == ["applied", "applied"]
    assert ledger.balance("anna") == 10
    assert ledger.rows("SELECT extensions FROM journal ORDER BY seq LIMIT 1") == [
        ({"traceparent": "00-trace"},)
    ]
    assert [letter["state"] for letter in run("dead", "letters", "--json").json_lines] == ["replayed"] * 2
    assert run("dead", "letters", "--state", "dead").stderr.strip() == "No letters."
    missing = run("dead", "letter", "99")
    assert (missing.status, "No letter has this number" in missing.stderr) == (1, True)


def write_keys(folder: Path, **more: Any) -> Path:
    shop = {
        "name": "web-shop",
        "keys": [{"id": "new", "secret": NEW_KEY}],
        "tenants": "all",
        "kinds": ["earn"],
    }
    path = folder / "keys.json"
    path.write_text(json.dumps({"producers": [shop | more]}))
    return path


def test_a_letter_that_is_still_no_command_says_why(ledger: Ledger, intake: Intake) -> None:
    received(intake, earn(1, amount=0))
    with pytest.raises(LetterUnfit, match=r"data\.amount: Input should be greater"):
        intake.replay(kept(ledger)[0].id)
    assert kept(ledger)[0].attempts == 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "producers: Field required"),
        ({"producers": [{"name": "a", "keys": [], "tenants": "all"}]}, "keys: Value should have at least 1"),
        (
            {"producers": [{"name": "a", "keys": [{"id": "k", "secret": "short"}], "tenants": "all"}]},
            "secret:",
        ),
        (
            {
                "producers": [
                    {"name": "a", "keys": [{"id": "k", "secret": "s" * 32}], "tenants": [], "kinds": ["x"]}
                ]
            },
            "kinds: unknown: x",
        ),
    ],
)
def test_a_malformed_file_of_keys_names_the_field_and_shows_no_secret(fields: Any, told: str) -> None:
    with pytest.raises(InvalidProducers) as raised:
        producers_from(fields)
    assert told in str(raised.value)
    assert "ssss" not in str(raised.value)
    assert "short" not in str(raised.value)


def test_keys_are_never_shown(tmp_path: Path, settings: Settings) -> None:
    path = write_keys(tmp_path)
    found = load_producers(settings.model_copy(update={"intake_keys_file": path}))
    assert NEW_KEY not in repr(found)
    assert NEW_KEY not in repr(Settings(intake_keys=path.read_text()))
    assert load_producers(Settings(intake_keys=path.read_text())) == found
    with pytest.raises(InvalidProducers, match="No such file"):
        load_producers(settings.model_copy(update={"intake_keys_file": tmp_path / "none"}))
    path.write_text("{")
    with pytest.raises(InvalidProducers, match="not JSON"):
        load_producers(settings.model_copy(update={"intake_keys_file": path}))

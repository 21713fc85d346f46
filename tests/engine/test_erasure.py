"""Erasing a user on a real ledger: no row names the person afterwards, and every sum stays."""

import json
from base64 import b64encode
from typing import Any

import pytest

from pointledger import Adjust, ApplyRule, Earn, EraseUser, Freeze, Spend, Transfer, Unfreeze, WalletAdjust
from pointledger.errors import AccountMissing, IdempotencyKeyReused
from pointledger.ids import new_id, parse_id
from pointledger.observability.verify import verify
from pointledger.storage.database import run
from pointledger.storage.ledger import erasures
from pointledger.storage.queue import dead_letters, failures
from pointledger.storage.queue.dead_letters import DeadLetter
from tests.engine.erasing import ANNA, BEN, PERSON, assert_redacted, erase, everything, live, program, search
from tests.ledger import Ledger, data_of


def test_q9_after_an_erasure_no_table_names_the_person_and_every_sum_stays(ledger: Ledger) -> None:
    live(ledger)
    with ledger.database.begin() as connection:
        for entry_point, raw in (("celery", f'{{"tenant_id": "shop", "user_id": "{PERSON}", "n": "secret"}}'),
                          ("batch-earn", f'{{"user_id": "{PERSON}", "amount": "secret"}}')):  # fmt: skip
            dead_letters.keep(
                connection,
                entry_point=entry_point,
                task_id=new_id(),
                raw=raw.encode(),
                reason="INVALID_COMMAND",
                error="n",
            )
    before = ledger.rows("SELECT sum(delta), count(*) FROM entries WHERE subtype <> 'forfeit'")

    erased = erase(ledger)
    assert verify(ledger.database).violations == 0, "also during the search"
    assert search(ledger) == 1

    assert_redacted(ledger)
    assert erased["points_forfeited"] == 68
    assert ledger.rows("SELECT sum(delta), count(*) FROM entries WHERE subtype <> 'forfeit'") == before
    assert ledger.balance("ben") == 90
    assert verify(ledger.database).violations == 0
    assert search(ledger) == 0
    pseudonym = erased["account"]["user_id"]
    assert (ledger.account(pseudonym)["status"], ledger.balance(pseudonym)) == ("erased", 0)
    assert len(ledger.client.explain_entry("shop", ledger.entries(pseudonym)[0]["id"]).sentences) > 1


DATA = f'{{"to_user_id": "{PERSON}", "name": "Secret"}}'
EVENTS = [
    {"data": json.loads(DATA)},
    {"data": DATA},
    {"data_base64": b64encode(DATA.encode()).decode()},
    [{"data_base64": "e30="}, {"data_base64": b64encode(b"???" + DATA.encode()).decode()}],
]


@pytest.mark.parametrize("event", EVENTS, ids=["an object", "text", "base64", "a batch"])
@pytest.mark.parametrize("slash", ["/", "\\/", "\\u002F"], ids=["plain", "escaped", "escaped as a number"])
def test_a_dead_letter_is_redacted_in_every_form_in_which_an_event_names_the_person(
    ledger: Ledger, event: Any, slash: str
) -> None:
    live(ledger)
    others = json.dumps({"tenantid": "shop", "data_base64": b64encode(b'"anna.smith2"').decode()})
    broken = json.dumps({"tenantid": "shop", "data_base64": "e30"})
    raw = json.dumps({"tenantid": "shop", "event": event}).replace("/", slash)
    if slash == "\\u002F":
        raw = raw.replace("anna", "\\u0061n\\u006Ea").replace("shop", "\\u0073hop")
    with ledger.database.begin() as connection:
        for stored in (raw, others, broken, "\x00\\ \xff"):
            dead_letters.keep(
                connection,
                entry_point="events",
                raw=stored.encode("latin-1"),
                reason="INVALID_EVENT",
                error="Secret",
            )
    erase(ledger)
    search(ledger)
    left = [dead_letter.raw.decode("latin-1") for dead_letter in dead_letters_in(ledger)]
    assert left == ["", others, broken, "\x00\\ \xff"]
    assert dead_letters_in(ledger)[0].error == "erased"


def test_a_dead_letter_in_binary_mode_has_no_tenant_and_is_redacted_by_user_id(
    ledger: Ledger,
) -> None:
    live(ledger)
    with ledger.database.begin() as connection:
        dead_letters.keep(
            connection, entry_point="events", raw=DATA.encode(), reason="BINARY_MODE", error="in headers"
        )
    erase(ledger)
    search(ledger)
    assert_redacted(ledger)


def test_a_sent_callback_that_names_the_person_is_deleted_whatever_the_escaping(ledger: Ledger) -> None:
    live(ledger)
    command_id = ledger.rows("SELECT id FROM journal WHERE user_id = 'ben' LIMIT 1")[0][0]
    messages = {
        "theirs": json.dumps({"kwargs": {"user_id": PERSON}}).replace("anna", "\\u0061nna"),
        "as text": json.dumps({"args": [json.dumps({"user": PERSON})]}),
        "another's": json.dumps({"kwargs": {"user_id": f"{PERSON}2", "note": "\x00"}}),
    }
    with ledger.database.begin() as connection:
        for place, message in enumerate(messages.values()):
            run(
                connection,
                """INSERT INTO callbacks (task_id, command_id, kind, place, message, sent_at)
                   VALUES (%(task)s, %(command)s, 'link', %(place)s, %(message)s, clock_timestamp())""",
                task=new_id(),
                command=command_id,
                place=place,
                message=message,
            )
    erase(ledger)
    search(ledger)
    assert ledger.rows("SELECT place FROM callbacks") == [(2,)]


def dead_letters_in(ledger: Ledger) -> list[DeadLetter]:
    with ledger.database.connect() as connection:
        return dead_letters.find(connection)[::-1]


def test_a_repeated_command_of_an_erased_user_is_not_applied_again(ledger: Ledger) -> None:
    live(ledger)
    sent = Earn(**ANNA, amount=7, reason="Secret", idempotency_key="once")
    (first,) = ledger.apply(sent)
    erase(ledger)
    search(ledger)
    entries = ledger.counts("entries")

    (again,) = ledger.apply(sent)
    assert (again.state, data_of(again)["points_earned"]) == ("applied", data_of(first)["points_earned"])
    repeated = ledger.apply(
        Earn(**ANNA, amount=7, reason="Secret", idempotency_key="once"),
        ApplyRule(**ANNA, event_type="visit", event_id="secret-event", metadata={"name": "Secret Anna"}),
        Transfer(**BEN, to_user_id=PERSON, amount=20, idempotency_key="to-anna.smith"),
    )

    assert [outcome.reason for outcome in repeated] == [
        "ACCOUNT_ERASED",
        "ACCOUNT_ERASED",
        "RECIPIENT_INACTIVE",
    ]
    assert ledger.counts("entries") == entries
    assert_redacted(ledger)
    with pytest.raises(IdempotencyKeyReused):  # commands that are not redacted are still compared
        ledger.apply(Earn(**BEN, amount=1, idempotency_key="b"), Earn(**BEN, amount=2, idempotency_key="b"))


def test_pending_and_later_commands_of_an_erased_user_are_refused_and_redacted(ledger: Ledger) -> None:
    live(ledger)
    pending = ledger.client.enqueue_many(
        [
            EraseUser(**ANNA),
            Earn(**ANNA, amount=7, reason="Secret", idempotency_key="anna.smith-7"),
            Freeze(**ANNA, amount=7, reason="Secret"),
            Transfer(**BEN, to_user_id=PERSON, amount=1, description="Secret"),
        ]
    )
    ledger.drain()
    assert [outcome.reason for outcome in ledger.client.outcomes(pending)] == [
        None,
        "ACCOUNT_ERASED",
        "ACCOUNT_ERASED",
        "RECIPIENT_INACTIVE",
    ]
    search(ledger)
    assert_redacted(ledger)
    ledger.apply(
        Earn(**ANNA, amount=7, reason="Secret"),
        Transfer(**BEN, to_user_id=PERSON, amount=1, description="Secret"),
        Transfer(**ANNA, to_user_id="ben", amount=1, description="Secret"),
    )
    assert_redacted(ledger)
    assert verify(ledger.database).violations == 0


def test_a_dead_command_of_an_erased_user_is_redacted_and_can_still_be_retried(ledger: Ledger) -> None:
    live(ledger)
    task_id = ledger.client.enqueue(Adjust(**ANNA, amount=1, reason="Secret complaint"))
    with ledger.database.begin() as connection:
        lane = ledger.waiting_lanes()[0]
        failures.record_failure(connection, lane, parse_id(task_id), f"KeyError: Secret of {PERSON}")
        failures.mark_dead(connection, lane, parse_id(task_id), block=False)
    erase(ledger)
    search(ledger)
    assert_redacted(ledger)
    assert ledger.client.outcome(task_id).message == "KeyError"
    with ledger.database.begin() as connection:
        failures.retry(connection, parse_id(task_id))
    ledger.drain()
    assert ledger.client.outcome(task_id).reason == "ACCOUNT_ERASED"


def test_open_holds_block_an_erasure(ledger: Ledger) -> None:
    live(ledger)
    ledger.apply(Freeze(**ANNA, amount=5))
    (refused,) = ledger.apply(EraseUser(**ANNA))
    assert refused.reason == "OPEN_HOLDS"
    assert (ledger.balance(PERSON), ledger.counts("erasures")) == (63, [0])
    ledger.apply(Unfreeze(**ANNA, amount=5))
    erase(ledger)


def test_money_in_the_wallet_blocks_an_erasure_and_the_wallet_is_renamed_with_its_owner(
    ledger: Ledger,
) -> None:
    live(ledger)
    ledger.apply(WalletAdjust(**ANNA, type="deposit", amount="5", reason="x"))
    (refused,) = ledger.apply(EraseUser(**ANNA))
    assert (refused.reason, refused.message) == (
        "OPEN_HOLDS",
        "money is left in the wallet: withdraw it first",
    )
    ledger.apply(WalletAdjust(**ANNA, type="withdraw", amount="5", reason="x"))
    pseudonym = erase(ledger)["account"]["user_id"]
    assert verify(ledger.database).violations == 0
    assert ledger.client.wallet("shop", pseudonym)["balance"] == "0.00"
    (later,) = ledger.apply(WalletAdjust(**ANNA, type="deposit", amount="5", reason="x"))
    assert later.reason == "ACCOUNT_ERASED"


def test_queries_for_an_erased_user_fail_as_for_an_unknown_user(ledger: Ledger) -> None:
    live(ledger)
    erase(ledger)
    search(ledger)
    for query in (ledger.client.account, ledger.client.entries, ledger.client.export_user,
                  ledger.client.holds, ledger.client.expiring, ledger.client.user_statistics):  # fmt: skip
        messages = []
        for user in (PERSON, "unknown"):
            with pytest.raises(AccountMissing) as missing:
                query("shop", user)
            messages.append(str(missing.value).replace(user, ""))
        assert messages[0] == messages[1]


def test_a_user_without_an_account_can_be_erased_and_stays_erased(ledger: Ledger) -> None:
    program(ledger)
    ledger.apply(Spend(**ANNA, amount=5), ApplyRule(**ANNA, event_type="x", metadata={"name": "Secret"}))
    erase(ledger)
    search(ledger)
    assert_redacted(ledger)
    assert [o.reason for o in ledger.apply(Earn(**ANNA, amount=1))] == ["ACCOUNT_ERASED"]
    assert verify(ledger.database).violations == 0


def test_a_second_erasure_redacts_commands_that_were_cancelled_since(ledger: Ledger) -> None:
    live(ledger)
    erase(ledger)
    search(ledger)
    ledger.client.cancel(ledger.client.enqueue(Earn(**ANNA, amount=1, reason="Secret")))
    assert PERSON in everything(ledger)
    assert erase(ledger)["transactions"] == []
    assert search(ledger) == 1
    assert_redacted(ledger)
    assert verify(ledger.database).violations == 0


def test_a_second_erasure_reports_the_account_unchanged(ledger: Ledger) -> None:
    live(ledger)
    first = erase(ledger)
    again = erase(ledger)
    assert again["points_forfeited"] == 0
    assert again["account"] == first["account"]


def test_the_search_resumes_where_it_stopped(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    live(ledger)
    erase(ledger)
    monkeypatch.setattr(erasures, "_SEARCHED_AT_ONCE", 3)
    steps: list[bool | None] = []
    while not steps or steps[-1] is False:
        with ledger.database.begin() as connection:
            steps.append(erasures.search_next(connection))
    assert (steps[-1], len(steps)) == (True, 6)
    assert_redacted(ledger)

"""Erasing a user on the real ledger: nothing names the person any more, and every sum stays."""

import json
from base64 import b64encode
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from pointledger import Adjust, ApplyRule, Earn, EraseUser, Freeze, Spend, Transfer, Unfreeze, WalletAdjust
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.errors import AccountMissing, ErasureKeyDiffers, ErasureKeyMissing, IdempotencyKeyReused
from pointledger.ids import new_id, parse_id
from pointledger.jobs.scheduler import Sweep
from pointledger.observability.verify import audit
from pointledger.settings import Settings
from pointledger.storage.database import rows, run
from pointledger.storage.ledger import erasures
from pointledger.storage.queue import dead_letters, failures
from pointledger.storage.queue.dead_letters import Letter
from tests.ledger import Ledger, data_of

PERSON = "anna.smith"
ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": PERSON}
BEN: dict[str, Any] = {"tenant_id": "shop", "user_id": "ben"}

COLUMNS = """
SELECT table_name FROM information_schema.columns
WHERE table_schema = 'public' AND column_name = %(name)s ORDER BY table_name"""


def everything(ledger: Ledger) -> str:
    """The whole database as text."""
    tables = [row[0] for row in ledger.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    told = [str(row) for table in tables for row in ledger.rows(f"SELECT row::text FROM {table} AS row")]
    return "\n".join(told) + str(ledger.rows("SELECT encode(raw, 'escape') FROM dead_letters"))


def search(ledger: Ledger) -> int:
    return Sweep(ledger.database, ledger.client._own.acceptance).finish_erasures()


def programme(ledger: Ledger) -> None:
    ledger.tenant(transfer_enabled=True, max_earn_per_day=1_000)
    ledger.rule(name="visit", event_type="visit", points=5, daily_limit=100)


def live(ledger: Ledger) -> None:
    """Anna does all that leaves traces."""
    programme(ledger)
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


def assert_forgotten(ledger: Ledger) -> None:
    told = everything(ledger).replace("anna.smith2", "")
    assert PERSON not in told
    assert "ecret" not in told


def test_q9_nothing_in_any_table_names_the_person_and_every_sum_stays(ledger: Ledger) -> None:
    live(ledger)
    with ledger.database.begin() as connection:
        for door, raw in (("celery", f'{{"tenant_id": "shop", "user_id": "{PERSON}", "n": "secret"}}'),
                          ("batch-earn", f'{{"user_id": "{PERSON}", "amount": "secret"}}')):  # fmt: skip
            dead_letters.keep(
                connection, door=door, task_id=new_id(), raw=raw.encode(), reason="INVALID_COMMAND", error="n"
            )
    before = ledger.rows("SELECT sum(delta), count(*) FROM entries WHERE subtype <> 'forfeit'")

    told = erase(ledger)
    assert audit(ledger.database).violations == 0, "also while the search is on"
    assert search(ledger) == 1

    assert_forgotten(ledger)
    assert told["points_forfeited"] == 68
    assert ledger.rows("SELECT sum(delta), count(*) FROM entries WHERE subtype <> 'forfeit'") == before
    assert ledger.balance("ben") == 90
    assert audit(ledger.database).violations == 0
    assert search(ledger) == 0
    pseudonym = told["account"]["user_id"]
    assert (ledger.account(pseudonym)["status"], ledger.balance(pseudonym)) == ("erased", 0)
    assert len(ledger.client.why("shop", ledger.entries(pseudonym)[0]["id"]).told) > 1


SAID = f'{{"to_user_id": "{PERSON}", "name": "Secret"}}'
LETTERS = [
    {"data": json.loads(SAID)},
    {"data": SAID},
    {"data_base64": b64encode(SAID.encode()).decode()},
    [{"data_base64": "e30="}, {"data_base64": b64encode(b"???" + SAID.encode()).decode()}],
]


@pytest.mark.parametrize("event", LETTERS, ids=["an object", "text", "base64", "a batch"])
@pytest.mark.parametrize("slash", ["/", "\\/"], ids=["plain", "escaped"])
def test_a_letter_is_forgotten_in_whatever_form_an_event_names_the_person(
    ledger: Ledger, event: Any, slash: str
) -> None:
    live(ledger)
    others = json.dumps({"tenantid": "shop", "data_base64": b64encode(b'"anna.smith2"').decode()})
    broken = json.dumps({"tenantid": "shop", "data_base64": "e30"})
    raw = json.dumps({"tenantid": "shop", "event": event}).replace("/", slash)
    with ledger.database.begin() as connection:
        for kept in (raw, others, broken, "\x00\\ \xff"):
            dead_letters.keep(
                connection, door="events", raw=kept.encode("latin-1"), reason="INVALID_EVENT", error="Secret"
            )
    erase(ledger)
    search(ledger)
    left = [letter.raw.decode("latin-1") for letter in letters_in(ledger)]
    assert left == ["", others, broken, "\x00\\ \xff"]
    assert letters_in(ledger)[0].error == "erased"


def test_a_letter_in_binary_mode_does_not_tell_its_tenant_and_is_forgotten_by_the_name(
    ledger: Ledger,
) -> None:
    live(ledger)
    with ledger.database.begin() as connection:
        dead_letters.keep(
            connection, door="events", raw=SAID.encode(), reason="BINARY_MODE", error="in headers"
        )
    erase(ledger)
    search(ledger)
    assert_forgotten(ledger)


def letters_in(ledger: Ledger) -> list[Letter]:
    with ledger.database.connect() as connection:
        return dead_letters.letters(connection)[::-1]


def test_a_command_that_is_sent_again_is_not_applied_again(ledger: Ledger) -> None:
    live(ledger)
    sent = Earn(**ANNA, amount=7, reason="Secret", idempotency_key="once")
    (first,) = ledger.apply(sent)
    erase(ledger)
    search(ledger)
    entries = ledger.counts("entries")

    (again,) = ledger.apply(sent)
    assert (again.state, data_of(again)["points_earned"]) == ("applied", data_of(first)["points_earned"])
    twins = ledger.apply(
        Earn(**ANNA, amount=7, reason="Secret", idempotency_key="once"),
        ApplyRule(**ANNA, event_type="visit", event_id="secret-event", metadata={"name": "Secret Anna"}),
        Transfer(**BEN, to_user_id=PERSON, amount=20, idempotency_key="to-anna.smith"),
    )

    assert [twin.reason for twin in twins] == ["ACCOUNT_ERASED", "ACCOUNT_ERASED", "RECIPIENT_INACTIVE"]
    assert ledger.counts("entries") == entries
    assert_forgotten(ledger)
    with pytest.raises(IdempotencyKeyReused):  # what was not stripped is compared as ever
        ledger.apply(Earn(**BEN, amount=1, idempotency_key="b"), Earn(**BEN, amount=2, idempotency_key="b"))


def test_what_waits_or_comes_later_is_refused_and_forgotten_at_once(ledger: Ledger) -> None:
    live(ledger)
    waiting = ledger.client.enqueue_many(
        [
            EraseUser(**ANNA),
            Earn(**ANNA, amount=7, reason="Secret", idempotency_key="anna.smith-7"),
            Freeze(**ANNA, amount=7, reason="Secret"),
            Transfer(**BEN, to_user_id=PERSON, amount=1, description="Secret"),
        ]
    )
    ledger.drain()
    assert [outcome.reason for outcome in ledger.client.outcomes(waiting)] == [
        None,
        "ACCOUNT_ERASED",
        "ACCOUNT_ERASED",
        "RECIPIENT_INACTIVE",
    ]
    search(ledger)
    assert_forgotten(ledger)
    ledger.apply(
        Earn(**ANNA, amount=7, reason="Secret"),
        Transfer(**BEN, to_user_id=PERSON, amount=1, description="Secret"),
        Transfer(**ANNA, to_user_id="ben", amount=1, description="Secret"),
    )
    assert_forgotten(ledger)
    assert audit(ledger.database).violations == 0


def test_a_dead_command_of_an_erased_user_is_stripped_and_can_still_be_retried(ledger: Ledger) -> None:
    live(ledger)
    task_id = ledger.client.enqueue(Adjust(**ANNA, amount=1, reason="Secret complaint"))
    with ledger.database.begin() as connection:
        lane = ledger.waiting_lanes()[0]
        failures.charge(connection, lane, parse_id(task_id), f"KeyError: Secret of {PERSON}")
        failures.bury(connection, lane, parse_id(task_id), hold=False)
    erase(ledger)
    search(ledger)
    assert_forgotten(ledger)
    assert ledger.client.outcome(task_id).message == "KeyError"
    with ledger.database.begin() as connection:
        failures.revive(connection, parse_id(task_id))
    ledger.drain()
    assert ledger.client.outcome(task_id).reason == "ACCOUNT_ERASED"


def test_open_holds_block_it_and_leave_everything_as_it_is(ledger: Ledger) -> None:
    live(ledger)
    ledger.apply(Freeze(**ANNA, amount=5))
    (refused,) = ledger.apply(EraseUser(**ANNA))
    assert refused.reason == "OPEN_HOLDS"
    assert (ledger.balance(PERSON), ledger.counts("erasures")) == (63, [0])
    ledger.apply(Unfreeze(**ANNA, amount=5))
    erase(ledger)


def test_money_that_is_left_blocks_it_and_the_wallet_goes_with_its_owner(ledger: Ledger) -> None:
    live(ledger)
    ledger.apply(WalletAdjust(**ANNA, type="deposit", amount="5", reason="x"))
    (refused,) = ledger.apply(EraseUser(**ANNA))
    assert (refused.reason, refused.message) == (
        "OPEN_HOLDS",
        "money is left in the wallet: withdraw it first",
    )
    ledger.apply(WalletAdjust(**ANNA, type="withdraw", amount="5", reason="x"))
    pseudonym = erase(ledger)["account"]["user_id"]
    assert audit(ledger.database).violations == 0
    assert ledger.client.wallet("shop", pseudonym)["balance"] == "0.00"
    (later,) = ledger.apply(WalletAdjust(**ANNA, type="deposit", amount="5", reason="x"))
    assert later.reason == "ACCOUNT_ERASED"


def test_who_looks_for_an_erased_user_finds_what_is_found_of_a_stranger(ledger: Ledger) -> None:
    live(ledger)
    erase(ledger)
    search(ledger)
    for ask in (ledger.client.account, ledger.client.entries, ledger.client.export_user,
                ledger.client.holds, ledger.client.expiring, ledger.client.user_statistics):  # fmt: skip
        told = []
        for user in (PERSON, "stranger"):
            with pytest.raises(AccountMissing) as missing:
                ask("shop", user)
            told.append(str(missing.value).replace(user, ""))
        assert told[0] == told[1]


def test_a_user_who_never_had_an_account_is_forgotten_and_stays_out(ledger: Ledger) -> None:
    programme(ledger)
    ledger.apply(Spend(**ANNA, amount=5), ApplyRule(**ANNA, event_type="x", metadata={"name": "Secret"}))
    erase(ledger)
    search(ledger)
    assert_forgotten(ledger)
    assert [o.reason for o in ledger.apply(Earn(**ANNA, amount=1))] == ["ACCOUNT_ERASED"]
    assert audit(ledger.database).violations == 0


def test_erasing_again_finds_what_has_come_since_and_was_never_applied(ledger: Ledger) -> None:
    live(ledger)
    erase(ledger)
    search(ledger)
    ledger.client.cancel(ledger.client.enqueue(Earn(**ANNA, amount=1, reason="Secret")))
    assert PERSON in everything(ledger)
    assert erase(ledger)["transactions"] == []
    assert search(ledger) == 1
    assert_forgotten(ledger)
    assert audit(ledger.database).violations == 0


def test_erasing_again_shows_the_account_as_it_is(ledger: Ledger) -> None:
    live(ledger)
    first = erase(ledger)
    again = erase(ledger)
    assert again["points_forfeited"] == 0
    assert again["account"] == first["account"]


def test_the_search_goes_on_where_it_stopped(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    live(ledger)
    erase(ledger)
    monkeypatch.setattr(erasures, "_SEARCHED_AT_ONCE", 3)
    steps: list[bool | None] = []
    while not steps or steps[-1] is False:
        with ledger.database.begin() as connection:
            steps.append(erasures.search_on(connection))
    assert (steps[-1], len(steps)) == (True, 6)
    assert_forgotten(ledger)


# --------------------------------------------------------------------------------------------- the key


def without_key(settings: Settings, **more: Any) -> Settings:
    return settings.model_copy(update={"erasure_key": None, **more})


def test_without_a_key_the_command_dies_with_a_word_on_what_to_do(settings: Settings) -> None:
    with Ledger(without_key(settings, backoff_seconds=())) as ledger:
        live(ledger)
        (outcome,) = ledger.apply(EraseUser(**ANNA))
        assert outcome.state == "dead"
        assert "Set POINTLEDGER_ERASURE_KEY" in str(outcome.message)
        assert ledger.balance(PERSON) == 68


def test_a_worker_without_the_key_lets_those_wait_who_may_have_been_erased(
    ledger: Ledger, settings: Settings
) -> None:
    live(ledger)
    erase(ledger)
    with Ledger(without_key(settings)) as keyless:
        known, erased = keyless.apply(Earn(**BEN, amount=1), Earn(**ANNA, amount=1))
        assert (known.state, erased.state) == ("applied", "pending")
        assert keyless.rows("SELECT attempts, dead_at FROM failures") == [(0, None)]
    with ledger.database.begin() as connection:
        run(connection, "UPDATE failures SET next_attempt_at = NULL")
    ledger.drain()
    assert ledger.client.outcome(erased.task_id).reason == "ACCOUNT_ERASED"


def test_a_worker_with_another_key_or_none_does_not_start_once_somebody_was_erased(ledger: Ledger) -> None:
    live(ledger)
    with ledger.database.connect() as connection:
        erasures.require_key(connection, Pseudonyms())
    erase(ledger)
    with ledger.database.connect() as connection:
        erasures.require_key(connection, ledger.settings.pseudonyms)
        with pytest.raises(ErasureKeyMissing):
            erasures.require_key(connection, Pseudonyms())
        with pytest.raises(ErasureKeyDiffers):
            erasures.require_key(connection, Pseudonyms(b"another"))


def test_the_key_is_nowhere_to_be_read(settings: Settings) -> None:
    assert "kkkk" not in repr(settings)
    assert Settings(erasure_key="").pseudonyms.key is None
    with pytest.raises(ValueError, match="erasure_key"):
        Settings(erasure_key=SecretStr("short"))


# ------------------------------------------------------------------------------------------ the guard

SAYS_THAT_IT_ERASES = """
SELECT set_config('pointledger.person', %(p)s, true), set_config('pointledger.pseudonym', %(q)s, true)"""


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE journal SET payload = '{}'",
        "UPDATE journal SET user_id = 'x' WHERE kind = 'earn'",
        "UPDATE outcomes SET message = 'x'",
        "DELETE FROM journal",
        "DELETE FROM outcomes",
        "UPDATE entries SET amount = 1",
    ],
)
def test_nothing_else_may_change_a_row_also_where_a_session_says_that_it_erases(
    ledger: Ledger, change: str
) -> None:
    live(ledger)
    pseudonym = erase(ledger)["account"]["user_id"]
    for written in (False, True):
        with pytest.raises(psycopg.errors.RestrictViolation), ledger.owner.begin() as connection:
            rows(connection, SAYS_THAT_IT_ERASES, p=PERSON, q=pseudonym)
            if written:  # a row of its own in `erasures`: still not for rows that do not name the person
                run(connection, "UPDATE erasures SET commands = commands + 1")
            run(connection, change)


def test_an_erasing_statement_cannot_say_what_becomes_of_a_row(ledger: Ledger) -> None:
    live(ledger)
    told = erase(ledger)
    with ledger.owner.begin() as connection:
        rows(connection, SAYS_THAT_IT_ERASES, p=PERSON, q=told["account"]["user_id"])
        run(connection, "UPDATE erasures SET commands = commands + 1")
        run(
            connection,
            "UPDATE journal SET kind = 'spend', payload = '{\"amount\": 10000}' WHERE kind = 'adjust'",
        )
    assert ledger.rows("SELECT kind, payload::text FROM journal WHERE kind = 'adjust'") == [
        ("adjust", '{"amount": 3, "reason": "erased"}')
    ]


def test_every_table_that_names_users_is_known_to_the_erasure(ledger: Ledger) -> None:
    named = [row[0] for row in ledger.rows(COLUMNS, name="user_id")]
    assert named == ["accounts", "failures", "journal", "usage", "wallets"]

"""The key of erasures, and the triggers that protect rows from everything else."""

from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from pointledger import Earn, EraseUser
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.errors import ErasureKeyDiffers, ErasureKeyMissing
from pointledger.settings import Settings
from pointledger.storage.database import rows, run
from pointledger.storage.ledger import erasures
from tests.engine.erasing import ANNA, BEN, PERSON, erase, live
from tests.ledger import Ledger

# --------------------------------------------------------------------------------------------- the key


def without_key(settings: Settings, **more: Any) -> Settings:
    return settings.model_copy(update={"erasure_key": None, **more})


def test_without_a_key_the_command_is_dead_with_a_remedy(settings: Settings) -> None:
    with Ledger(without_key(settings, backoff_seconds=())) as ledger:
        live(ledger)
        (outcome,) = ledger.apply(EraseUser(**ANNA))
        assert outcome.state == "dead"
        assert "Set POINTLEDGER_ERASURE_KEY" in str(outcome.message)
        assert ledger.balance(PERSON) == 68


def test_a_worker_without_the_key_defers_commands_of_users_who_may_be_erased(
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


def test_a_worker_without_the_right_key_does_not_start_after_an_erasure(ledger: Ledger) -> None:
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


def test_the_key_is_not_shown(settings: Settings) -> None:
    assert "kkkk" not in repr(settings)
    assert Settings(erasure_key="").pseudonyms.key is None
    with pytest.raises(ValueError, match="erasure_key"):
        Settings(erasure_key=SecretStr("short"))


# ------------------------------------------------------------------------------------------ the guard

BEGIN_ERASING = """
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
def test_a_session_that_erases_may_change_nothing_else(ledger: Ledger, change: str) -> None:
    live(ledger)
    pseudonym = erase(ledger)["account"]["user_id"]
    for written in (False, True):
        with pytest.raises(psycopg.errors.RestrictViolation), ledger.owner.begin() as connection:
            rows(connection, BEGIN_ERASING, p=PERSON, q=pseudonym)
            if written:  # even with its own row in `erasures`, it may not change rows of other users
                run(connection, "UPDATE erasures SET commands = commands + 1")
            run(connection, change)


def test_an_erasing_statement_cannot_choose_the_new_values(ledger: Ledger) -> None:
    live(ledger)
    erased = erase(ledger)
    with ledger.owner.begin() as connection:
        rows(connection, BEGIN_ERASING, p=PERSON, q=erased["account"]["user_id"])
        run(connection, "UPDATE erasures SET commands = commands + 1")
        run(
            connection,
            "UPDATE journal SET kind = 'spend', payload = '{\"amount\": 10000}' WHERE kind = 'adjust'",
        )
    assert ledger.rows("SELECT kind, payload::text FROM journal WHERE kind = 'adjust'") == [
        ("adjust", '{"amount": 3, "reason": "erased"}')
    ]


COLUMNS = """
SELECT table_name FROM information_schema.columns
WHERE table_schema = 'public' AND column_name = %(name)s ORDER BY table_name"""


def test_the_erasure_knows_every_table_with_a_user_id(ledger: Ledger) -> None:
    named = [row[0] for row in ledger.rows(COLUMNS, name="user_id")]
    assert named == ["accounts", "failures", "journal", "usage", "wallets"]

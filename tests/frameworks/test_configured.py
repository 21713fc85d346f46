"""A framework's settings become the ledger's, and variables for the command line."""

import pytest
from pydantic import SecretStr

from pointledger.errors import SettingsInvalid
from pointledger.frameworks.configured import as_variables, settings_from, with_database
from pointledger.settings import Settings


def test_given_settings_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", "redis://environment/0")
    monkeypatch.setenv("POINTLEDGER_BATCH_SIZE", "300")
    settings = settings_from({"redis_url": "redis://given/0"})
    assert (settings.redis_url, settings.batch_size) == ("redis://given/0", 300)


@pytest.mark.parametrize("given", [{"redis": "redis://given/0"}, {"batch_size": "many"}])
def test_an_unknown_name_and_a_wrong_value_are_errors(given: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match=r"(?i)redis|batch_size"):
        settings_from(given)


@pytest.mark.parametrize("variable", ["POINTLEDGER_DATABASE_URL", "POINTLEDGER_DATABASE_URL_FILE"])
def test_the_frameworks_own_database_is_the_last_choice(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POINTLEDGER_DATABASE_URL", "POINTLEDGER_DATABASE_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    given = {"database_url": "postgresql://given/points"}
    assert with_database({}, "postgresql://own/shop") == {"database_url": "postgresql://own/shop"}
    assert with_database(given, "postgresql://own/shop") == given
    assert with_database({}, None) == {}
    monkeypatch.setenv(variable, "postgresql://environment/points")
    assert with_database({}, "postgresql://own/shop") == {}


def test_the_variables_of_settings_are_read_as_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "redis_url": "redis://given/0",
        "batch_size": 300,
        "pgbouncer": True,
        "allow_unsafe": ["postgres-durability"],
        "erasure_key": SecretStr("k" * 32),
        "owner_url": None,
    }
    for name, value in as_variables(given).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("POINTLEDGER_OWNER_URL", raising=False)
    assert Settings() == settings_from(given)

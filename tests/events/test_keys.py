"""A file of producers' keys is checked when it is read, and no message shows a secret."""

from pathlib import Path
from typing import Any

import pytest

from pointledger.domain.events.producers import producers_from
from pointledger.errors import InvalidProducers
from pointledger.events.reader import load_producers
from pointledger.settings import Settings
from tests.events.keys import write_keys
from tests.events.sender import NEW_KEY


@pytest.mark.parametrize(
    ("fields", "error"),
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
def test_a_malformed_file_of_keys_names_the_field_and_shows_no_secret(fields: Any, error: str) -> None:
    with pytest.raises(InvalidProducers) as raised:
        producers_from(fields)
    assert error in str(raised.value)
    assert "ssss" not in str(raised.value)
    assert "short" not in str(raised.value)


def test_keys_are_never_shown(tmp_path: Path, settings: Settings) -> None:
    path = write_keys(tmp_path)
    found = load_producers(settings.model_copy(update={"ingest_keys_file": path}))
    assert NEW_KEY not in repr(found)
    assert NEW_KEY not in repr(Settings(ingest_keys=path.read_text()))
    assert load_producers(Settings(ingest_keys=path.read_text())) == found
    with pytest.raises(InvalidProducers, match="No such file"):
        load_producers(settings.model_copy(update={"ingest_keys_file": tmp_path / "none"}))
    path.write_text("{")
    with pytest.raises(InvalidProducers, match="not JSON"):
        load_producers(settings.model_copy(update={"ingest_keys_file": path}))

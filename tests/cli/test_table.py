"""The table of commands says what the commands say of themselves."""

import inspect

import pytest

from pointledger.cli.table import Entry, entries, imported
from tests.cli.conftest import Run

ENTRIES = [entry for _, entry in entries()]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_help_shows_the_first_paragraph_of_a_command(entry: Entry) -> None:
    made = imported(entry.name)
    first, *_ = inspect.cleandoc(made.help).split("\n\n")
    assert " ".join(first.split()) == entry.help
    assert made.name == entry.name


def test_each_name_is_listed_once() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(names) == len(set(names))


def test_a_mistyped_command_gets_a_suggestion(run: Run) -> None:
    found = run("enqueu")
    assert found.status == 2
    assert "Did you mean 'enqueue'?" in found.stderr

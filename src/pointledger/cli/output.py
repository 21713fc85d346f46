"""Prints tables for people or JSON for programs to stdout, and status and errors to stderr."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

DONE, FAILED, BAD_INPUT, PENDING = 0, 1, 2, 3  # exit statuses

_WANTS_JSON = "pointledger.wants_json"
_UNBOUNDED_WIDTH = 1000  # if stdout is not a terminal, nothing is cut or folded

_COLORS = {"applied": "green", "pending": "yellow", "refused": "red", "dead": "bold red"}


def _remember(context: typer.Context, value: bool) -> bool:
    context.meta[_WANTS_JSON] = value
    return value


Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON for programs.", is_eager=True, callback=_remember),
]


def wants_json(context: Any) -> bool:
    """Return whether any command of this call has `--json`."""
    return bool(context.meta.get(_WANTS_JSON))


def print_json(value: object) -> None:
    """Print one JSON document on one line, in ASCII, so that it works with every terminal and encoding."""
    typer.echo(json.dumps(value, default=str))


def note(message: str, style: str = "") -> None:
    """Print a line for people to stderr. A full disk there does not end the process."""
    with suppress(OSError):
        stderr().print(plain(message, style), soft_wrap=True)


def stderr() -> Console:
    """Create a console for the current stderr, because tests replace the stream."""
    return Console(stderr=True, highlight=False)


def plain(value: object, style: str = "") -> Text:
    """Return the text without markup and escape sequences, because it can contain untrusted data."""
    text = "" if value is None else str(value)
    safe = "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1]
        for character in text
    )
    return Text(safe, style or _COLORS.get(safe, ""))


def print_table(columns: Sequence[str], lines: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print one row per line, with numbers aligned to the right."""
    body = [list(line) for line in lines]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        numbers = bool(body) and all(isinstance(line[position], int | None) for line in body)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for line in body:
        table.add_row(*(plain(_readable(value)) for value in line))
    _print(table)


def print_rows(
    columns: Sequence[str], rows: Iterable[Mapping[str, object]], title: str | None = None
) -> None:
    """Print these columns of the rows."""
    print_table(columns, [[row[column] for column in columns] for row in rows], title)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print one line per field."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(plain(name), plain(_readable(value)))
    _print(table)


def unless_recorded(fields: Mapping[str, object]) -> dict[str, object]:
    """Drop recorded figures that equal the current ones."""
    recorded = "recorded_"
    return {
        name: value
        for name, value in fields.items()
        if not name.startswith(recorded) or value != fields.get(name.removeprefix(recorded))
    }


def print_lines(lines: Iterable[str]) -> None:
    """Print each sentence on its own line."""
    console = Console(highlight=False)
    for line in lines:
        console.print(plain(line), soft_wrap=not console.is_terminal)


def _readable(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def _print(table: Table) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_UNBOUNDED_WIDTH)
    console.print(table)

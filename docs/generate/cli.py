"""cli.md: every command of `pointledger`, with its arguments and options."""

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from docs.generate.markdown import anchor, code, heading, items, link, number, page, paragraphs
from docs.generate.prose_files import prose
from pointledger.cli.app import app
from pointledger.cli.table import entries, imported

_PROGRAM = "pointledger"


def cli_page() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    commands = list(_commands(_PROGRAM, {entry.name: imported(entry.name) for _, entry in entries()}))
    panels = dict.fromkeys(panel for _, panel, _ in commands)
    return page(
        "Command line",
        paragraphs(root.help),
        prose("cli.md"),
        *(part for panel in panels for part in _panel(panel, commands)),
        *(part for name, _, command in commands for part in _command(name, command)),
    )


def _commands(
    prefix: str, commands: Mapping[str, Any], panel: str | None = None
) -> Iterator[tuple[str, str, Any]]:
    """The whole name, the panel of the help, and the command; subcommands in the place of their group."""
    for name, command in commands.items():
        where = panel or command.rich_help_panel
        if hasattr(command, "commands"):
            yield from _commands(f"{prefix} {name}", command.commands, where)
        else:
            yield f"{prefix} {name}", where, command


def _panel(panel: str, commands: list[tuple[str, str, Any]]) -> Iterator[str]:
    """What the help shows as one box."""
    yield f"**{panel}**"
    yield items(
        f"{link(code(name), '#' + anchor(name))}: {_summary(command)}"
        for name, where, command in commands
        if where == panel
    )


def _command(name: str, command: Any) -> Iterator[str]:
    yield heading(2, name)
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = [name, *(_usage(each) for each in arguments), *(["[OPTIONS]"] if options else [])]
    yield code(" ".join(usage))
    yield paragraphs(command.help or "")
    if arguments or options:
        yield items([*(_argument(each) for each in arguments), *(_option(each) for each in options)])


def _usage(argument: Any) -> str:
    shown = str(argument.metavar or argument.name.upper())
    return shown if argument.required or shown.startswith("[") else f"[{shown}]"


def _argument(argument: Any) -> str:
    return f"{code(_usage(argument))}: {argument.help}"


def _option(option: Any) -> str:
    flags = "/".join([*option.opts, *option.secondary_opts])
    shown = flags if option.is_flag else f"{flags} {option.metavar or option.name.upper()}"
    if option.required:
        return f"{code(shown)} *(required)*: {option.help}"
    facts = [_span(getattr(option, "min", None), getattr(option, "max", None))]
    if not option.is_flag and option.default not in (None, ()):
        facts.append(f"default {code(option.default)}")
    told = ", ".join(filter(None, facts))
    return f"{code(shown)} *({told})*: {option.help}" if told else f"{code(shown)}: {option.help}"


def _span(least: float | None, most: float | None) -> str:
    if least is None and most is None:
        return ""
    if most is None:
        return f"from {number(least or 0)}"
    return f"{number(least or 0)} to {number(most)}"


def _summary(command: Any) -> str:
    """The first sentence of its help."""
    text = " ".join((command.help or "").split())
    for end in (". ", ": ", "; "):
        text = text.partition(end)[0]
    return text.rstrip(".") + "."

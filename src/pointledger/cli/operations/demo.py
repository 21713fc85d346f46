"""The command `demo`. What it runs is a distribution of its own, `pointledger-demo`."""

from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import typer

from pointledger.errors import LedgerError


class DemoNotInstalled(LedgerError):
    """The demo is a package of its own. Run: pip install pointledger-demo. Or, with uv and nothing else:
    uvx --from pointledger-demo pointledger demo."""


def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Stop after printing the summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the data of earlier runs in .data first.")
    ] = False,
) -> None:
    """Run Postgres, Valkey, two workers, beat, the HTTP API and the console; replay real baskets.

    It works in the current folder, and serves until Ctrl-C. Run it again to continue with the same data:
    nothing is applied twice. It needs the package pointledger-demo.
    """
    if not find_spec("pointledger_demo"):
        raise DemoNotInstalled
    import_module("pointledger_demo.demo").run(leave=leave, as_json=as_json, fresh=fresh)

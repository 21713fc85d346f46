"""Runs the command line in a framework's own command."""

import os
from collections.abc import Sequence

from pointledger.cli import main
from pointledger.frameworks.configured import Given, as_variables


def run_command_line(program: str, arguments: Sequence[str], given: Given) -> int:
    """Run `pointledger` with these arguments and return its exit status. `program` is its name in the help.

    The settings are in the environment meanwhile, because workers and beat read it.
    """
    before = dict(os.environ)
    variables = as_variables(given)
    for name in variables:
        os.environ.pop(f"{name}_FILE", None)  # both together are an error
    os.environ.update(variables)
    try:
        main(arguments, program)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return 0

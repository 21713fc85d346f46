"""Runs functions in processes that are forked from one that has imported the ledger.

A new interpreter imports it anew, which takes half a second of CPU. A child imports the module of its
function, unless it is preloaded.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

SECONDS = 60  # far more than any of these processes takes

PRELOADED = (  # multiprocessing ignores a module that does not exist
    "tests.faults.test_failpoints",
    "tests.faults.test_failpoints_jobs",
    "tests.faults.test_failpoints_messages",
    "tests.faults.test_failpoints_turns",
)

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(PRELOADED))


def start(function: Callable[..., object], *arguments: Any) -> ForkServerProcess:
    process = _context.Process(target=function, args=arguments)
    process.start()
    return process


def exit_code(process: ForkServerProcess) -> int:
    """Wait until the process has ended, and return its exit code; -9 after SIGKILL."""
    process.join(SECONDS)
    assert process.exitcode is not None, "the process ends"
    return process.exitcode


def run(function: Callable[..., object], *arguments: Any) -> int:
    """Run the function in a process, and return its exit code."""
    return exit_code(start(function, *arguments))

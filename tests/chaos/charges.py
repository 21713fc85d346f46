"""Finds failed attempts that were counted against a command although no command caused them.

Only two things may count: an exception while one command was decided, which failpoints raise, and a process
that crashed again and again while it applied one command alone, because failpoints kill it. All else that
happens in a run is the doing of servers, networks, disks and other sessions.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OWN = ("InjectedFault:", "the process crashed")
_FAILURES = ("command_failed", "command_dead")


def charges(logs: list[Path]) -> list[str]:
    """Return the errors of such attempts, as the workers have logged them."""
    return [
        f"{line['command_id']}: {line['error']}"
        for line in _lines(logs)
        if line.get("event") in _FAILURES and not line["error"].startswith(_OWN)
    ]


def _lines(logs: list[Path]) -> Iterator[dict[str, Any]]:
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            try:
                found = json.loads(line)
            except ValueError:  # another library's line, or a line that a SIGKILL has cut
                continue
            if isinstance(found, dict):
                yield found

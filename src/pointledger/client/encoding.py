"""Encodes commands, but not during a fork.

pydantic prepares how it encodes a class when it encodes the first object, under locks of its own. If a thread
of the parent held one at a fork, the child would wait for it without end.
"""

import os
from threading import RLock

from pointledger.domain.commands import AnyCommand, records
from pointledger.domain.commands.records import JournalRecord

_at_work = RLock()

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_at_work.acquire, after_in_parent=_at_work.release, after_in_child=_at_work.release
    )


def encode(command: AnyCommand, lanes: int) -> JournalRecord:
    """Encode a command as a journal record. Raises InvalidCommand."""
    with _at_work:
        return records.encode(command, lanes)

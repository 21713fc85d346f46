# ruff: noqa: S608  (what is put into these queries is names of ours)
"""What must be true of callbacks: each is somebody's, and none is forgotten."""

from pointledger.storage.invariants import Invariant, Walk, within

_CALLBACKS_HERE = within("c.id")

_KNOWN = Invariant(
    "C1",
    "a callback waits for the command of its message, for the one that this repeats, or for its refusal",
    f"""
    SELECT c.id, c.task_id, c.command_id, c.kind FROM callbacks c
    WHERE {_CALLBACKS_HERE} AND CASE
        WHEN c.command_id <> c.task_id THEN NOT EXISTS (
            SELECT FROM aliases a WHERE a.id = c.task_id AND a.journal_id = c.command_id)
        WHEN EXISTS (SELECT FROM journal j WHERE j.id = c.command_id) THEN false
        ELSE NOT EXISTS (SELECT FROM dead_letters d WHERE d.task_id = c.task_id) END""",
)

_DUE = Invariant(
    "C2",
    "a callback of a command that has its outcome, or is dead, is due or done with",
    f"""
    SELECT c.id, c.task_id, c.command_id, c.kind FROM callbacks c
    WHERE {_CALLBACKS_HERE} AND c.due_at IS NULL AND c.sent_at IS NULL
      AND (EXISTS (SELECT FROM outcomes o WHERE o.id = c.command_id)
           OR EXISTS (SELECT FROM failures f WHERE f.id = c.command_id AND f.dead_at IS NOT NULL))""",
)

CALLBACKS = Walk("callbacks", ("id",), (0,), (2**63 - 1,), 20_000, (_KNOWN, _DUE))

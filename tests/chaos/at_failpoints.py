"""Faults at failpoints: which ones are armed in a process, and what the log of failpoints says about them.

Each life of a worker ends at one of `DEADLY`, unless something else ends it before, and meets some of
`SURVIVABLE` and one of `TURNS` on the way.
"""

import random
from collections import Counter
from pathlib import Path

DEADLY = [
    f"{when}:{place}={action}"
    for place in (
        "batch-commit",
        "peek",
        "lock-lanes",
        "load",
        "take-lanes",
        "acquire-users",
        "notify",
        "next-lanes",
        "return-lanes",
        "become-idle",
        "decide",
    )
    for when in ("before", "after")
    for action in ("kill", "stop")
]
SURVIVABLE = [
    "before:batch-commit=raise:40P01",
    "before:batch-commit=raise:40001",
    "before:batch-commit=raise:25006",
    "after:lock-lanes=raise:55P03",
    "after:load=raise",
    "before:decide=raise",
    "after:batch-commit=raise",
    "after:acquire-users=raise",
    "before:batch-commit=sleep:1.5",
    "after:batch-commit=sleep:1.5",
    "before:publish=raise",
    "after:take-lanes=sleep:0.5",
]

# Where a worker gives each tenant its turn: it has read a batch that a tenant fills.
_TURN_PLACE = "note-busy"
TURNS = [
    f"{when}:{_TURN_PLACE}={action}"
    for when in ("before", "after")
    for action in ("kill", "stop", "raise", "sleep:0.5")
]
OF_CLIENTS = [
    "before:accept-commit=kill",
    "after:accept-commit=kill",
    "before:publish=kill",
    "after:mark-rung=kill",
    "before:accept-commit=raise:40P01",
    "after:accept-commit=stop",
]
OF_RELAYS = [
    "after:events-publish=kill",
    "before:relay-commit=kill",
    "after:events-publish=stop",
]
OF_INGEST = [
    "before:dead-letters-commit=kill",
    "before:ack=kill",
    "after:ack=kill",
    "before:ack=stop",
]


def armed_words(kind: str, chance: random.Random) -> str:
    """Return the failpoints of one life of a process, as `POINTLEDGER_FAILPOINTS` takes them."""
    if kind == "worker":
        return " ".join(_of_worker(chance))
    words = {"client": (OF_CLIENTS, 20, 200), "relay": (OF_RELAYS, 20, 300), "ingest": (OF_INGEST, 5, 50)}
    if kind not in words:
        return ""
    among, least, most = words[kind]
    return f"{chance.choice(among)}@{chance.randint(least, most)}"


def _of_worker(chance: random.Random) -> list[str]:
    words = [f"{chance.choice(DEADLY)}@{chance.randint(30, 300)}"]
    words += [f"{word}@{chance.randint(5, 100)}" for word in chance.sample(SURVIVABLE, 4)]
    turn = chance.choice(TURNS)
    return [*words, f"{turn}@{chance.randint(1, 20)}"]


# ------------------------------------------------------------------------------------- names of the faults

# Between `lock-lanes` and `batch-commit` a worker is in its transaction.
_IN_TRANSACTION = (
    "after:lock-lanes",
    "before:load",
    "after:load",
    "before:decide",
    "after:decide",
    "before:batch-commit",
)
_AFTER_COMMIT = (
    "after:batch-commit",
    "before:notify",
    "after:notify",
    "before:next-lanes",
    "after:next-lanes",
    "before:return-lanes",
    "after:return-lanes",
    "before:become-idle",
    "after:become-idle",
)
_IN_RELAYS = ("after:events-publish", "before:relay-commit")
_IN_INGEST = ("before:dead-letters-commit", "before:ack", "after:ack")
_IN_CLIENTS = ("accept-commit", "publish", "mark-rung")
_ENDS = {"kill": "is killed", "stop": "is stalled"}
_TURN = "F70 a worker {} while tenants take turns"
_DONE = {**_ENDS, "raise": "fails", "sleep": "is slow"}


def at_failpoints(log: Path) -> Counter[str]:
    """Count the faults in the log of failpoints, by the names of the matrix."""
    if not log.exists():
        return Counter()
    return Counter(_name(line.split()[1]) for line in log.read_text().splitlines())


def _name(word: str) -> str:
    point, _, action = word.partition("=")
    action = action.partition("@")[0]
    place = point.partition(":")[2]
    if place == _TURN_PLACE:
        return _TURN.format(_DONE[action.partition(":")[0]])
    if point in _IN_RELAYS:
        return f"F51 a relay {_ENDS[action]} between sending and marking"
    if point in _IN_INGEST:
        return f"F13 the ingest {_ENDS[action]} with messages that it has taken"
    if place in _IN_CLIENTS:
        return _of_client(point, action)
    if action.startswith("raise:"):
        return "F23 a deadlock, a serialization failure or a lock timeout"
    if action == "raise":
        return "F48 something raises in a batch"
    if action.startswith("sleep"):
        return "F44 a worker is slow while others race"
    if point in _IN_TRANSACTION:
        return f"{_NUMBERS[action][0]} a worker {_ENDS[action]} in its transaction"
    if point in _AFTER_COMMIT:
        return f"{_NUMBERS[action][1]} a worker {_ENDS[action]} after its commit"
    return f"{_NUMBERS[action][2]} a worker {_ENDS[action]} between lock and transaction"


# In the transaction, after its commit, and between lock and transaction.
_NUMBERS = {"kill": ("F15", "F16", "F13"), "stop": ("F18", "F19", "F17")}


def _of_client(point: str, action: str) -> str:
    if action.startswith("raise"):
        return "F23 something raises while a command is accepted"
    if action == "stop":
        return "F1 a client is stalled after its command is accepted"
    if point == "before:accept-commit":
        return "F3 a client is killed before its command is accepted"
    return "F2 a client is killed after its command is accepted"


ALL_WORDS = (*DEADLY, *SURVIVABLE, *TURNS, *OF_CLIENTS, *OF_RELAYS, *OF_INGEST)
NAMES = tuple(sorted({_name(word) for word in ALL_WORDS}))

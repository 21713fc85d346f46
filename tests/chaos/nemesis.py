"""The nemesis: what goes wrong, when. The seed alone decides the schedule; what befalls a process inside
itself, at a failpoint, is decided by the seed and how many lives that process has had.

A fault is a generator: it does its work, yields how many seconds it is to last, heals, and returns how
often it has struck. Faults that need the same thing do not overlap; others do.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace

from tests.chaos.part import Part
from tests.chaos.stage import Stage

Doing = Generator[float, None, int]
BEGIN_SECONDS = 4.0  # for everybody to be there
GAP_SECONDS = (0.2, 1.6)  # between one fault and the next
LONGEST_SECONDS = 90.0  # of a fault that did not go as planned: longer than every time-out
AGAIN_SECONDS = 1.0  # until a fault that has struck nothing is tried again
RESTART_SECONDS = 0.3  # after a death: a supervisor's patience
RESUMED_AFTER = (0.5, 13.0)  # seconds that a process stands at a failpoint: shorter and longer than its locks


@dataclass(frozen=True)
class Fault:
    """`name` begins with its number in the matrix. `on`: what it needs for itself: a server, `worker`,
    `client` or another kind of part, or `links`, which is all links; `seconds`: how long it takes, about."""

    name: str
    on: str
    do: Callable[["Run", Part | None, random.Random], Doing]
    seconds: float = 2.0
    weight: int = 1  # how often it comes in a round


@dataclass(frozen=True)
class Planned:
    """A fault at its time, in seconds since the start."""

    at: float
    fault: Fault
    part: str | None
    seed: str
    tries_left: int = 6  # when it strikes nothing


def plan(faults: list[Fault], parts: dict[str, list[str]], seconds: float, seed: int) -> list[Planned]:
    """The schedule of a run: every fault in each round, in another order."""
    chance = random.Random(f"{seed}/plan")
    planned: list[Planned] = []
    free_at: dict[str, float] = {}
    deck: list[tuple[Fault, str | None]] = []
    at = BEGIN_SECONDS
    while at < seconds:
        if not deck:
            deck = [
                (fault, chance.choice(parts[fault.on]) if fault.on in parts else None)
                for fault in faults
                for _ in range(fault.weight)
            ]
            chance.shuffle(deck)
        ready = [_ready_at(*card, parts, free_at) for card in deck]
        position = next((i for i, moment in enumerate(ready) if moment <= at), ready.index(min(ready)))
        at = round(max(at, ready[position]), 2)
        fault, part = deck.pop(position)
        planned.append(Planned(at, fault, part, f"{seed}/{len(planned)}"))
        free_at |= dict.fromkeys(_needed(fault, part, parts), round(at + fault.seconds, 2))
        at += chance.uniform(*GAP_SECONDS)
    return [each for each in planned if each.at + each.fault.seconds <= seconds]


def _ready_at(
    fault: Fault, part: str | None, parts: dict[str, list[str]], free_at: dict[str, float]
) -> float:
    return max(free_at.get(each, 0.0) for each in _needed(fault, part, parts))


def _needed(fault: Fault, part: str | None, parts: dict[str, list[str]]) -> list[str]:
    if fault.on == "links":  # nothing else may want to see who is connected
        return [name for names in parts.values() for name in names]
    return [part or fault.on]


# Where a process may be struck inside itself. Each life of a worker ends at one of the first, unless
# something else ends it before, and meets some of the second on the way.
DEADLY = [
    f"{when}:{place}={action}"
    for place in (
        "batch-commit",
        "peek",
        "lock-lanes",
        "load",
        "acquire-lane",
        "acquire-users",
        "notify",
        "release-lane",
        "decide",
    )
    for when in ("before", "after")
    for action in ("kill", "stop")
]
PASSING = [
    "before:batch-commit=raise:40P01",
    "before:batch-commit=raise:40001",
    "after:lock-lanes=raise:55P03",
    "after:load=raise",
    "before:decide=raise",
    "after:batch-commit=raise",
    "after:acquire-users=raise",
    "before:batch-commit=sleep:1.5",
    "after:batch-commit=sleep:1.5",
    "before:publish=raise",
    "after:enter=sleep:0.5",
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
OF_INTAKES = [
    "before:dead-letters-commit=kill",
    "before:ack=kill",
    "after:ack=kill",
    "before:ack=stop",
]


@dataclass
class Run:
    """One run of the nemesis over a stage. `struck` counts by the faults' names."""

    stage: Stage
    planned: list[Planned]
    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    _doing: list[tuple[float, float, Planned, Doing]] = field(default_factory=list)
    _frozen: set[str] = field(default_factory=set)
    _resumes: dict[str, float] = field(default_factory=dict)
    _restarts: dict[str, float] = field(default_factory=dict)

    def step(self, now: float) -> None:
        """Does what is due, `now` seconds after the start; to be called often."""
        for each in [each for each in self.planned if each.at <= now]:
            if self._is_in_use(each):
                continue
            self.planned.remove(each)
            part = next((part for part in self.stage.parts if part.name == each.part), None)
            doing = each.fault.do(self, part, random.Random(each.seed))
            self.injected[each.fault.name] += 0
            self._go_on(each, doing, now, now)
        for waiting in [each for each in self._doing if each[0] <= now]:
            self._doing.remove(waiting)
            self._go_on(waiting[2], waiting[3], waiting[1], now)
        self.tend(now)

    @property
    def is_over(self) -> bool:
        return not self.planned and not self._doing

    @property
    def under_way(self) -> list[str]:
        return [each.fault.name for _, _, each, _ in self._doing]

    def _is_in_use(self, wanted: Planned) -> bool:
        """Something there took longer than was planned."""
        mine = wanted.part or wanted.fault.on
        return any((each.part or each.fault.on) == mine for _, _, each, _ in self._doing)

    def _go_on(self, each: Planned, doing: Doing, began: float, now: float) -> None:
        assert now - began < LONGEST_SECONDS, f"{each.fault.name} does not end"
        try:
            wake_at = now + next(doing)
        except StopIteration as end:
            self.injected[each.fault.name] += end.value
            if not end.value and each.tries_left:  # nobody was there to be struck: once more, soon
                again = replace(each, at=now + AGAIN_SECONDS, tries_left=each.tries_left - 1)
                self.planned.insert(0, again)
            return
        self._doing.append((wake_at, began, each, doing))

    # ------------------------------------------------------------------------------- as a supervisor does

    def tend(self, now: float) -> None:
        """Starts again what has died, and lets go on what stands at a failpoint."""
        for part in self.stage.parts:
            if not part.is_alive and part.is_wanted:
                due = self._restarts.setdefault(part.name, now + RESTART_SECONDS)
                if due <= now:
                    del self._restarts[part.name]
                    self.start(part)
            elif part.stands_still and part.name not in self._frozen:
                chance = random.Random(f"{self.seed}/{part.name}/{part.lives}/resume")
                due = self._resumes.setdefault(part.name, now + chance.uniform(*RESUMED_AFTER))
                if due <= now:
                    del self._resumes[part.name]
                    part.resume()
            else:
                self._resumes.pop(part.name, None)

    def start(self, part: Part) -> None:
        """Another life, with what the seed has in store for it."""
        chance = random.Random(f"{self.seed}/{part.name}/{part.lives}")
        words: list[str] = []
        if part in self.stage.workers:
            words = [f"{chance.choice(DEADLY)}@{chance.randint(30, 300)}"]
            words += [f"{word}@{chance.randint(5, 100)}" for word in chance.sample(PASSING, 4)]
        elif part in self.stage.clients:
            words = [f"{chance.choice(OF_CLIENTS)}@{chance.randint(20, 200)}"]
        elif part in self.stage.relays:
            words = [f"{chance.choice(OF_RELAYS)}@{chance.randint(20, 300)}"]
        elif part is self.stage.ingest:
            words = [f"{chance.choice(OF_INTAKES)}@{chance.randint(5, 50)}"]
        part.environment["POINTLEDGER_FAILPOINTS"] = " ".join(words)
        self.stage.start(part)

    def freeze(self, part: Part) -> bool:
        """Until `thaw`; whether it was there."""
        self._frozen.add(part.name)
        return part.freeze()

    def thaw(self, part: Part) -> None:
        self._frozen.discard(part.name)
        part.resume()

    # ------------------------------------------------------------------------------------------ the end

    def end(self) -> None:
        """Nothing stands still any more, whatever was under way."""
        for _, _, _, doing in self._doing:
            doing.close()
        self._doing.clear()
        self.stage.let_everything_go_on()
        self._frozen.clear()
        for part in self.stage.parts:
            part.is_wanted = True


def at_work(part: Part | None) -> Generator[float, None, Part]:
    """The part, once it is there and has connections: it may just be starting again."""
    assert part
    for _try in range(100):
        if part.is_alive and not part.stands_still and part.redis.connections and part.database.connections:
            break
        yield 0.1
    return part


def wait_a_little(seconds: float = 0.05) -> None:
    """Between two steps."""
    time.sleep(seconds)

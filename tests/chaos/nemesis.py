"""The nemesis: injects faults on a schedule. Only the seed decides the schedule.

A fault is a generator: it injects, yields for how many seconds it lasts, heals, and returns how often it had
an effect. Faults that need the same server or process do not overlap; others do. The seed and the number of
lives of a process decide which failpoints are armed in its next life (`at_failpoints.py`).
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field, replace

from tests.chaos.at_failpoints import armed_words
from tests.chaos.environment import Environment
from tests.chaos.node import Node

Steps = Generator[float, None, int]
BEGIN_SECONDS = 4.0  # until all processes have started
GAP_SECONDS = (0.2, 1.6)  # between the starts of two faults
LONGEST_SECONDS = 90.0  # of a fault that took longer than planned: longer than every timeout
RETRY_SECONDS = 1.0  # until a fault that had no effect is injected again
RESTART_SECONDS = 0.3  # from a death to the restart by a supervisor
STALL_SECONDS = (0.5, 13.0)  # how long a process is stopped at a failpoint: shorter and longer than its locks
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    `name` begins with its number in the matrix. `on` is what it needs for itself: a server, `worker`,
    `client` or another kind of node, or `links`, which is all links. `seconds` is about how long it takes.
    """

    name: str
    on: str
    inject: Callable[["Nemesis", Node | None, random.Random], Steps]
    seconds: float = 2.0
    weight: int = 1  # how often it occurs in a round

    @property
    def number(self) -> str:
        """Its number in the matrix, such as F69."""
        return self.name.partition(" ")[0]


@dataclass(frozen=True)
class Planned:
    """A fault at its time, in seconds since the start."""

    at: float
    fault: Fault
    node: str | None
    seed: str
    tries_left: int = 6  # while it has no effect


def plan(
    faults: list[Fault],
    nodes: dict[str, list[str]],
    seconds: float,
    seed: int,
    begin_with: Collection[str] = (),
) -> list[Planned]:
    """Return the schedule of a run: all faults in each round, each time in another order.

    `begin_with` has the numbers of faults that come first in each round, such as F69.
    """
    chance = random.Random(f"{seed}/plan")
    planned: list[Planned] = []
    free_at: dict[str, float] = {}
    deck: list[tuple[Fault, str | None]] = []
    at = BEGIN_SECONDS
    while at < seconds:
        if not deck:
            deck = [
                (fault, chance.choice(nodes[fault.on]) if fault.on in nodes else None)
                for fault in faults
                for _ in range(fault.weight)
            ]
            chance.shuffle(deck)
            deck.sort(key=lambda card: card[0].number not in begin_with)
        ready = [_ready_at(*card, nodes, free_at) for card in deck]
        position = next((i for i, moment in enumerate(ready) if moment <= at), ready.index(min(ready)))
        at = round(max(at, ready[position]), 2)
        fault, node = deck.pop(position)
        planned.append(Planned(at, fault, node, f"{seed}/{len(planned)}"))
        free_at |= dict.fromkeys(_needed(fault, node, nodes), round(at + fault.seconds, 2))
        at += chance.uniform(*GAP_SECONDS)
    return [each for each in planned if each.at + each.fault.seconds <= seconds]


def _ready_at(
    fault: Fault, node: str | None, nodes: dict[str, list[str]], free_at: dict[str, float]
) -> float:
    return max(free_at.get(each, 0.0) for each in _needed(fault, node, nodes))


def _needed(fault: Fault, node: str | None, nodes: dict[str, list[str]]) -> list[str]:
    if fault.on == "links":  # other faults wait until processes have connections
        return [name for names in nodes.values() for name in names]
    return [node or fault.on]


@dataclass
class Nemesis:
    """One run in an environment. `injected` counts effects by the names of faults."""

    environment: Environment
    planned: list[Planned]
    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    exits: list[str] = field(
        default_factory=list
    )  # processes that have ended by themselves, and their status
    _running: list[tuple[float, float, Planned, Steps]] = field(default_factory=list)
    _stalled: set[str] = field(default_factory=set)
    _resumes: dict[str, float] = field(default_factory=dict)
    _restarts: dict[str, float] = field(default_factory=dict)

    def step(self, now: float) -> None:
        """Do what is due, `now` seconds after the start. Call it often."""
        for each in [each for each in self.planned if each.at <= now]:
            if self._is_in_use(each):
                continue
            self.planned.remove(each)
            node = next((node for node in self.environment.nodes if node.name == each.node), None)
            steps = each.fault.inject(self, node, random.Random(each.seed))
            self.injected[each.fault.name] += 0
            self._advance(each, steps, now, now)
        for waiting in [each for each in self._running if each[0] <= now]:
            self._running.remove(waiting)
            self._advance(waiting[2], waiting[3], waiting[1], now)
        self.supervise(now)

    @property
    def is_over(self) -> bool:
        return not self.planned and not self._running

    @property
    def running(self) -> list[str]:
        return [each.fault.name for _, _, each, _ in self._running]

    def _is_in_use(self, wanted: Planned) -> bool:
        """Whether an earlier fault there takes longer than was planned."""
        mine = wanted.node or wanted.fault.on
        return any((each.node or each.fault.on) == mine for _, _, each, _ in self._running)

    def _advance(self, each: Planned, steps: Steps, began: float, now: float) -> None:
        assert now - began < LONGEST_SECONDS, f"{each.fault.name} does not end"
        try:
            wake_at = now + next(steps)
        except StopIteration as end:
            self.injected[each.fault.name] += end.value
            if not end.value and each.tries_left:  # the process was not running: try again soon
                again = replace(each, at=now + RETRY_SECONDS, tries_left=each.tries_left - 1)
                self.planned.insert(0, again)
            return
        self._running.append((wake_at, began, each, steps))

    # ------------------------------------------------------------------------------- as a supervisor does

    def supervise(self, now: float) -> None:
        """Restart processes that have died, and continue those that a failpoint has stopped."""
        for node in self.environment.nodes:
            if not node.is_alive and node.is_wanted:
                due = self._restarts.setdefault(node.name, now + RESTART_SECONDS)
                if due <= now:
                    del self._restarts[node.name]
                    self._note_exit(node)
                    self.start(node)
            elif node.is_stopped and node.name not in self._stalled:
                chance = random.Random(f"{self.seed}/{node.name}/{node.lives}/resume")
                due = self._resumes.setdefault(node.name, now + chance.uniform(*STALL_SECONDS))
                if due <= now:
                    del self._resumes[node.name]
                    node.resume()
            else:
                self._resumes.pop(node.name, None)

    def _note_exit(self, node: Node) -> None:
        status = node.process.returncode if node.process else 0
        if status > 0:  # faults end processes with signals, and SIGTERM makes most of them exit with 0
            self.exits.append(f"{node.name} exited with status {status}")

    def start(self, node: Node) -> None:
        """Start another life of the process, with the failpoints that the seed arms in it."""
        chance = random.Random(f"{self.seed}/{node.name}/{node.lives}")
        kind = next(kind for kind, nodes in self.environment.kinds.items() if node in nodes)
        node.environment["POINTLEDGER_FAILPOINTS"] = armed_words(kind, chance)
        self.environment.start(node)

    def stall(self, node: Node) -> bool:
        """Stop the process until `resume`, and return whether it was alive."""
        self._stalled.add(node.name)
        return node.stop()

    def resume(self, node: Node) -> None:
        self._stalled.discard(node.name)
        node.resume()

    # ------------------------------------------------------------------------------------------ the end

    def end(self) -> None:
        """End the faults that still run, and continue everything that is stopped."""
        for _, _, _, steps in self._running:
            steps.close()
        self._running.clear()
        self.environment.resume_all()
        self._stalled.clear()
        for node in self.environment.nodes:
            node.is_wanted = True


def connected(node: Node | None) -> Generator[float, None, Node]:
    """Wait until the node has connections, because it may just be starting, and return it."""
    assert node
    for _try in range(100):
        if node.is_alive and not node.is_stopped and node.redis.connections and node.database.connections:
            break
        yield 0.1
    return node


def pause(seconds: float = _POLL_SECONDS) -> None:
    """Pause between two steps."""
    time.sleep(seconds)

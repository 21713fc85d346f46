"""Runs random worlds in groups, side by side, and compares them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pointledger import AnyCommand, Outcome
from pointledger.ids import show_id
from tests.ledger import Ledger
from tests.model.acceptor import compare_acceptance
from tests.model.actions import REUSED, Played
from tests.model.compare import Comparison, Difference, TenantHistory
from tests.model.coverage import Coverage
from tests.model.histories import History
from tests.model.order import out_of_order
from tests.model.random_histories import RandomHistory
from tests.model.recorded import Recorded, read
from tests.model.system import System

_AT_ONCE = 1000  # outcomes per query


@dataclass
class Finding:
    """A history in which the ledger and the model differ."""

    history: History
    differences: list[Difference]


@dataclass
class Runner:
    """Plays histories on one ledger and compares them with the model.

    `name` and a number name the tenants and seed the mix of commands.
    """

    ledger: Ledger
    name: str
    workers: int = 1
    coverage: Coverage = field(default_factory=Coverage)
    _groups: int = 0

    def compare(self, histories: Sequence[History], *, counted: bool = True) -> list[Finding]:
        """Play these histories side by side and return the ones that differ."""
        return self.judge(self.play(histories), counted=counted)

    def play(self, histories: Sequence[History]) -> list[Played]:
        """Play the histories on the ledger."""
        self._groups += 1
        name = f"{self.name}.{self._groups}"
        return System(self.ledger, random.Random(name), self.workers).play(histories, name)

    def judge(self, played: Sequence[Played], *, counted: bool = True) -> list[Finding]:
        """Compare what the ledger has recorded with the model."""
        outcomes = self._outcomes(played)
        pseudonyms = _pseudonyms(played, outcomes)
        recorded = read(self.ledger.rows, [each.tenant_id for each in played], pseudonyms)
        coverage = self.coverage if counted else Coverage()
        findings = []
        for each in played:
            coverage.program(each.history)
            if differences := _differences(each, outcomes, recorded[each.tenant_id], coverage):
                findings.append(Finding(each.history, differences))
        return findings

    def _outcomes(self, played: Sequence[Played]) -> dict[str, Outcome]:
        ids = [sent.answer for each in played for sent in each.sent.values() if sent.answer != REUSED]
        found: dict[str, Outcome] = {}
        for start in range(0, len(ids), _AT_ONCE):
            page = ids[start : start + _AT_ONCE]
            found |= dict(zip(page, self.ledger.client.outcomes(page), strict=True))
        return found


def histories(seed: int, first: int, worlds: int, commands: int) -> Iterator[History]:
    """Yield random histories of a seed, starting with a number; they are always the same."""
    for nth in range(first, first + worlds):
        yield RandomHistory(random.Random(f"{seed}/{nth}"), commands).create()


def _differences(
    played: Played, outcomes: dict[str, Outcome], recorded: Recorded, coverage: Coverage
) -> list[Difference]:
    tenant_history = _tenant_history(played, outcomes)
    differences = [*compare_acceptance(played, outcomes, coverage), *out_of_order(tenant_history, recorded)]
    return differences or Comparison(tenant_history, recorded, coverage).run()


def _tenant_history(played: Played, outcomes: dict[str, Outcome]) -> TenantHistory:
    commands: dict[str, AnyCommand] = {}
    labels: dict[str, int] = {}
    for label, sent in played.sent.items():
        task_id = show_id(sent.command.id)
        commands.setdefault(task_id, sent.command)
        labels.setdefault(task_id, label)
    return TenantHistory(played.tenant_id, commands, outcomes, played.actions, labels)


def _pseudonyms(played: Sequence[Played], outcomes: dict[str, Outcome]) -> dict[tuple[str, str], str]:
    """Return the user of each pseudonym, from the outcomes of the erasures."""
    found = {}
    for each in played:
        for sent in each.sent.values():
            if sent.send.kind == "erase-user" and sent.answer != REUSED:
                account = (outcomes[sent.answer].data or {}).get("account")
                if account:
                    found[each.tenant_id, account["user_id"]] = sent.send.user
    return found

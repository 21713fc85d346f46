"""Random commands: the kind, the user, the fields and the moment of each."""

import random
from datetime import datetime

from tests.model.histories import Send
from tests.model.model_run import ModelRun
from tests.model.moments import Timeline
from tests.model.random_fields import NEWCOMER, Fields, RandomFields

_KINDS = {
    "earn": 14,
    "apply-rule": 16,
    "spend": 12,
    "transfer": 11,
    "freeze": 7,
    "unfreeze": 12,
    "confirm-deduction": 10,
    "refund": 8,
    "clawback": 6,
    "cancel-pending": 12,
    "expire": 3,
    "adjust": 4,
    "import-opening-balance": 2,
    "wallet-adjust": 4,
    "exchange": 6,
    "set-status": 2,
    "open-account": 1,
    "extend-expiry": 3,
    "set-expiry-exemption": 1,
    "apply-expiry-policy": 1,
    "expire-due": 2,
    "release-holds-due": 6,
    "activate-due": 6,
    "erase-user": 0.5,
}
_WITHOUT_MOMENT = ("set-expiry-exemption", "apply-expiry-policy")
_PERIODIC = ("expire-due", "release-holds-due", "activate-due")


class Commands(RandomFields):
    """Writes commands of every kind."""

    def __init__(self, chance: random.Random, model_run: ModelRun, timeline: Timeline, is_rich: bool) -> None:
        super().__init__(chance, model_run, timeline, is_rich)
        self._fresh: list[Send] = []  # of this round

    def settle(self) -> None:
        """End a round: later commands may name what its commands made."""
        self._sent += self._fresh
        self._fresh = []

    def decide(self, send: Send) -> None:
        """Decide the command on the model, whose state the next commands use."""
        self._model_run.send(send)
        self._fresh.append(send)

    def command(self) -> tuple[str, str, Fields, datetime | None]:
        """Return the kind, user, fields and moment of a command."""
        user = self.user()
        kind = self._kind(user)
        if kind == "erase-user" and self._chance.random() < 0.5:
            user = NEWCOMER
        moment: datetime | None = self._timeline.advance(self._account(user), self._world.calendar)
        fields = getattr(self, f"_{kind.replace('-', '_')}")(user)
        if kind in _PERIODIC:
            return kind, user, {"as_of": moment}, None
        if kind in _WITHOUT_MOMENT or self._chance.random() < 0.004:
            moment = None
        return kind, user, fields, moment

    def _kind(self, user: str) -> str:
        """Choose a kind, mostly one that finds what it needs: an account, a hold, pending points, a spend."""
        lacks = self._lacking(user)
        weights = [weight * (0.1 if kind in lacks else 1) for kind, weight in _KINDS.items()]
        return self._chance.choices(list(_KINDS), weights)[0]

    def _lacking(self, user: str) -> set[str]:
        """Return the kinds that find nothing of this user."""
        account = self._account(user)
        if account is None:
            return set(_KINDS) - {"earn", "apply-rule", "adjust", "import-opening-balance", "open-account"}
        lacks: set[str] = set()
        if not account.figures["frozen_balance"]:
            lacks |= {"unfreeze", "confirm-deduction", "release-holds-due"}
        if not account.figures["pending_balance"]:
            lacks |= {"cancel-pending", "activate-due"}
        if not account.figures["total_spent"]:
            lacks.add("refund")
        if not account.figures["balance"]:
            lacks |= {"spend", "transfer", "freeze", "exchange", "expire"}
        if not account.is_open:
            lacks |= set(_KINDS) - {"wallet-adjust", "open-account", "erase-user"}
        return lacks

"""Creates random commands: their kind, user, fields and time."""

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
_WITHOUT_TIME = ("set-expiry-exemption", "apply-expiry-policy")
_PERIODIC = ("expire-due", "release-holds-due", "activate-due")


class RandomCommands(RandomFields):
    """Creates commands of every kind, by the state of the model."""

    def __init__(self, chance: random.Random, model_run: ModelRun, timeline: Timeline, is_rich: bool) -> None:
        super().__init__(chance, model_run, timeline, is_rich)
        self._round: list[Send] = []  # the commands of this round

    def end_round(self) -> None:
        """End a round. Later commands may refer to the entries of its commands."""
        self._sent += self._round
        self._round = []

    def decide(self, send: Send) -> None:
        """Decide the command on the model. The next commands depend on its state."""
        self._model_run.send(send)
        self._round.append(send)

    def command(self) -> tuple[str, str, Fields, datetime | None]:
        """Return the kind, user, fields and time of a command."""
        user = self.user()
        kind = self._kind(user)
        if kind == "erase-user" and self._chance.random() < 0.5:
            user = NEWCOMER
        moment: datetime | None = self._timeline.advance(self._account(user), self._world.calendar)
        fields = getattr(self, f"_{kind.replace('-', '_')}")(user)
        if kind in _PERIODIC:
            return kind, user, {"as_of": moment}, None
        if kind in _WITHOUT_TIME or self._chance.random() < 0.004:
            moment = None
        return kind, user, fields, moment

    def _kind(self, user: str) -> str:
        """Choose a kind, usually one whose account, hold, pending points or spend exists."""
        inapplicable = self._inapplicable(user)
        weights = [weight * (0.1 if kind in inapplicable else 1) for kind, weight in _KINDS.items()]
        return self._chance.choices(list(_KINDS), weights)[0]

    def _inapplicable(self, user: str) -> set[str]:
        """Return the kinds that need something that this user does not have."""
        account = self._account(user)
        if account is None:
            return set(_KINDS) - {"earn", "apply-rule", "adjust", "import-opening-balance", "open-account"}
        inapplicable: set[str] = set()
        if not account.figures["frozen_balance"]:
            inapplicable |= {"unfreeze", "confirm-deduction", "release-holds-due"}
        if not account.figures["pending_balance"]:
            inapplicable |= {"cancel-pending", "activate-due"}
        if not account.figures["total_spent"]:
            inapplicable.add("refund")
        if not account.figures["balance"]:
            inapplicable |= {"spend", "transfer", "freeze", "exchange", "expire"}
        if not account.is_open:
            inapplicable |= set(_KINDS) - {"wallet-adjust", "open-account", "erase-user"}
        return inapplicable

"""What the clients send: commands of many kinds, over users that all clients share.

| users   | get                               | so that in the end                                  |
| ------- | --------------------------------- | --------------------------------------------------- |
| saver-  | only earns                        | each has just what the clients' journals add up to |
| queued- | earns by the ingest queue only    | the same                                            |
| bulk-   | bursts of earns, another tenant's | the same, and the first tenant has had its turns    |
| keyed-  | one key from each client, at once | each has a point for each key                       |
| user-   | everything; a tenth goes to one   | conservation, order and invariants are under stress |
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pointledger import (
    AnyCommand,
    ApplyRule,
    Clawback,
    ConfirmDeduction,
    Earn,
    Exchange,
    Expire,
    Freeze,
    Outcome,
    Refund,
    Spend,
    Transfer,
    Unfreeze,
    WalletAdjust,
)
from pointledger.ids import parse_id

TENANT = "chaos"
EVENT_TYPE = "visit"
USERS = 200
SAVERS = 20
QUEUE_USERS = 10
EVENTS = ["hold.opened", "hold.captured", "hold.released", "points.expired", "points.clawed_back"]
HOT_SHARE = 0.1  # of all commands are one user's
MOST_AT_ONCE = 60  # commands in a call
BULK_AT_ONCE = 2_000  # commands in a call: more than a batch in every lane
BULK_USERS = 400  # in every lane

TENANT_CONFIG: dict[str, Any] = {
    "tenant_id": TENANT,
    "timezone": "Europe/Berlin",
    "points_type": "cash_equivalent",
    "transfer_enabled": True,
    "default_expiry_days": 365,
    "events": EVENTS,
}
BULK_CONFIG: dict[str, Any] = {"tenant_id": "bulk"}
RULES: tuple[dict[str, Any], ...] = (
    {"name": "visit", "event_type": EVENT_TYPE, "points": 3, "daily_limit": 60},
    {
        "name": "campaign",
        "event_type": EVENT_TYPE,
        "when": "event.n % 7 == 0",
        "points": 1,
        "limits": [{"scope": "tenant", "period": "day", "max": 500}],
    },
)


def changed_rule(points: int) -> dict[str, Any]:
    """Return the first rule with so many points, as a fault changes it."""
    return {**RULES[0], "points": points}


def saver(number: int) -> str:
    return f"saver-{number}"


def queue_user(number: int) -> str:
    return f"queued-{number}"


def keyed(number: int) -> str:
    return f"keyed-{number % 4}"


class Load:
    """The commands of one client. The seed decides them."""

    def __init__(self, client: int, chance: random.Random) -> None:
        self._client = client
        self._chance = chance
        self._made = 0
        self._kinds: list[tuple[int, Callable[[], AnyCommand]]] = [
            (20, self._save),
            (18, self._earn),
            (10, self._spend),
            (4, self._spend_with_a_key),
            (14, self._transfer),
            (14, self._visit),
            (6, self._freeze),
            (4, self._unfreeze),
            (3, self._earn_with_shared_key),
            (2, self._expire),
            (2, self._deposit),
            (2, self._exchange),
        ]

    def call(self) -> list[AnyCommand]:
        """Return commands for one call of the library, sometimes with a repetition under another id."""
        weights = [weight for weight, _ in self._kinds]
        count = self._chance.choice([1, 5, 20, MOST_AT_ONCE])
        made = [make() for _, make in self._chance.choices(self._kinds, weights, k=count)]
        again = [command for command in made if isinstance(command, Spend) and command.idempotency_key]
        return made + [Spend(**_without_id(command)) for command in again[:1]]

    def request(self) -> list[AnyCommand]:
        """Return a command for the API or for Celery, which take one."""
        return [self._chance.choice([self._save, self._earn, self._spend, self._transfer, self._visit])()]

    def message(self) -> list[AnyCommand]:
        """Return the commands of one message for the ingest queue."""
        user = queue_user(self._chance.randrange(QUEUE_USERS))
        count = self._chance.choice([1, 3, 10])
        return [Earn(tenant_id=TENANT, user_id=user, amount=self._amount()) for _ in range(count)]

    def bulk(self) -> list[AnyCommand]:
        """Return a burst of commands of the second tenant."""
        users = (f"bulk-{self._chance.randrange(BULK_USERS)}" for _ in range(BULK_AT_ONCE))
        tenant = BULK_CONFIG["tenant_id"]
        return [Earn(tenant_id=tenant, user_id=user, amount=self._amount()) for user in users]

    def reused(self, command: AnyCommand) -> AnyCommand:
        """Return other content under this command's key, which must be refused."""
        assert isinstance(command, Spend)
        return Spend(**{**_without_id(command), "amount": command.amount + 1})

    def undo(self, outcome: Outcome) -> AnyCommand | None:
        """Return a command that follows an outcome: a capture, a refund or a clawback."""
        data = outcome.data or {}
        if outcome.state != "applied" or "account" not in data:
            return None
        who: dict[str, Any] = {"tenant_id": TENANT, "user_id": data["account"]["user_id"]}
        if outcome.kind == "freeze":
            return ConfirmDeduction(**who, hold_id=parse_id(data["hold_id"]))
        if outcome.kind == "spend":
            return Refund(**who, related_id=parse_id(data["transaction"]["id"]), amount=1)
        if outcome.kind == "earn" and who["user_id"].startswith("user-") and self._chance.random() < 0.2:
            who["policy"] = self._chance.choice(["within_balance", "arrears"])
            return Clawback(**who, related_id=parse_id(data["transaction"]["id"]), amount=1)
        return None

    def _who(self) -> dict[str, Any]:
        return {"tenant_id": TENANT, "user_id": self._user()}

    def _user(self) -> str:
        return f"user-{0 if self._chance.random() < HOT_SHARE else self._chance.randrange(1, USERS)}"

    def _amount(self, most: int = 30) -> int:
        return self._chance.randint(1, most)

    def _save(self) -> AnyCommand:
        user = saver(self._chance.randrange(SAVERS))
        return Earn(tenant_id=TENANT, user_id=user, amount=self._amount())

    def _earn_with_shared_key(self) -> AnyCommand:
        self._made += 1
        key = f"key-{self._made}"
        return Earn(tenant_id=TENANT, user_id=keyed(self._made), amount=1, idempotency_key=key)

    def _earn(self) -> AnyCommand:
        return Earn(**self._who(), amount=self._amount(60))

    def _spend(self) -> AnyCommand:
        return Spend(**self._who(), amount=self._amount())

    def _spend_with_a_key(self) -> AnyCommand:
        key = f"{self._client}/{self._chance.getrandbits(60)}"
        return Spend(**self._who(), amount=self._amount(), idempotency_key=key)

    def _transfer(self) -> AnyCommand:
        sender, recipient = self._user(), self._user()
        if sender == recipient:
            return self._earn()
        return Transfer(tenant_id=TENANT, user_id=sender, to_user_id=recipient, amount=self._amount())

    def _visit(self) -> AnyCommand:
        return ApplyRule(**self._who(), event_type=EVENT_TYPE, metadata={"n": self._amount(1_000)})

    def _freeze(self) -> AnyCommand:
        soon = datetime.now(UTC) + timedelta(seconds=self._chance.randint(2, 30))
        return Freeze(**self._who(), amount=self._amount(), expires_at=self._chance.choice([None, soon]))

    def _unfreeze(self) -> AnyCommand:
        return Unfreeze(**self._who(), amount=self._amount(10))

    def _expire(self) -> AnyCommand:
        return Expire(**self._who(), amount=self._amount())

    def _deposit(self) -> AnyCommand:
        return WalletAdjust(**self._who(), type="deposit", amount="1.25", reason="a gift", actor="admin")

    def _exchange(self) -> AnyCommand:
        return Exchange(**self._who(), amount=self._amount(200), exchange_type="wallet")


def _without_id(command: AnyCommand) -> dict[str, Any]:
    return command.model_dump(exclude={"id"}, exclude_none=True)

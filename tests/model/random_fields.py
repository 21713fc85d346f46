"""Creates random fields for each command kind. They are valid in the model's state, or just invalid."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tests.model.accounts import LARGEST_FIGURE, Account
from tests.model.histories import Ref, Send
from tests.model.model_run import NOW, ModelRun
from tests.model.moments import Timeline
from tests.model.random_programs import EVENT_TYPES

USERS = ("ann", "ben", "cem", "dee")
NEWCOMER = "zoe"  # rarely has an account

Fields = dict[str, Any]


class RandomFields:
    """Creates the fields of a command, with a method for each kind and of its name."""

    def __init__(self, chance: random.Random, model_run: ModelRun, timeline: Timeline, is_rich: bool) -> None:
        self._chance, self._model_run, self._timeline, self._is_rich = chance, model_run, timeline, is_rich
        self._world, self._made = model_run.world, model_run.made
        self._hot_user = chance.choice(USERS)
        self._sent: list[Send] = []  # commands of earlier rounds, to whose entries later commands may refer

    def user(self) -> str:
        """Choose a user, most often one user with many commands."""
        draw = self._chance.random()
        if draw < 0.02:
            return NEWCOMER
        user = self._hot_user if draw < 0.45 else self._chance.choice(USERS)
        account = self._account(user)
        if account and not account.is_open and self._is(0.7):  # because most commands to it are refused
            return self._chance.choice(USERS)
        return user

    def user_with_wallet(self) -> str:
        """Return a user with a wallet, if there is one."""
        return self._chance.choice(list(self._world.wallets) or [self.user()])

    def _account(self, user: str) -> Account | None:
        return self._world.accounts.get(user)

    def _is(self, probability: float) -> bool:
        return self._chance.random() < probability

    def _figure(self, user: str, name: str) -> int:
        account = self._account(user)
        return account.figures[name] if account else 0

    def _one_of(self, *sequences: Sequence[str]) -> str:
        return self._chance.choice([each for sequence in sequences for each in sequence])

    def _amount(self, *bounds: int) -> int:
        """Return a small amount, or one near a bound."""
        near = [bound + more for bound in bounds if bound > 0 for more in (-1, 0, 0, 1)]
        if near and self._is(0.45):
            return min(max(1, self._chance.choice(near)), LARGEST_FIGURE)
        if self._is_rich and self._is(0.4):
            return self._chance.choice((LARGEST_FIGURE, LARGEST_FIGURE - 1, LARGEST_FIGURE // 2))
        return self._chance.choice((1, 2, 3, 5, 10, 25, self._chance.randint(1, 80)))

    def _earlier(self, user: str, *kinds: str) -> Ref:
        """Refer to the entry or hold of an earlier command, usually of these kinds and this user."""
        if self._is(0.05) or not self._sent:
            return Ref(-1)
        suitable = [send for send in self._sent if send.kind in kinds and self._made.get(send.label)]
        own = [send for send in suitable if send.user == user]
        if self._is(0.06):
            return Ref(self._chance.choice(self._sent).label)
        if self._is(0.06) and suitable:
            return Ref(self._chance.choice(suitable).label)
        if not own:
            return Ref(self._chance.choice(self._sent).label)
        made = own[-1 - int(self._chance.random() ** 2 * len(own))]
        several = len([entry for entry in self._made[made.label] if entry.type == "earn"])
        return Ref(made.label, self._chance.randrange(several) if several > 1 else 0)

    def _hold(self, user: str) -> Ref:
        """Refer to an open hold, usually this user's."""
        account, sent = self._account(user), {send.label for send in self._sent}
        holds = [hold for hold in account.holds if hold.state == "open"] if account else []
        labels = [int(account.entries[hold.seq - 1].command) for hold in holds] if account else []
        named = [label for label in labels if label in sent]
        return Ref(self._chance.choice(named)) if named and self._is(0.85) else self._earlier(user, "freeze")

    def _amount_of(self, ref: Ref) -> int:
        """Return the amount of the entry, or 0 if there is none."""
        entries = self._made.get(ref.label, [])
        return entries[ref.nth].amount if ref.nth < len(entries) else 0

    def _text(self, **more: Any) -> Fields:
        return {**more, **({"reason": "a reason"} if self._is(0.05) else {})}

    # -------------------------------------------------------------------------------------------- kinds

    def _open_account(self, _: str) -> Fields:
        return {}

    def _earn(self, user: str) -> Fields:
        config = self._world.config if self._world.has_config else None
        bounds = (self._figure(user, "debt"), (config and config.max_balance) or 0)
        amount = min(self._amount(*bounds) * self._chance.choice((1, 1, 5)), LARGEST_FIGURE)
        fields = self._text(amount=amount)
        if self._is(0.25):
            fields["activates_at"] = self._timeline.later(self._world.calendar)
        if self._is(0.4):
            ends = self._timeline.later(self._world.calendar)
            starts = fields.get("activates_at")
            fields["expires_at"] = max(ends, starts + timedelta(hours=1)) if starts else ends
        return fields

    def _apply_rule(self, _: str) -> Fields:
        metadata: Fields = {}
        if self._is(0.85):
            metadata["n"] = self._chance.choice((0, 1, 9, 10, 49, 50, 99, 100, 101, 250, -5, "ten", True))
        if self._is(0.4):
            metadata["channel"] = self._chance.choice(("app", "web"))
        if self._is(0.3):
            metadata["vip"] = self._chance.choice((True, False))
        if self._is(0.3):
            metadata["code"] = self._chance.choice(("7", "8", "x", 7))
        types = {rule.event_type for versions in self._world.rules.values() for _, rule in versions}
        fields: Fields = {"event_type": self._one_of(sorted(types) * 5, EVENT_TYPES), "metadata": metadata}
        if self._is(0.2):
            fields["event_id"] = f"event {len(self._made)}"
        return fields

    def _spend(self, user: str) -> Fields:
        return self._text(amount=self._amount(self._figure(user, "balance")))

    def _transfer(self, user: str) -> Fields:
        to = user if self._is(0.02) else self._chance.choice([*USERS, self.user()])
        return self._text(amount=self._amount(self._figure(user, "balance")), to_user_id=to)

    def _expire(self, user: str) -> Fields:
        fields: Fields = {"amount": self._amount(self._figure(user, "balance"))}
        if self._is(0.6):
            fields["strategy"] = self._chance.choice(("pro_rata", "pro_rata", "soonest_first"))
        return fields

    def _freeze(self, user: str) -> Fields:
        fields: Fields = {"amount": self._amount(self._figure(user, "balance"))}
        if self._is(0.4):
            fields["expires_at"] = self._timeline.later(self._world.calendar)
        return fields

    def _unfreeze(self, user: str) -> Fields:
        frozen = self._figure(user, "frozen_balance")
        if self._is(0.5):
            return {"amount": self._amount(frozen, frozen)}
        fields: Fields = {"hold_id": self._hold(user)}
        if self._is(0.6):
            fields["amount"] = self._amount(self._amount_of(fields["hold_id"]))
        return fields

    def _confirm_deduction(self, user: str) -> Fields:
        fields: Fields = {"hold_id": self._hold(user)}
        if self._is(0.6):
            fields["amount"] = self._amount(self._amount_of(fields["hold_id"]))
        return fields

    def _refund(self, user: str) -> Fields:
        if self._is(0.15):
            return {"amount": self._amount()}
        ref = self._earlier(user, "spend", "confirm-deduction")
        return self._text(related_id=ref, amount=self._amount(self._amount_of(ref)))

    def _clawback(self, user: str) -> Fields:
        ref = self._earlier(user, "earn", "apply-rule", "earn", "import-opening-balance")
        fields: Fields = {"related_id": ref}
        if self._is(0.5):
            fields["amount"] = self._amount(self._amount_of(ref))
        if self._is(0.7):
            fields["policy"] = self._chance.choice(("arrears", "arrears", "only_pending", "within_balance"))
        return fields

    def _cancel_pending(self, user: str) -> Fields:
        pending = [
            send.label
            for send in self._sent
            for entry in self._made.get(send.label, [])[:1]
            if send.user == user and entry.lots and entry.lots[0].state == "pending"
        ]
        if pending and self._is(0.9):
            return {"related_id": Ref(self._chance.choice(pending))}
        return {"related_id": self._earlier(user, "earn", "apply-rule")}

    def _import_opening_balance(self, _: str) -> Fields:
        lots = []
        for nth in range(self._chance.choice((1, 2, 3))):
            lot: Fields = {"amount": min(self._amount(), LARGEST_FIGURE // 4) + nth * 100}
            if self._is(0.6):
                lot["earned_at"] = self._timeline.now - timedelta(days=self._chance.choice((1, 30, 400)))
            if self._is(0.7):
                lot["expires_at"] = self._timeline.later(self._world.calendar)
            lots.append(lot)
        fields: Fields = {"lots": lots}
        if self._is(0.4):
            fields["expired"] = self._chance.choice(("import", "reject"))
        if self._is(0.3):
            fields["control_sum"] = sum(lot["amount"] for lot in lots)
        return fields

    def _adjust(self, user: str) -> Fields:
        amount = self._amount(self._figure(user, "balance"))
        return {"amount": -amount if self._is(0.5) else amount, "reason": "a complaint"}

    def _wallet_adjust(self, user: str) -> Fields:
        amount = self._chance.choice(
            ("1", "2.50", "0.5", "10.00", "0.125", "0.0001", "7", "99999999999999999999")
        )
        fields: Fields = {"type": self._chance.choice(("deposit", "deposit", "withdraw")), "amount": amount}
        fields["reason"] = "a gift"
        wallet = self._world.wallets.get(user)
        if wallet and fields["type"] == "withdraw" and wallet.balance and self._is(0.5):
            fields["amount"] = wallet.text(wallet.balance)
        if self._is(0.3):  # because acceptance checks the decimals only with a currency
            fields["currency"], fields["amount"] = self._chance.choice(("CNY", "EUR", "JPY")), "10"
        if self._is(0.2):
            fields["application_id"] = "app"
        return fields

    def _exchange(self, user: str) -> Fields:
        amount = self._amount(self._figure(user, "balance"))
        return {"amount": amount, "exchange_type": self._chance.choice(("wallet", "wallet", "coupon"))}

    def _set_status(self, user: str) -> Fields:
        statuses = ["suspended", "active", "active", "active", "active", "closed"]
        if self._figure(user, "frozen_balance"):
            statuses = ["suspended", "active", "closed", "closed", "closed"]
        return {"status": self._chance.choice(statuses), "reason": "a reason"}

    def _erase_user(self, _: str) -> Fields:
        return {}

    def _lot(self, user: str, *, entries: bool = True) -> Ref:
        """Refer to a lot of this user with points left, or to its entry."""
        named = []
        for send in self._sent:
            lots = [lot for entry in self._made.get(send.label, []) for lot in entry.lots]
            for nth, lot in enumerate(lots):
                if lot.entry.user == user and (lot.remaining or lot.frozen) and len(lots) == 1:
                    named.append(Ref(send.label, nth, lot=True))
        if not named or self._is(0.1):
            return self._earlier(user, "earn", "apply-rule")
        ref = self._chance.choice(named)
        return Ref(ref.label) if entries and self._is(0.3) else ref

    def _extend_expiry(self, user: str) -> Fields:
        fields: Fields = {"reason": "a reason"}
        if self._is(0.6):
            fields["lots"] = list(
                dict.fromkeys(self._lot(user) for _ in range(self._chance.choice((1, 1, 2))))
            )
        else:
            fields["expiring_before"] = self._timeline.now + timedelta(days=self._chance.choice((1, 10, 400)))
        how: tuple[Fields, ...] = (
            {"days": self._chance.choice((1, 3, 30))},
            {"months": self._chance.choice((1, 6))},
            {"never": True},
            {"expires_at": self._timeline.later(self._world.calendar) + timedelta(days=1)},
        )
        return fields | self._chance.choice(how)

    def _set_expiry_exemption(self, _: str) -> Fields:
        return {"exempt": self._is(0.6), "reason": "a law"}

    def _apply_expiry_policy(self, user: str) -> Fields:
        ref = self._lot(user, entries=False)
        ends = self._chance.choice((None, NOW + timedelta(days=400), NOW + timedelta(days=800)))
        return {"lots": [{"lot_id": ref, "changes": self._chance.choice((0, 0, 1)), "expires_at": ends}]}

    def _expire_due(self, _: str) -> Fields:
        return {}

    def _release_holds_due(self, _: str) -> Fields:
        return {}

    def _activate_due(self, _: str) -> Fields:
        return {}

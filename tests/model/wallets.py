"""Money in the model: wallets, and the exchange of points for money or coupons."""

import re
from dataclasses import dataclass, field

from tests.model.accounts import Account
from tests.model.deciding import Data, Decision, Refused

SCALES = {"CNY": 2, "EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
MOST_DIGITS = 20


@dataclass(slots=True)
class Wallet:
    """A user's money in one currency, in minor units. `balance` includes frozen money."""

    currency: str
    application_id: str | None = None
    status: str = "active"
    balance: int = 0
    frozen_balance: int = 0
    entries: list[tuple[str, int, int]] = field(default_factory=list)  # type, delta, balance after

    @property
    def scale(self) -> int:
        return SCALES[self.currency]

    def text(self, minor: int) -> str:
        """Format an amount as in outcomes."""
        digits = f"{minor:0{self.scale + 1}d}"
        return f"{digits[: -self.scale]}.{digits[-self.scale :]}" if self.scale else digits

    def post(self, type_: str, delta: int) -> Data:
        self.balance += delta
        assert self.balance >= self.frozen_balance
        self.entries.append((type_, delta, self.balance))
        return {
            "seq": len(self.entries),
            "type": type_,
            "amount": self.text(abs(delta)),
            "currency": self.currency,
            "balance_before": self.text(self.balance - delta),
            "balance_after": self.text(self.balance),
        }

    @property
    def as_data(self) -> Data:
        return {
            "currency": self.currency,
            "balance": self.text(self.balance),
            "frozen_balance": self.text(self.frozen_balance),
            "status": self.status,
            "version": len(self.entries),
            "application_id": self.application_id,
        }

    @property
    def values(self) -> Data:
        """The values that are compared."""
        return {
            "currency": self.currency,
            "application_id": self.application_id,
            "status": self.status,
            "balance": self.balance,
            "frozen_balance": self.frozen_balance,
            "entries": self.entries,
        }

    def has_room(self, minor: int) -> bool:
        return len(str(self.balance + minor)) <= MOST_DIGITS


def wallet_adjust(d: Decision) -> Data:
    """Deposit or withdraw money for an administrator. The first deposit makes the wallet."""
    is_deposit = d.fields["type"] == "deposit"
    wallet = d.world.wallets.get(d.command.user_id)
    if wallet is None:
        d.refuse_unless(is_deposit, "WALLET_NOT_FOUND")
        wallet = Wallet(d.config.currency, d.fields.get("application_id"))
    d.refuse_unless(wallet.status == "active", "WALLET_INACTIVE")
    currency = d.fields.get("currency")
    d.refuse_unless(currency in (None, wallet.currency), "CURRENCY_MISMATCH")
    minor = _minor(d.fields["amount"], wallet.scale)
    if is_deposit:
        d.refuse_unless(wallet.has_room(minor), "MAX_BALANCE")
    else:
        d.refuse_unless(minor <= wallet.balance - wallet.frozen_balance, "INSUFFICIENT_BALANCE")
    transaction = wallet.post(d.fields["type"], minor if is_deposit else -minor)
    d.world.wallets[d.command.user_id] = wallet
    return {"wallet_transaction": transaction, "wallet": wallet.as_data}


def _minor(text: str, scale: int) -> int:
    """Parse an amount into minor units: positive, with the currency's decimals and at most 20 digits."""
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise Refused("AMOUNT_INVALID")
    whole, _, decimals = text.partition(".")
    minor = int(whole + decimals.ljust(scale, "0"))
    if len(decimals) > scale or minor == 0 or len(str(minor)) > MOST_DIGITS:
        raise Refused("AMOUNT_INVALID")
    return minor


def guard_exchange(d: Decision, account: Account | None) -> None:
    """Refuse to exchange points for money unless their type is cash_equivalent."""
    points_type = account.points_type if account else d.config.points_type
    is_money = d.fields["exchange_type"] == "wallet"
    d.refuse_unless(not is_money or points_type == "cash_equivalent", "FEATURE_DISABLED")


def exchange(d: Decision) -> Data:
    """Exchange points for money, rounded down to whole minor units, or all of them for a coupon.

    It takes no more points than the money costs.
    """
    if d.fields["exchange_type"] == "coupon":
        d.must_have(d.amount)
        d.debit("spend", "exchange", d.amount, "total_spent", "spend")
        return {"points_exchanged": d.amount, "points_left": 0}
    wallet = d.world.wallets.get(d.command.user_id) or Wallet(d.config.currency)
    d.refuse_unless(wallet.status == "active", "WALLET_INACTIVE")
    d.refuse_unless(wallet.currency == d.config.currency, "CURRENCY_MISMATCH")
    unit, rate = 10**wallet.scale, d.config.exchange_rate
    minor = d.amount * unit // rate
    d.refuse_unless(minor > 0, "BELOW_MINIMUM")
    d.refuse_unless(wallet.has_room(minor), "MAX_BALANCE")
    d.must_have(d.amount)
    points = -(-minor * rate // unit)
    d.debit("spend", "exchange", points, "total_spent", "spend")
    transaction = wallet.post("exchange", minor)
    d.world.wallets[d.command.user_id] = wallet
    return {
        "points_exchanged": points,
        "points_left": d.amount - points,
        "wallet_transaction": transaction,
        "wallet": wallet.as_data,
    }

"""Commands about money: what an administrator puts into a wallet or takes from it, and points for money."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, WithJsonSchema, model_validator

from pointledger.domain.commands.base import Command
from pointledger.domain.values.fields import Amount, EntityId, ShortText, Text, Why
from pointledger.domain.values.money import (
    CURRENCY_SCHEMA,
    NUMBER_SCHEMA,
    SCALES,
    currency_code,
    minor_units,
    number_text,
)

Money = Annotated[str, AfterValidator(number_text), WithJsonSchema(NUMBER_SCHEMA)]
CurrencyCode = Annotated[str, AfterValidator(currency_code), WithJsonSchema(CURRENCY_SCHEMA)]


class WalletAdjust(Command):
    """An administrator deposits money or withdraws it; `actor` says who. The first deposit makes the wallet,
    in the tenant's currency. `amount`: text like "100.00", with no more decimals than the currency has."""

    kind: ClassVar[str] = "wallet-adjust"

    type: Literal["deposit", "withdraw"]
    amount: Money
    currency: CurrencyCode | None = None  # refused where the wallet has another
    application_id: EntityId | None = None  # the wallet keeps its first
    reason: Why

    @property
    def uses_wallet(self) -> bool:
        return True

    @model_validator(mode="after")
    def _fits_the_currency(self) -> "WalletAdjust":
        if self.currency:
            try:
                minor_units(self.amount, SCALES[self.currency])
            except ValueError as error:
                raise ValueError(f"amount: {error}") from None
        return self


class Exchange(Command):
    """Points for money in the user's wallet, at the tenant's rate, or for a coupon."""

    kind: ClassVar[str] = "exchange"

    amount: Amount
    exchange_type: Literal["wallet", "coupon"]
    reason: ShortText | None = None
    source: ShortText | None = None
    description: Text | None = None

    @property
    def debit(self) -> int:
        return self.amount

    @property
    def uses_wallet(self) -> bool:
        return self.exchange_type == "wallet"

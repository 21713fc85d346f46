"""Defines the commands about money: deposits, withdrawals and the exchange of points."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from pointledger.domain.commands.base import Command, NoteOfDescription, NoteOfReason, NoteOfSource
from pointledger.domain.values.fields import Amount, EntityId, ReasonText
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
    """Deposits money into the user's wallet or withdraws it, for administrators. The first deposit makes the
    wallet, in the tenant's currency."""

    kind: ClassVar[str] = "wallet-adjust"

    type: Literal["deposit", "withdraw"] = Field(description="Put money in, or take it out.")
    amount: Money = Field(
        description='Money as text, like `"100.00"`: at most 20 digits, and no more decimals than the '
        "currency has."
    )
    currency: CurrencyCode | None = Field(
        default=None, description="The currency that the sender means. Another than the wallet's is refused."
    )
    application_id: EntityId | None = Field(
        default=None, description="A name for the wallet in other systems. The wallet keeps the first."
    )
    reason: ReasonText = Field(description="Why. The audit log shows it.")

    @property
    def uses_wallet(self) -> bool:
        return True

    @model_validator(mode="after")
    def _check_decimals(self) -> "WalletAdjust":
        if self.currency:
            try:
                minor_units(self.amount, SCALES[self.currency])
            except ValueError as error:
                raise ValueError(f"amount: {error}") from None
        return self


class Exchange(Command):
    """Exchanges points for money in the user's wallet, at the tenant's rate, or for a coupon."""

    kind: ClassVar[str] = "exchange"

    amount: Amount = Field(description="Points to exchange at most.")
    exchange_type: Literal["wallet", "coupon"] = Field(
        description="What for: `wallet` is money, rounded down to whole minor units, for no more points than "
        "that costs. `coupon` takes all of `amount`. The coupon's code is the id of the entry."
    )
    reason: NoteOfReason = None
    source: NoteOfSource = None
    description: NoteOfDescription = None

    @property
    def debit(self) -> int:
        return self.amount

    @property
    def uses_wallet(self) -> bool:
        return self.exchange_type == "wallet"

"""The shapes of answers about money, with the names and fields of the API's pages."""

from pydantic import BaseModel, ConfigDict

from pointledger.http.shapes import ListResponse, SimpleResponse


class Wallet(BaseModel):
    """A user's money in one currency; amounts are text, with all decimals of the currency."""

    model_config = ConfigDict(extra="allow")

    application_id: str = ""
    balance: str
    created_at: str
    currency: str
    frozen_balance: str
    status: str
    tenant_id: str
    updated_at: str
    user_id: str
    wallet_id: str


class WalletTransaction(BaseModel):
    """An entry on a wallet: it never changes."""

    model_config = ConfigDict(extra="allow")

    amount: str
    balance_after: str
    balance_before: str
    counterparty_id: str = ""
    created_at: str
    currency: str
    description: str = ""
    id: str
    reference_id: str = ""
    status: str
    type: str
    wallet_id: str


class WalletResponse(SimpleResponse):
    """A wallet."""

    data: Wallet


class ManualAdjustResult(BaseModel):
    """What an adjustment did."""

    transaction: WalletTransaction
    wallet: Wallet


class AdjustBalanceResponse(SimpleResponse):
    """An adjustment was applied."""

    data: ManualAdjustResult


class WalletTransactionListResponse(ListResponse):
    """A page of transactions, newest first."""

    items: list[WalletTransaction]  # type: ignore[assignment]  # narrower

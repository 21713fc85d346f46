"""Schemas of explanations: a transaction's command, rule and lots."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from pointledger.api.schemas.points import (
    OPTIONAL,
    Count,
    Delta,
    Head,
    Kind,
    Moment,
    Points,
    PointTransactionResponse,
    RuleGrant,
    Ulid,
    User,
)

Name = Annotated[str, Field(examples=["a point per euro"])]


class ExplainedCommand(BaseModel):
    """The command that wrote the transaction. `payload` and `extensions` are what its sender gave."""

    id: Ulid
    kind: Kind
    user_id: User
    actor: Annotated[str, Field(examples=["svc:till"])]
    idempotency_key: str = OPTIONAL
    occurred_at: Moment = OPTIONAL
    accepted_at: Moment
    applied_at: Moment = OPTIONAL
    state: Literal["applied", "refused"] = OPTIONAL
    payload: dict[str, Any] = OPTIONAL
    extensions: dict[str, Any] = OPTIONAL


class ExplainedRule(BaseModel):
    """The version of the rule that granted the points. `in_force_from` is left out for the first version."""

    rule_id: Ulid
    name: Name
    version: Count
    in_force_from: Moment = OPTIONAL
    body: Annotated[dict[str, Any], Field(description="The rule in its nested form.")]


class ExpiryChange(BaseModel):
    """A change of a lot's expiry. Null means that it never expires."""

    lot_id: Ulid
    nth: Count
    cause: Annotated[str, Field(examples=["extend-expiry"])]
    was: Moment | None
    becomes: Moment | None
    command_id: Ulid
    recorded_at: Moment


class LotDates(BaseModel):
    """A lot's dates. Without `expires_at` it never expires; `origin_id` first granted the points."""

    lot_id: Ulid
    earned_at: Moment = OPTIONAL
    activates_at: Moment = OPTIONAL
    expires_at: Moment = OPTIONAL
    origin_id: Ulid = OPTIONAL
    expiry_changes: list[ExpiryChange]


class MovedPoints(LotDates):
    """Points that the transaction took from a lot or returned to it."""

    kind: Annotated[str, Field(examples=["spend"])]
    amount: Delta
    lot_amount: Annotated[Points, Field(description="The lot's original points.")] = OPTIONAL
    entry_id: Annotated[Ulid, Field(description="The transaction that created the lot.")] = OPTIONAL


LotState = Literal["pending", "active", "expired", "consumed", "cancelled"]


class ArrivedLot(LotDates):
    """A lot that the transaction created, as it is now. `recorded_...` is as it is recorded."""

    amount: Points
    remaining: Points
    frozen: Points
    state: LotState
    recorded_remaining: Points
    recorded_frozen: Points
    recorded_state: LotState


class TransactionExplanation(BaseModel):
    """How a transaction came about: in sentences, and in the facts that these are made of. `grant` is what
    the rule would have granted and did grant. Each list has at most 1,000 lots."""

    sentences: Annotated[list[str], Field(examples=[["Rule “visit”, version 1, granted it."]])]
    transaction: PointTransactionResponse
    command: ExplainedCommand | None
    rule: ExplainedRule | None
    grant: RuleGrant | None
    lots_moved: list[MovedPoints]
    lots_arrived: list[ArrivedLot]


class ExplanationResponse(Head):
    """The explanation of a transaction."""

    data: TransactionExplanation

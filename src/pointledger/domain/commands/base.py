"""What every command carries, and what those of the sweeps carry besides."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pointledger.domain.values.extensions import Extensions
from pointledger.domain.values.fields import EntityId, Key, Moment, TaskId
from pointledger.ids import new_id


class Command(BaseModel):
    """What every command carries. `occurred_at`: when it happened, if not when it is accepted. `extensions`:
    what came with it for others to read, such as `traceparent`; a decision does not see them."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    kind: ClassVar[str]
    version: ClassVar[int] = 1  # of the payload; a worker that does not know a version lets it wait

    id: TaskId = Field(default_factory=new_id)
    tenant_id: EntityId
    user_id: EntityId
    actor: EntityId = "service"
    idempotency_key: Key | None = None
    occurred_at: Moment | None = None
    extensions: Extensions | None = None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but what is changed is looked at. Raises ValidationError."""
        return type(self).model_validate({**dict(self), **(update or {})})

    @property
    def key(self) -> str | None:
        """What makes a repetition recognisable besides the id."""
        return self.idempotency_key

    @property
    def users(self) -> tuple[str, ...]:
        """Whom it touches, the one in whose order it stands first."""
        return (self.user_id,)

    @property
    def debit(self) -> int:
        """The most it can take from `user_id`'s available balance, in points."""
        return 0

    @property
    def reverses(self) -> UUID | None:
        """The entry that it undoes, in whole or in part."""
        return None

    @property
    def uses_wallet(self) -> bool:
        """Whether it looks at the money of `user_id`."""
        return False

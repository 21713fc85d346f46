"""What every command carries."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pointledger.domain.values.actor import DEFAULT_SERVICE
from pointledger.domain.values.extensions import Extensions
from pointledger.domain.values.fields import EntityId, Key, Moment, ShortText, TaskId, Text
from pointledger.ids import new_id

# Notes for people, which several kinds take. No decision reads them.
NoteOfReason = Annotated[ShortText | None, Field(description="Why, for people. No decision reads it.")]
NoteOfSource = Annotated[
    ShortText | None, Field(description="Where the points come from or go to, for people.")
]
NoteOfDescription = Annotated[Text | None, Field(description="What a statement shows for the entry.")]


class Command(BaseModel):
    """The fields of every command."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    kind: ClassVar[str]
    version: ClassVar[int] = 1  # of the payload; a worker leaves unknown versions pending

    id: TaskId = Field(
        default_factory=new_id,
        description="The command's id, which is its task id. Sending a command again with its id is safe. "
        "Python draws one with the object.",
    )
    tenant_id: EntityId = Field(description="The tenant whose program it is.")
    user_id: EntityId = Field(description="The user whose account it changes.")
    actor: EntityId = Field(
        default=DEFAULT_SERVICE,
        description="Who sends it: a service or an administrator. The ledger keeps `job`, `policy`, "
        "`operator`, `sweep`, `cli:...`, `person:...` and `erased:...` for itself.",
    )
    idempotency_key: Key | None = Field(
        default=None,
        description="A key of the sender's, unique per tenant, `actor` and kind. A command with the same key "
        "and content is the same command. The same key with other content is an error.",
    )
    occurred_at: Moment | None = Field(
        default=None,
        description="When it happened. The moment of acceptance, if not given or later than that.",
    )
    extensions: Extensions | None = Field(
        default=None,
        description="Attributes for other programs, like `traceparent`: at most 64, and 16 KiB in all. The "
        "journal keeps them. No decision reads them.",
    )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the command with other fields, and validate them. Raises ValidationError."""
        return type(self).model_validate({**dict(self), **(update or {})})

    @property
    def key(self) -> str | None:
        """The key by which a repetition is recognized, besides the id."""
        return self.idempotency_key

    @property
    def users(self) -> tuple[str, ...]:
        """The users whose accounts it changes. It is applied in the order of the first."""
        return (self.user_id,)

    @property
    def debit(self) -> int:
        """The most points it can take from the available balance of `user_id`."""
        return 0

    @property
    def reverses(self) -> UUID | None:
        """The entry that it reverses, in whole or in part."""
        return None

    @property
    def uses_wallet(self) -> bool:
        """Whether it reads the wallet of `user_id`."""
        return False

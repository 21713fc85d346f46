"""Producers: who may send events, what about, and how they sign. Their keys are never shown or logged."""

import hmac
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from pointledger.domain.commands import KINDS
from pointledger.domain.values.fields import EntityId
from pointledger.domain.values.models import as_tuple
from pointledger.domain.values.validation import explain
from pointledger.errors import InvalidProducers

_LEAST_SECRET = 32  # characters: a shorter key is guessed before its message
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Key(BaseModel):
    """One of a producer's keys; while two are there, either is good: so keys are changed without a gap."""

    model_config = _STRICT

    id: EntityId
    secret: Annotated[SecretStr, Field(min_length=_LEAST_SECRET)]


class Producer(BaseModel):
    """One service. `tenants` and `kinds` (of commands) are what it may send; `per_minute` how many events."""

    model_config = _STRICT

    name: EntityId
    keys: Annotated[tuple[Key, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    tenants: Annotated[tuple[EntityId, ...], BeforeValidator(as_tuple)] | Literal["all"]
    kinds: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("apply-rule",)
    per_minute: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _kinds_are_known(self) -> "Producer":
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise ValueError(f"kinds: unknown: {', '.join(unknown)}")
        return self

    def may(self, tenant_id: str, kind: str) -> bool:
        """Whether it may send commands of this kind for this tenant."""
        return kind in self.kinds and (self.tenants == "all" or tenant_id in self.tenants)


class Producers(BaseModel):
    """All who may send events."""

    model_config = _STRICT

    producers: Annotated[tuple[Producer, ...], BeforeValidator(as_tuple)]

    @model_validator(mode="after")
    def _each_has_its_name(self) -> "Producers":
        names = [producer.name for producer in self.producers]
        if len(set(names)) < len(names):
            raise ValueError("producers: each has a name of its own")
        return self

    def named(self, name: str | None) -> Producer | None:
        """The producer of this name."""
        return next((producer for producer in self.producers if producer.name == name), None)

    def who_signed(
        self, raw: bytes, name: str | None, key_id: str | None, signature: str | None
    ) -> Producer | None:
        """The producer of this name, if the bytes are signed with its key of this id; else None."""
        producer = self.named(name)
        keys = [key for key in producer.keys if key.id == key_id] if producer else []
        if not keys or signature is None or not signature.isascii():
            return None
        wanted = sign(raw, keys[0].secret.get_secret_value())
        return producer if hmac.compare_digest(wanted, signature.lower()) else None


def sign(raw: bytes, secret: str) -> str:
    """The signature of a message's bytes: HMAC-SHA-256, in hexadecimal."""
    return hmac.new(secret.encode(), raw, sha256).hexdigest()


def producers_from(fields: Any) -> Producers:
    """The producers of a keys file. Raises InvalidProducers, which shows no secret."""
    try:
        return Producers.model_validate(fields)
    except ValidationError as error:
        raise InvalidProducers(explain(error)) from None

"""Defines the producers of events: their rights, keys and signatures. Keys are never shown or logged."""

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
    field_validator,
    model_validator,
)

from pointledger.domain.commands import KINDS
from pointledger.domain.values.actor import is_own_name
from pointledger.domain.values.fields import EntityId
from pointledger.domain.values.models import as_tuple
from pointledger.domain.values.validation import describe
from pointledger.errors import InvalidProducers

_MIN_SECRET = 32  # characters: a shorter key can be guessed
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class ProducerKey(BaseModel):
    """A key of a producer. A producer can have several valid keys, so keys rotate without a gap."""

    model_config = _STRICT

    id: EntityId
    secret: Annotated[SecretStr, Field(min_length=_MIN_SECRET)]


class Producer(BaseModel):
    """A service with the tenants and kinds of commands it may send. `per_minute` limits its events."""

    model_config = _STRICT

    name: EntityId
    keys: Annotated[tuple[ProducerKey, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    tenants: Annotated[tuple[EntityId, ...], BeforeValidator(as_tuple)] | Literal["all"]
    kinds: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("apply-rule",)
    per_minute: Annotated[int, Field(ge=1)] | None = None

    @field_validator("name")
    @classmethod
    def _is_not_the_ledgers(cls, name: str) -> str:
        if is_own_name(name):
            raise ValueError("the ledger itself uses this name; choose another, like svc:till")
        return name

    @model_validator(mode="after")
    def _kinds_are_known(self) -> "Producer":
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise ValueError(f"kinds: unknown: {', '.join(unknown)}")
        return self

    def may(self, tenant_id: str, kind: str) -> bool:
        """Return whether it may send commands of this kind for this tenant."""
        return kind in self.kinds and self.may_send_for(tenant_id)

    def may_send_for(self, tenant_id: str) -> bool:
        """Return whether it may send any commands for this tenant."""
        return self.tenants == "all" or tenant_id in self.tenants


class Producers(BaseModel):
    """All producers of events."""

    model_config = _STRICT

    producers: Annotated[tuple[Producer, ...], BeforeValidator(as_tuple)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Producers":
        names = [producer.name for producer in self.producers]
        if len(set(names)) < len(names):
            raise ValueError("producers: names must be unique")
        return self

    def named(self, name: str | None) -> Producer | None:
        """Return the producer of this name, if any."""
        return next((producer for producer in self.producers if producer.name == name), None)

    def authenticate(
        self, raw: bytes, name: str | None, key_id: str | None, signature: str | None
    ) -> Producer | None:
        """Return the producer of this name if its key of this id signed the bytes, else None."""
        producer = self.named(name)
        keys = [key for key in producer.keys if key.id == key_id] if producer else []
        if not keys or signature is None or not signature.isascii():
            return None
        expected = sign(raw, keys[0].secret.get_secret_value())
        return producer if hmac.compare_digest(expected, signature.lower()) else None


def sign(raw: bytes, secret: str) -> str:
    """Sign a message's bytes with HMAC-SHA-256, in hexadecimal."""
    return hmac.new(secret.encode(), raw, sha256).hexdigest()


def producers_from(fields: Any) -> Producers:
    """Validate the contents of a keys file. Raises InvalidProducers, which shows no secret."""
    try:
        return Producers.model_validate(fields)
    except ValidationError as error:
        raise InvalidProducers(describe(error)) from None

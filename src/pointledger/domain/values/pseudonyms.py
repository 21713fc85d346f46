"""Derives the pseudonym that replaces the id of an erased user.

Pseudonyms are keyed, so a reader of the ledger without the key cannot match them to users. The same user
always gets the same pseudonym, so the ledger recognizes a later command for an erased user.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256

from pointledger.errors import ErasureKeyMissing

_DIGITS = 32  # 128 bits: no two users collide
_CHECKED = b"pointledger: is this the key?"


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Derives pseudonyms with the operator's key. The key is needed only once a user is erased."""

    key: bytes | None = None

    def of(self, tenant_id: str, user_id: str) -> str:
        """Return the user's pseudonym, a valid user id. Raises ErasureKeyMissing."""
        return "erased:" + self._digest(f"{tenant_id}\x00{user_id}".encode()).hex()[:_DIGITS]

    def check(self) -> bytes:
        """Return a digest that identifies the key and reveals nothing else. Raises ErasureKeyMissing."""
        return self._digest(_CHECKED)[:8]

    def _digest(self, text: bytes) -> bytes:
        if self.key is None:
            raise ErasureKeyMissing
        return hmac.new(self.key, text, sha256).digest()

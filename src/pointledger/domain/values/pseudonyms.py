"""Pseudonyms: what stands in a user's place once the user is erased.

Keyed: who has the ledger and not the key cannot try out whose pseudonym it is. The same user always has the
same one, which is how a later command for an erased user is known for what it is.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256

from pointledger.errors import ErasureKeyMissing

_DIGITS = 32  # 128 bits: no two users meet
_CHECKED = b"pointledger: is this the key?"


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Makes pseudonyms with the operator's key, which may be missing as long as nobody is erased."""

    key: bytes | None = None

    def of(self, tenant_id: str, user_id: str) -> str:
        """A user id like any other. Raises ErasureKeyMissing."""
        return "erased:" + self._digest(f"{tenant_id}\x00{user_id}".encode()).hex()[:_DIGITS]

    def check(self) -> bytes:
        """Tells this key from another, and nothing else of it. Raises ErasureKeyMissing."""
        return self._digest(_CHECKED)[:8]

    def _digest(self, text: bytes) -> bytes:
        if self.key is None:
            raise ErasureKeyMissing
        return hmac.new(self.key, text, sha256).digest()

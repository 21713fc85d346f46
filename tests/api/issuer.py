"""An issuer of tokens, with any claims that a test needs."""

import time
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "pointledger"
KID = "first"


class Issuer:
    """Signs tokens with one Ed25519 key."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()

    def jwk(self, kid: str = KID) -> dict[str, Any]:
        jwk = OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return jwk | {"kid": kid, "alg": "EdDSA", "use": "sig"}

    def jwks(self, kid: str = KID) -> bytes:
        return orjson.dumps({"keys": [self.jwk(kid)]})

    def write(self, folder: Path) -> str:
        path = folder / "jwks.json"
        path.write_bytes(self.jwks())
        return str(path)

    def claims(self, sub: str, tenant_id: str = "shop", **more: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": sub,
            "tenant_id": tenant_id,
            "iat": now,
            "exp": now + 600,
        }
        return claims | more

    def token(self, sub: str, tenant_id: str = "shop", **more: Any) -> str:
        return self.signed(self.claims(sub, tenant_id, **more))

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode(claims, self.key, "EdDSA", {"kid": KID} | header)

    def user(self, user_id: str, tenant_id: str = "shop") -> str:
        return self.token(user_id, tenant_id, scope="points:read points:write")

    def admin(self, tenant_id: str = "shop") -> str:
        return self.token("boss", tenant_id, scope="points:admin")

"""Makes a signing key for `./dev run`. Any process that can read its folder can sign tokens for the API."""

import time
from dataclasses import dataclass
from pathlib import Path

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import OKPAlgorithm

from pointledger.embedded.private_files import make_private_folder, write_private

ISSUER = "pointledger-development"
_KID = "development"
_TOKEN_SECONDS = 86_400  # the API rejects tokens that live longer


@dataclass(frozen=True, slots=True)
class DevelopmentKey:
    """Two files. `keys`: the JWK set that the API trusts; `token`: an administrator's token."""

    keys: Path
    token: Path


def development_key(folder: Path, tenant_id: str) -> DevelopmentKey:
    """Load or create the folder's key; write a new administrator's token for the tenant."""
    make_private_folder(folder)
    files = DevelopmentKey(folder / "jwks.json", folder / "token")
    private = _private_key(folder / "private.pem")
    public = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    jwk = public | {"kid": _KID, "use": "sig", "alg": "EdDSA"}
    write_private(files.keys, orjson.dumps({"keys": [jwk]}))
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "pointledger",
        "sub": "developer",
        "tenant_id": tenant_id,
        "scope": "points:admin",
        "iat": now,
        "exp": now + _TOKEN_SECONDS,
    }
    write_private(files.token, jwt.encode(claims, private, "EdDSA", {"kid": _KID}).encode())
    return files


def _private_key(path: Path) -> Ed25519PrivateKey:
    if path.exists():
        found = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(found, Ed25519PrivateKey), "only this module writes the key"
        return found
    created = Ed25519PrivateKey.generate()
    write_private(path, created.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return created

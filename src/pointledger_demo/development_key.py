"""A key for this machine alone: whoever can read the run's own folder can sign tokens for its gateway."""

import os
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

ISSUER = "pointledger-development"
_KID = "development"
_LIVES_SECONDS = 86_400  # longer tokens are not believed


@dataclass(frozen=True, slots=True)
class DevelopmentKey:
    """`keys`: the file that the gateway believes; `token`: a file with an administrator's token."""

    keys: Path
    token: Path


def development_key(folder: Path, tenant_id: str) -> DevelopmentKey:
    """The folder's key, made when it has none, and a fresh token of an administrator of the tenant."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = DevelopmentKey(folder / "jwks.json", folder / "token")
    private = _private_key(folder / "private.pem")
    public = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    described = public | {"kid": _KID, "use": "sig", "alg": "EdDSA"}
    _write(made.keys, orjson.dumps({"keys": [described]}))
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "pointledger",
        "sub": "developer",
        "tenant_id": tenant_id,
        "scope": "points:admin",
        "iat": now,
        "exp": now + _LIVES_SECONDS,
    }
    _write(made.token, jwt.encode(claims, private, "EdDSA", {"kid": _KID}).encode())
    return made


def _private_key(path: Path) -> Ed25519PrivateKey:
    if path.exists():
        found = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(found, Ed25519PrivateKey), "the folder is ours"
        return found
    made = Ed25519PrivateKey.generate()
    _write(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def _write(path: Path, content: bytes) -> None:
    """For its owner's eyes only, from the first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)

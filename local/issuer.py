"""The sandbox's issuer of tokens: one key, made once and kept in the state directory. Never deployed."""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER: Final = "urn:earnest:sandbox"
AUDIENCE: Final = "earnest"
ALGORITHM: Final = "ES256"
VALID_SECONDS: Final = 30 * 24 * 60 * 60
KEY_FILE: Final = "issuer.pem"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs tokens for anybody who asks."""

    key: ec.EllipticCurvePrivateKey

    @classmethod
    def at(cls, state_dir: Path) -> Self:
        """The issuer of a state directory. Of two processes that start at once, one makes the key and both use it."""
        path = state_dir / KEY_FILE
        if not path.exists():
            _make(path)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key)

    def token(self, role: str, sub: str, merchant: str | None, now_seconds: int) -> str:
        claims: dict[str, str | int] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": sub,
            "role": role,
            "token_use": "access",
            "iat": now_seconds,
            "exp": now_seconds + VALID_SECONDS,
        }
        if merchant is not None:
            claims["merchant"] = merchant
        return jwt.encode(claims, self.key, ALGORITHM, headers={"kid": self._kid()})

    def jwks(self) -> str:
        """The public half, as the verifier reads it."""
        public = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**public, "kid": self._kid(), "alg": ALGORITHM, "use": "sig"}]})

    def _kid(self) -> str:
        public = self.key.public_key()
        encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(encoded).hexdigest()[:16]


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Written under another name, readable by its owner only; the link fails when another process was faster.
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)

"""The service's secrets: encryption of people's texts, and withdrawal tokens.

The first secret writes, the others only read. AES-SIV needs no random number: the same text under the same key gives the
same bytes, so a repeated request is the same request.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from chalicelib.core.common.ids import is_well_formed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

SECRET_ID_BYTES: Final = 8  # bytes of a digest that identifies a secret
PROOF_LENGTH: Final = 26  # hexadecimal characters of a token's proof: 104 bits


class Vault:
    """``secrets`` are texts of at least 32 random bytes; without one, no token and no sealed text can be made.

    To rotate, add the new one last, and put it first once every container has it. Remove an old one when nothing
    written under it is needed any more.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = {_secret_id(secret): secret.encode() for secret in secrets}

    @property
    def token_key(self) -> str:
        return next(iter(self._secrets), "")

    def seal(self, key: str, text: bytes) -> bytes:
        """Encrypt a text; it is bound to ``key``."""
        secret_id = self.token_key
        return bytes.fromhex(secret_id) + bytes(_cipher(self._secrets[secret_id]).encrypt(text, [key.encode()]))

    def unseal(self, key: str, sealed: bytes) -> bytes:
        secret = self._secrets[sealed[:SECRET_ID_BYTES].hex()]
        return bytes(_cipher(secret).decrypt(sealed[SECRET_ID_BYTES:], [key.encode()]))

    def fingerprint(self, text: bytes) -> str:
        """A keyed digest of a text, to compare it with a later one."""
        return hmac.new(self._secrets[self.token_key], b"fingerprint" + text, hashlib.sha256).hexdigest()

    def token(self, deposit_id: str, token_key: str) -> str | None:
        """``wdt_<26 characters of the deposit>_<secret>_<proof>``, or None when the secret is gone."""
        secret = self._secrets.get(token_key)
        if secret is None:
            return None
        return f"wdt_{deposit_id.partition('_')[2]}_{token_key}_{_proof(secret, deposit_id)}"

    def holder(self, token: str) -> str | None:
        """The id of the deposit that a token is valid for, or None."""
        head, _, rest = token.partition("_")
        body, _, proof = rest.partition("_")
        deposit_id = f"dep_{body}"
        if head != "wdt" or not token.isascii() or not is_well_formed("dep", deposit_id):
            return None
        expected = self.token(deposit_id, proof.partition("_")[0])
        return deposit_id if expected is not None and hmac.compare_digest(expected.encode(), token.encode()) else None


def _secret_id(secret: str) -> str:
    return hashlib.sha256(b"mark" + secret.encode()).digest()[:SECRET_ID_BYTES].hex()


def _proof(secret: bytes, deposit_id: str) -> str:
    return hmac.new(secret, b"withdrawal" + deposit_id.encode(), hashlib.sha256).hexdigest()[:PROOF_LENGTH]


def _cipher(secret: bytes) -> "AESSIV":
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - few requests need it

    return AESSIV(hashlib.sha512(b"texts" + secret).digest())

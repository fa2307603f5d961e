"""The service's own secrets: texts of people that nobody else can read, and withdrawal tokens that nobody else can make.

The first secret is in use, the others still read what was written under them. Sealing is AES-SIV, which needs no random
number: the same text under the same key is the same bytes, so a request that is sent again is the same request.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from chalicelib.core.common.ids import is_well_formed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

MARK: Final = 8  # bytes that name a secret without telling it
MAC: Final = 26  # characters of a token's proof: 104 bits


class Vault:
    """``secrets`` are texts of at least 32 random bytes; none at all makes no tokens and seals nothing.

    To change them, add the new one last, and put it first once every container knows it. An old one goes only when
    nothing written under it is needed any more.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = {_mark(secret): secret.encode() for secret in secrets}

    @property
    def token_key(self) -> str:
        return next(iter(self._secrets), "")

    def seal(self, key: str, text: bytes) -> bytes:
        """The text, readable only with the secret and under this key."""
        mark = self.token_key
        return bytes.fromhex(mark) + bytes(_cipher(self._secrets[mark]).encrypt(text, [key.encode()]))

    def unseal(self, key: str, sealed: bytes) -> bytes:
        secret = self._secrets[sealed[:MARK].hex()]
        return bytes(_cipher(secret).decrypt(sealed[MARK:], [key.encode()]))

    def fingerprint(self, text: bytes) -> str:
        """Tells whether a text changed, and nothing else."""
        return hmac.new(self._secrets[self.token_key], b"fingerprint" + text, hashlib.sha256).hexdigest()

    def token(self, deposit_id: str, token_key: str) -> str | None:
        """``wdt_<26 characters of the deposit>_<secret>_<proof>``, or None when the secret is gone."""
        secret = self._secrets.get(token_key)
        if secret is None:
            return None
        return f"wdt_{deposit_id.partition('_')[2]}_{token_key}_{_proof(secret, deposit_id)}"

    def holder(self, token: str) -> str | None:
        """The deposit that a token is good for, or None."""
        head, _, rest = token.partition("_")
        body, _, proof = rest.partition("_")
        deposit_id = f"dep_{body}"
        if head != "wdt" or not token.isascii() or not is_well_formed("dep", deposit_id):
            return None
        made = self.token(deposit_id, proof.partition("_")[0])
        return deposit_id if made is not None and hmac.compare_digest(made.encode(), token.encode()) else None


def _mark(secret: str) -> str:
    return hashlib.sha256(b"mark" + secret.encode()).digest()[:MARK].hex()


def _proof(secret: bytes, deposit_id: str) -> str:
    return hmac.new(secret, b"withdrawal" + deposit_id.encode(), hashlib.sha256).hexdigest()[:MAC]


def _cipher(secret: bytes) -> "AESSIV":
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - few requests need it

    return AESSIV(hashlib.sha512(b"texts" + secret).digest())

"""The format of ids: a prefix, 26 characters, and for parts of a deposit an ordinal. Nothing here is random."""

import hashlib
import re
from typing import Final

# Crockford's base32, lower case: no i, l, o, u, which people misread.
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
BODY_LENGTH: Final = 26
BITS_PER_CHARACTER: Final = 5

_BODY: Final = re.compile(rf"[{ALPHABET}]{{{BODY_LENGTH}}}")
_CHILD: Final = re.compile(rf"([{ALPHABET}]{{{BODY_LENGTH}}})_([1-9][0-9]{{0,5}})")


def digest_id(prefix: str, *parts: str) -> str:
    """An id computed from the parts: the first 130 bits of their SHA-256."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        # The length in front keeps ("a", "bc") and ("ab", "c") apart.
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return f"{prefix}_{_base32(digest.digest())}"


def is_well_formed(prefix: str, text: str) -> bool:
    """Whether the text has the format of such an id, whether or not it exists."""
    head, _, body = text.partition("_")
    return head == prefix and _BODY.fullmatch(body) is not None


def child(prefix: str, parent_id: str, ordinal: int) -> str:
    """The id of a deposit's n-th payment, refund, claim...: ``ref``, ``dep_<26>``, 1 gives ``ref_<26>_1``."""
    text = f"{prefix}_{parent_id.partition('_')[2]}_{ordinal}"
    assert parse_child(prefix, text) is not None
    return text


def parse_child(prefix: str, text: str) -> tuple[str, int] | None:
    """The parent's 26 characters and the ordinal, or None when the text is not such an id."""
    head, _, rest = text.partition("_")
    match = _CHILD.fullmatch(rest)
    if head != prefix or match is None:
        return None
    return match[1], int(match[2])


def _base32(digest: bytes) -> str:
    bits = BODY_LENGTH * BITS_PER_CHARACTER
    number = int.from_bytes(digest, "big") >> (len(digest) * 8 - bits)
    return "".join(
        ALPHABET[number >> shift & 31] for shift in range(bits - BITS_PER_CHARACTER, -1, -BITS_PER_CHARACTER)
    )

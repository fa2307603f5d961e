"""Bearer tokens: who calls. Keys and algorithms come from the configuration alone; nothing in a token is fetched."""

import re
from collections.abc import Mapping
from typing import Any, Final, Self

import jwt
from msgspec import Struct

from chalicelib.core.common import ids
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason, Refused

ALGORITHMS: Final = ("ES256", "RS256")
ROLES: Final = ("buyer", "merchant", "inspector", "platform", "service")
MERCHANT_ROLES: Final = ("merchant", "inspector")
MERCHANT: Final = re.compile(r"mer_[a-z0-9]{1,26}")
# Any text, but halves of surrogate pairs are not text and have no bytes to digest.
SUBJECT: Final = re.compile(r"[^\ud800-\udfff]{1,255}")
# All claims at their longest fit into it; a longer token is refused undecoded.
MAX_TOKEN_CHARS: Final = 8192
# How much the clock of an issuer may differ from this one.
LEEWAY_SECONDS: Final = 60
# Headers that carry a key, or the address of one; a token with them is refused.
FOREIGN_KEYS: Final = frozenset({"jku", "x5u", "jwk"})
# What PyJWT's parsing can raise: no token of a caller may end in a 500.
UNREADABLE: Final = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError)


class Verifier(Struct, frozen=True):
    """One issuer's tokens for one audience, under keys that we hold, each with its one algorithm."""

    issuer: str
    audience: str
    keys: Mapping[str, jwt.PyJWK]

    @classmethod
    def from_jwks(cls, issuer: str, audience: str, jwks_json: str) -> Self:
        """Read a key set. Keys without an id, for other uses or algorithms are left out; ValueError when none is left."""
        published = jwt.PyJWKSet.from_json(jwks_json).keys
        keys = {key.key_id: key for key in published if key.key_id and _for_signatures(key)}
        if not keys:
            raise ValueError("no usable key in the key set")
        return cls(issuer, audience, keys)

    def caller(self, authorization: str | None) -> Caller:
        """The caller that the ``Authorization`` header names, once its signature and claims are verified."""
        claims = self._claims(_bearer(authorization))
        subject, role, merchant = claims["sub"], claims.get("role"), claims.get("merchant")
        if not _whole_seconds(claims) or claims.get("token_use", "access") != "access":
            raise Refused(Reason.INVALID_TOKEN)
        if not _matches(SUBJECT, subject) or role not in ROLES:
            raise Refused(Reason.INVALID_TOKEN)
        if not _matches(MERCHANT, merchant) and (merchant is not None or role in MERCHANT_ROLES):
            raise Refused(Reason.INVALID_TOKEN)
        # A buyer's token may name a merchant; it gives the buyer nothing.
        return Caller(
            id=ids.digest_id("usr", self.issuer, subject),
            role=role,
            merchant=merchant if role in MERCHANT_ROLES else None,
        )

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            key = self._key(jwt.get_unverified_header(token))
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            raise Refused(Reason.TOKEN_EXPIRED) from None
        except UNREADABLE:
            raise Refused(Reason.INVALID_TOKEN) from None

    def _key(self, header: dict[str, Any]) -> jwt.PyJWK:
        key = self.keys.get(header.get("kid", ""))
        if key is None or not FOREIGN_KEYS.isdisjoint(header):
            raise Refused(Reason.INVALID_TOKEN)
        return key


def _for_signatures(key: jwt.PyJWK) -> bool:
    return key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig")


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(Reason.UNAUTHENTICATED)
    if len(token) > MAX_TOKEN_CHARS:
        raise Refused(Reason.INVALID_TOKEN)
    return token.strip()


def _whole_seconds(claims: dict[str, Any]) -> bool:
    """PyJWT also takes "123", 1.5 and true for an instant; only whole numbers of seconds are accepted."""
    return all(type(claims.get(name, 0)) is int for name in ("exp", "iat", "nbf"))


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None

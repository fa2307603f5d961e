"""Tokens: every way of not being who you say you are, and the sandbox issuer that the good ones come from."""

import base64
import hashlib
import hmac
import json
import stat
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from chalicelib.core.common import ids
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge.tokens import Verifier
from local import issuer as sandbox
from local.issuer import Issuer

DAY = 24 * 60 * 60
OURS = Issuer(ec.generate_private_key(ec.SECP256R1()))
STRANGER = Issuer(ec.generate_private_key(ec.SECP256R1()))
KID = json.loads(OURS.jwks())["keys"][0]["kid"]
VERIFIER = Verifier.from_jwks(sandbox.ISSUER, sandbox.AUDIENCE, OURS.jwks())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_PEM = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def now() -> int:
    return int(time.time())


def claims(**changes: object) -> dict[str, object]:
    """A buyer's good claims; None takes one away."""
    good = {"iss": sandbox.ISSUER, "aud": sandbox.AUDIENCE, "sub": "ana", "role": "buyer"}
    full = {**good, "iat": now(), "exp": now() + DAY, **changes}
    return {name: value for name, value in full.items() if value is not None}


def bearer(payload: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> str:
    return "Bearer " + jwt.encode(dict(payload), OURS.key, "ES256", headers={"kid": KID, **(headers or {})})


def raw_bearer(payload: str, header: str | None = None) -> str:
    """A rightly signed token around any text, JSON or not."""
    parts = [header or json.dumps({"alg": "ES256", "kid": KID}), payload]
    content = b".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in parts)
    algorithm = jwt.PyJWK(json.loads(OURS.jwks())["keys"][0]).Algorithm
    signature = base64.urlsafe_b64encode(algorithm.sign(content, OURS.key)).rstrip(b"=")
    return f"Bearer {content.decode()}.{signature.decode()}"


def reason(authorization: str | None, verifier: Verifier = VERIFIER) -> Reason | None:
    """Why the caller is refused, or None."""
    try:
        verifier.caller(authorization)
    except Refused as refused:
        return refused.reason
    return None


@pytest.mark.parametrize("role", ["buyer", "platform", "service"])
def test_a_good_token_names_its_caller(role: str) -> None:
    token = OURS.token(role, "ana", None, now())
    expected = Caller(ids.digest_id("usr", sandbox.ISSUER, "ana"), role)
    assert VERIFIER.caller(f"Bearer {token}") == expected
    assert VERIFIER.caller(f"bearer  {token} ") == expected


@pytest.mark.parametrize("role", ["merchant", "inspector"])
def test_staff_belong_to_their_merchant(role: str) -> None:
    token = OURS.token(role, "budi", "mer_seventoy", now())
    assert VERIFIER.caller(f"Bearer {token}").merchant == "mer_seventoy"
    assert reason(f"Bearer {OURS.token(role, 'budi', None, now())}") == Reason.INVALID_TOKEN


def test_a_merchant_in_a_buyers_token_gives_the_buyer_nothing() -> None:
    assert VERIFIER.caller(bearer(claims(merchant="mer_seventoy"))).merchant is None


@pytest.mark.parametrize("authorization", [None, "", "   ", "Bearer", "Bearer ", "Basic YTpi", "ey.ey.ey"])
def test_without_a_bearer_token_nobody_is_known(authorization: str | None) -> None:
    assert reason(authorization) == Reason.UNAUTHENTICATED


BAD_CLAIMS: list[dict[str, object]] = [
    {"aud": "another-app"},
    {"aud": None},
    {"aud": 7},
    {"iss": "urn:another"},
    {"iss": None},
    {"iss": ["urn:earnest:sandbox"]},
    {"exp": None},
    {"exp": "9999999999"},
    {"exp": 9999999999.5},
    {"iat": True},
    {"exp": [1]},
    {"iat": None},
    {"iat": "1"},
    {"iat": 4102444800},
    {"nbf": 4102444800},
    {"nbf": "1"},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"sub": "x" * 256},
    {"sub": "x" * 10_240},
    {"sub": "\ud800"},
    {"role": None},
    {"role": "admin"},
    {"role": "Buyer"},
    {"role": ["buyer"]},
    {"role": {"buyer": 1}},
    {"token_use": "id"},
    {"token_use": 1},
    {"merchant": "mer_"},
    {"merchant": "mer_UPPER"},
    {"merchant": "mer_a\n"},
    {"merchant": "mer_" + "a" * 27},
    {"merchant": 7, "role": "merchant"},
    {"merchant": ["mer_a"], "role": "inspector"},
]


@pytest.mark.parametrize("changes", BAD_CLAIMS, ids=str)
def test_bad_claims_make_an_invalid_token(changes: dict[str, object]) -> None:
    assert reason(raw_bearer(json.dumps(claims(**changes)))) == Reason.INVALID_TOKEN


@pytest.mark.parametrize("sub", ["x", "x" * 255, "山田", "a\nb", "00000000-0000-0000-0000-000000000000"])
def test_any_text_of_1_to_255_characters_is_a_subject(sub: str) -> None:
    assert VERIFIER.caller(bearer(claims(sub=sub))).id == ids.digest_id("usr", sandbox.ISSUER, sub)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "1" * 400, "-" + "1" * 400, "1" * 5000])
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
def test_absurd_instants_never_break_the_reader(claim: str, number: str) -> None:
    payload = json.dumps(claims(**{claim: "HERE"})).replace('"HERE"', number)
    assert reason(raw_bearer(payload)) in (None, Reason.INVALID_TOKEN, Reason.TOKEN_EXPIRED)


@pytest.mark.parametrize("exp", ["1e400", '"9999999999"'])
def test_an_expiry_that_is_no_whole_number_is_invalid(exp: str) -> None:
    assert reason(raw_bearer(json.dumps(claims(exp="HERE")).replace('"HERE"', exp))) == Reason.INVALID_TOKEN


def test_a_token_lives_until_60_seconds_after_its_expiry() -> None:
    assert reason(bearer(claims(exp=now() - 61))) == Reason.TOKEN_EXPIRED
    assert VERIFIER.caller(bearer(claims(exp=now() - 50))).role == "buyer"
    assert VERIFIER.caller(bearer(claims(iat=now() + 50))).role == "buyer"


HEADERS: list[dict[str, object]] = [
    {"kid": "unknown"},
    {"kid": "../../x"},
    {"kid": "https://keys.invalid/1"},
    {"kid": 7},
    {"kid": None},
    {"kid": ["a"]},
    {"jku": "https://keys.invalid/jwks"},
    {"x5u": "https://keys.invalid/x5u"},
    {"jwk": json.loads(STRANGER.jwks())["keys"][0]},
    {"alg": "none"},
    {"alg": "HS256"},
    {"alg": "RS256"},
    {"alg": ["ES256"]},
    {"crit": ["exp"]},
    {"b64": False, "crit": ["b64"]},
]


@pytest.mark.parametrize("changes", HEADERS, ids=[str(n) for n in range(len(HEADERS))])
def test_headers_choose_neither_key_nor_algorithm(changes: dict[str, object]) -> None:
    header = json.dumps({"alg": "ES256", "kid": KID, **changes})
    assert reason(raw_bearer(json.dumps(claims()), header)) == Reason.INVALID_TOKEN


def test_a_token_without_key_id_is_invalid() -> None:
    assert reason("Bearer " + jwt.encode(claims(), OURS.key, "ES256")) == Reason.INVALID_TOKEN


def test_an_unsigned_token_is_invalid() -> None:
    token = jwt.encode(claims(), "", "none", headers={"kid": KID})
    assert token.endswith(".")
    assert reason(f"Bearer {token}") == Reason.INVALID_TOKEN


def test_a_strangers_signature_under_our_key_id_is_invalid() -> None:
    token = jwt.encode(claims(), STRANGER.key, "ES256", headers={"kid": KID})
    assert reason(f"Bearer {token}") == Reason.INVALID_TOKEN


def with_rsa() -> Verifier:
    key = {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": "rsa"}
    return Verifier.from_jwks(sandbox.ISSUER, sandbox.AUDIENCE, json.dumps({"keys": [key]}))


def test_an_rsa_key_signs_rs256_and_nothing_else() -> None:
    good = jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "rsa"})
    other = jwt.encode(claims(), RSA_KEY, "RS512", headers={"kid": "rsa"})
    assert with_rsa().caller(f"Bearer {good}").role == "buyer"
    assert reason(f"Bearer {other}", with_rsa()) == Reason.INVALID_TOKEN


def test_a_public_key_used_as_a_shared_secret_is_invalid() -> None:
    """PyJWT will not sign such a token, so it is put together by hand."""
    parts = [json.dumps({"alg": "HS256", "kid": "rsa"}), json.dumps(claims())]
    content = b".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(RSA_PEM, content, hashlib.sha256)).rstrip(b"=")
    assert reason(f"Bearer {content.decode()}.{signature.decode()}", with_rsa()) == Reason.INVALID_TOKEN


def test_keys_for_other_uses_are_left_out() -> None:
    ours = json.loads(OURS.jwks())["keys"][0]
    secret = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ", "kid": "shared"}
    nameless = {name: value for name, value in ours.items() if name != "kid"}
    mixed = {"keys": [{**ours, "use": "enc", "kid": "enc"}, secret, nameless, ours]}
    assert set(Verifier.from_jwks("i", "a", json.dumps(mixed)).keys) == {KID}
    with pytest.raises(ValueError, match="no usable key"):
        Verifier.from_jwks("i", "a", json.dumps({"keys": [secret]}))


@settings(deadline=None)
@given(st.sampled_from(["", "Bearer "]), st.text(st.characters()) | st.text("eyJ.-_=", max_size=60))
@example("Bearer ", "\ud800")
def test_no_text_breaks_the_reader(scheme: str, token: str) -> None:
    authorization = scheme + token
    assert reason(authorization) in (Reason.UNAUTHENTICATED, Reason.INVALID_TOKEN)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "x5u", "jwk", "x5c", "zip", "cty"])


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSON), st.booleans())
def test_no_header_breaks_the_reader(header: dict[str, object], ours: bool) -> None:
    if ours:
        header = {"alg": "ES256", "kid": KID, **header}
    assert reason(raw_bearer(json.dumps(claims()), json.dumps(header))) in (None, Reason.INVALID_TOKEN)


CLAIMS = st.sampled_from(["iss", "aud", "sub", "role", "merchant", "token_use", "exp", "iat", "nbf", "jti"])


@settings(deadline=None)
@given(st.dictionaries(CLAIMS, JSON))
def test_no_claims_break_the_reader(changes: dict[str, object]) -> None:
    outcome = reason(raw_bearer(json.dumps({**claims(), **changes})))
    assert outcome in (None, Reason.INVALID_TOKEN, Reason.TOKEN_EXPIRED)


@pytest.mark.parametrize("payload", ["", "[]", "null", "[" * 3000, '{"a":' * 1000, "\ufeff{}", '"text"'])
def test_a_payload_that_is_no_object_is_invalid(payload: str) -> None:
    assert reason(raw_bearer(payload)) == Reason.INVALID_TOKEN
    assert reason(raw_bearer("{}", payload)) == Reason.INVALID_TOKEN


def test_the_sandbox_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first, second = Issuer.at(tmp_path / "new"), Issuer.at(tmp_path / "new")
    assert first.jwks() == second.jwks()
    [key_file] = (tmp_path / "new").iterdir()
    assert stat.filemode(key_file.stat().st_mode) == "-rw-------"
    assert "PRIVATE" not in first.jwks()
    assert "d" not in json.loads(first.jwks())["keys"][0]


def test_issuers_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(Issuer.at(tmp_path).jwks())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(threads)
    assert len(set(made)) == 1


def test_whoever_comes_second_keeps_the_first_key(tmp_path: Path) -> None:
    first = Issuer.at(tmp_path)
    sandbox._make(tmp_path / sandbox.KEY_FILE)
    assert Issuer.at(tmp_path).jwks() == first.jwks()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_sandbox_token_is_valid_for_30_days() -> None:
    token = OURS.token("buyer", "ana", None, now() - 30 * DAY)
    assert VERIFIER.caller(f"Bearer {token}").role == "buyer"
    assert reason(f"Bearer {OURS.token('buyer', 'ana', None, now() - 30 * DAY - 61)}") == Reason.TOKEN_EXPIRED

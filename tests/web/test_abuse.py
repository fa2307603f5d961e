"""Bad input and abuse, row by row of the catalogue (design: reliability, section 5), and a fuzz over every route."""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy.terms import Draft
from chalicelib.flows import retry
from chalicelib.flows.ports.store import WriteContention
from chalicelib.web.edge import route
from chalicelib.web.edge.rates import Rates
from chalicelib.web.edge.route import ENDPOINTS, Endpoint
from chalicelib.web.refunds.examples import make_proof
from chalicelib.wiring import services
from local.issuer import AUDIENCE, ISSUER
from tests import scope
from tests.web.answer_checks import ACCOUNT, accepted, check_answer, check_refusal, path_of, trade_in_path
from tests.world import Client, Json, Reply, World

YEAR: Final = {"due_within": "P365D"}  # nothing here expires, whatever other tests do to the clock


@dataclass(frozen=True)
class Scene:
    """A shop with an offer, an inspector, two buyers with a deposit each, and a trade-in of the first one.

    Refusals change nothing, so one scene serves all.
    """

    world: World
    buyer: Client
    other: Client
    merchant: Client
    rival: Client
    inspector: Client
    offer: Json
    deposit: Json
    others: Json
    traded: Json
    bulk: str = f"bmc_{'0' * 26}"

    @property
    def draft(self) -> Json:
        """The body of a good offer."""
        price = {"amount": "299900", "currency": "CNY"}
        return {
            "title": "SU7",
            "market": "CN",
            "preset": "su7_2024",
            "items": [{"sku": "a", "name": "A", "price": price}],
        }

    @property
    def whole_draft(self) -> Json:
        """The same with every member written out."""
        whole = {name: self.offer[name] for name in Draft.model_fields if name != "market_policy"}
        items = [{name: value for name, value in item.items() if name != "available"} for item in whole["items"]]
        return {**whole, "items": items}

    def order(self, **changes: Any) -> Json:
        return {**self.world.order(self.offer), **changes}


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    return made(world)


@pytest.fixture(scope="module")
def fuzzed(world: World) -> Scene:
    """One of its own: by luck the fuzz also does what may be done. A question and a bulk cancellation wait in it."""
    one = made(world)
    accepted(one.merchant.post(f"{path_of(one.deposit)}/questions", {"kind": "contact", "text": "Are you there?"}), 201)
    body = {"deposits": [one.deposit["id"], one.others["id"]], "reason": "OUT_OF_STOCK", "evidence": ["stock:1"]}
    bulk = one.merchant.post(f"/v1/offers/{one.offer['id']}/merchant-cancellations", body)
    return replace(one, bulk=accepted(bulk, 202)["id"])


def made(world: World) -> Scene:
    buyer, other, merchant = world.buyer(), world.buyer(), world.merchant("mer_abused")
    offer = world.offer(merchant, payment=YEAR)
    deposit, others = world.ordered(buyer, offer), world.ordered(other, offer)
    traded = world.traded(buyer, world.trading(merchant))
    rival, inspector = world.merchant("mer_rival"), world.inspector("mer_abused")
    return Scene(world, buyer, other, merchant, rival, inspector, offer, deposit, others, traded)


# Tokens: rows 1 to 12.


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "role": "buyer", "iat": now, "exp": now + 60, **changes}
    return {name: value for name, value in good.items() if value is not None}


def kid(scene: Scene) -> str:
    return str(scene.world.server._issuer._kid())


def signed(scene: Scene, headers: Mapping[str, object] | None = None, **changes: object) -> str:
    """A token that the issuer really signed, whatever it says."""
    header = {"kid": kid(scene), **(headers or {})}
    return jwt.encode(claims(**changes), scene.world.server._issuer.key, "ES256", headers=header)


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def unsigned(scene: Scene) -> str:
    return (part({"alg": "none", "kid": kid(scene)}) + b"." + part(claims()) + b".").decode()


def signed_with_the_public_key(scene: Scene) -> str:
    """HS256 under bytes that everybody knows."""
    pem = scene.world.server._issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    content = part({"alg": "HS256", "kid": kid(scene)}) + b"." + part(claims())
    proof = hmac.digest(pem, content, hashlib.sha256)
    return (content + b"." + base64.urlsafe_b64encode(proof).rstrip(b"=")).decode()


def signed_by_a_stranger(scene: Scene) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims(), key, "RS256", headers={"kid": kid(scene)})


TOKENS: Final = [
    # row what                          token                                                     problem
    (2, "alg none",                     unsigned,                                                 "invalid-token"),
    (3, "public key as secret",         signed_with_the_public_key,                               "invalid-token"),
    (3, "another key",                  signed_by_a_stranger,                                     "invalid-token"),
    (4, "unknown kid",                  lambda s: signed(s, {"kid": "x"}),                        "invalid-token"),
    (4, "path as kid",                  lambda s: signed(s, {"kid": "../../x"}),                  "invalid-token"),
    (4, "address as kid",               lambda s: signed(s, {"kid": "https://127.0.0.1/k"}),      "invalid-token"),
    (5, "jku",                          lambda s: signed(s, {"jku": "https://127.0.0.1/jwks"}),   "invalid-token"),
    (5, "x5u",                          lambda s: signed(s, {"x5u": "https://127.0.0.1/x"}),      "invalid-token"),
    (5, "jwk",                          lambda s: signed(s, {"jwk": {"kty": "oct", "k": "AA"}}),  "invalid-token"),
    (6, "another app's token",          lambda s: signed(s, aud="another"),                       "invalid-token"),
    (7, "another issuer",               lambda s: signed(s, iss="urn:another"),                   "invalid-token"),
    (8, "expired beyond the leeway",    lambda s: signed(s, exp=int(time.time()) - 61),           "token-expired"),
    (9, "not yet valid",                lambda s: signed(s, nbf=int(time.time()) + 600),          "invalid-token"),
    (9, "issued in the future",         lambda s: signed(s, iat=int(time.time()) + 600),          "invalid-token"),
    (10, "no end",                      lambda s: signed(s, exp=None),                            "invalid-token"),
    (10, "end as text",                 lambda s: signed(s, exp="9999999999"),                    "invalid-token"),
    (10, "end beyond numbers",          lambda s: signed(s, exp=float("inf")),                    "invalid-token"),
    (11, "empty subject",               lambda s: signed(s, sub=""),                              "invalid-token"),
    (11, "subject of 10 kB",            lambda s: signed(s, sub="x" * 10_240),                    "invalid-token"),
    (12, "token for another use",       lambda s: signed(s, token_use="id"),                      "invalid-token"),
    (12, "a role nobody has",           lambda s: signed(s, role="admin"),                        "invalid-token"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "what", "token", "problem"), TOKENS, ids=[f"{row}-{what}" for row, what, *_ in TOKENS])
def test_a_bad_token_opens_nothing_and_makes_us_ask_nobody(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, row: int, what: str, token: Callable[[Scene], str], problem: str
) -> None:
    del row, what

    def no_call(*_given: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(socket.socket, "connect", no_call)
    check_refusal(scene.world.anyone(token(scene)).get(path_of(scene.deposit)), 401, problem)


def test_row_8_within_the_leeway_a_token_still_holds(scene: Scene) -> None:
    accepted(scene.world.anyone(signed(scene, exp=int(time.time()) - 50)).get("/v1/deposits"))


# Everything else that is refused.


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


def offered(amount: object, currency: object = "CNY") -> Callable[[Scene], Reply]:
    """An offer whose item has this price."""

    def ask(scene: Scene) -> Reply:
        price = {"amount": amount, "currency": currency}
        return scene.merchant.post(
            "/v1/offers", {**scene.draft, "items": [{**scene.draft["items"][0], "price": price}]}
        )

    return ask


def rupiah(amount: object) -> Callable[[Scene], Reply]:
    """An Indonesian offer whose item has this price."""

    def ask(scene: Scene) -> Reply:
        price = {"amount": amount, "currency": "IDR"}
        draft = {"title": "A", "market": "ID", "currency": "IDR", "preset": "flash_sale"}
        return scene.merchant.post("/v1/offers", {**draft, "items": [{"sku": "a", "name": "A", "price": price}]})

    return ask


def sent(raw: bytes, **headers: Any) -> Callable[[Scene], Reply]:
    return lambda scene: scene.buyer.post("/v1/deposits", raw, **headers)


def ordered(**changes: Any) -> Callable[[Scene], Reply]:
    return lambda scene: scene.buyer.post("/v1/deposits", scene.order(**changes))


def looked(path: str) -> Callable[[Scene], Reply]:
    return lambda scene: scene.buyer.get(path.format(deposit=scene.deposit["id"], other=scene.others["id"]))


def inspected(grounds: list[str], evidence: list[str]) -> Callable[[Scene], Reply]:
    """The inspector's word that the old device is not what was declared."""
    body = {"outcome": "mismatched", "grounds": grounds, "evidence": evidence}
    return lambda scene: scene.inspector.post(f"{trade_in_path(scene.traded)}/inspection", body)


def keyed(key: str) -> Callable[[Scene], Reply]:
    return lambda scene: scene.buyer.call("POST", "/v1/deposits", scene.order(), idempotency_key=key)


def asked(method: str, path: str, **headers: Any) -> Callable[[Scene], Reply]:
    def ask(scene: Scene) -> Reply:
        return scene.buyer.call(method, path.format(deposit=scene.deposit["id"]), **headers)

    return ask


def changed(deposit_id: str) -> str:
    """One character other than it was, still well formed."""
    return deposit_id[:-1] + ("0" if deposit_id[-1] != "0" else "1")


PRICE: Final = "/items/0/price"
FEES: Final = "/v1/trade-in/fees?schedule=id-tukar-tambah"
BAD: Final = "invalid-request"
GOOD_OFFER: Final = "off_" + "0" * 26
ROWS: Final[list[tuple[int, str, Callable[[Scene], Reply], int, str, str | None]]] = [
    # row what                         ask                                                        status problem pointer
    (1, "no token",                    lambda s: s.world.anyone().get(path_of(s.deposit)),        401, "unauthenticated", None),
    (14, "look at another's",          looked("/v1/deposits/{other}"),                            404, "not-found", None),
    (14, "another's events",           looked("/v1/deposits/{other}/events"),                     404, "not-found", None),
    (15, "cancel another's",           lambda s: s.buyer.post(f"{path_of(s.others)}/cancel"),     404, "not-found", None),
    (18, "one character changed",      lambda s: s.buyer.get(f"/v1/deposits/{changed(s.deposit['id'])}"), 404, "not-found", None),
    (18, "in capitals",                lambda s: s.buyer.get(f"/v1/deposits/{s.deposit['id'].upper()}"), 404, "not-found", None),
    (18, "no id at all",               looked("/v1/deposits/x"),                                  404, "not-found", None),
    (18, "another kind of id",         lambda s: s.buyer.get(f"/v1/deposits/{s.offer['id']}"),    404, "not-found", None),
    (18, "a hash of terms",            lambda s: s.buyer.get(f"/v1/deposits/{s.offer['terms_hash']}"), 404, "not-found", None),
    (18, "5 kB of id",                 looked("/v1/deposits/dep_" + "0" * 5_000),                 404, "not-found", None),
    (18, "a zero byte",                looked("/v1/deposits/{deposit}%00"),                       404, "not-found", None),
    (18, "unicode digits",             looked("/v1/deposits/dep_" + quote("\uff11" * 26)),             404, "not-found", None),
    (18, "a newline after it",         looked("/v1/deposits/{deposit}%0A"),                       404, "not-found", None),
    (18, "refund number 0",            lambda s: s.buyer.get(f"/v1/refunds/ref_{s.deposit['id'][4:]}_0"), 404, "not-found", None),
    (18, "refund number 1 of none",    lambda s: s.buyer.get(f"/v1/refunds/ref_{s.deposit['id'][4:]}_1"), 404, "not-found", None),
    (18, "payment number 2 of one",    lambda s: s.buyer.get(f"/pay/pay_{s.deposit['id'][4:]}_2"), 404, "not-found", None),
    (19, "list of another buyer",      looked("/v1/deposits?buyer_id=usr_x"),                     422, "unknown-parameter", "/buyer_id"),
    (19, "parameter twice",            looked("/v1/deposits?limit=1&limit=2"),                    422, BAD, "/limit"),
    (20, "cursor of nobody",           looked("/v1/deposits?cursor=e30"),                         400, "invalid-cursor", None),
    (20, "no cursor",                  looked("/v1/deposits?cursor="),                            400, "invalid-cursor", None),
    (20, "cursor of 2 kB",             looked("/v1/deposits?cursor=" + "A" * 2_000),              400, "invalid-cursor", None),
    (21, "limit 0",                    looked("/v1/deposits?limit=0"),                            422, BAD, "/limit"),
    (21, "limit -1",                   looked("/v1/deposits?limit=-1"),                           422, BAD, "/limit"),
    (21, "limit 1e9",                  looked("/v1/deposits?limit=1e9"),                          422, BAD, "/limit"),
    (21, "limit abc",                  looked("/v1/deposits?limit=abc"),                          422, BAD, "/limit"),
    (21, "limit 101",                  looked("/v1/deposits?limit=101"),                          422, BAD, "/limit"),
    (21, "full-width limit",           looked("/v1/deposits?limit=" + quote("\uff11")),                422, BAD, "/limit"),
    (21, "empty limit",                looked("/v1/deposits?limit="),                             422, BAD, "/limit"),
    (21, "status nobody has",          looked("/v1/deposits?status=paid"),                        422, BAD, "/status"),
    (21, "staff without an offer",     lambda s: s.merchant.get("/v1/deposits"),                  422, BAD, "/offer"),
    (21, "staff with an empty offer",  lambda s: s.merchant.get("/v1/deposits?offer="),           422, BAD, "/offer"),
    (21, "a deposit for an offer",     lambda s: s.merchant.get(f"/v1/deposits?offer={s.deposit['id']}"), 422, BAD, "/offer"),
    (21, "terms for an offer",         lambda s: s.merchant.get(f"/v1/deposits?offer={s.offer['terms_hash']}"), 422, BAD, "/offer"),
    (21, "3 kB for an offer",          lambda s: s.merchant.get("/v1/deposits?offer=" + "x" * 3_000), 422, BAD, "/offer"),
    (21, "an offer that is not there", lambda s: s.merchant.get(f"/v1/deposits?offer={GOOD_OFFER}"), 422, BAD, "/offer"),
    (22, "a buyer publishes",          lambda s: s.buyer.post("/v1/offers", s.draft),             403, "forbidden", None),
    (22, "a merchant orders",          lambda s: s.merchant.post("/v1/deposits", s.order()),      403, "forbidden", None),
    (22, "a buyer lists what is owed", looked("/v1/refunds?status=open"),                         403, "forbidden", None),
    (23, "a rival closes the sale",    lambda s: s.rival.post(f"/v1/offers/{s.offer['id']}/close"), 404, "not-found", None),
    *((24, f"order adds {name}",       ordered(**{name: "1"}),                                    422, BAD, f"/{name}")
      for name in ("state", "captured", "refunded", "fee", "window_ends_at", "buyer_id")),
    *((24, f"offer adds {name}",       lambda s, name=name: s.merchant.post("/v1/offers", {**s.draft, name: "x"}), 422, BAD, f"/{name}")
      for name in ("status", "merchant", "terms_hash", "version")),
    (25, "no JSON",                    sent(b"amount=5000"),                                      400, "malformed-body", None),
    (25, "cut off",                    sent(b'{"offer":'),                                        400, "malformed-body", None),
    (25, "byte order mark",            sent(b"\xef\xbb\xbf{}"),                                   400, "malformed-body", None),
    (25, "UTF-16",                     sent('{"offer":"x"}'.encode("utf-16")),                    400, "malformed-body", None),
    (25, "UTF-16 without mark",        sent('{"offer":"x"}'.encode("utf-16-be")),                 400, "malformed-body", None),
    (25, "bad UTF-8",                  sent(b'{"offer":"\xff"}'),                                 400, "malformed-body", None),
    (25, "half a character",           sent(b'{"offer":"\\ud800"}'),                              400, "malformed-body", None),
    (25, "a list",                     sent(b"[]"),                                               400, "malformed-body", None),
    (25, "null",                       sent(b"null"),                                             400, "malformed-body", None),
    (26, "a name twice",               sent(b'{"offer":"a","offer":"b"}'),                        400, "malformed-body", None),
    (26, "a name twice, escaped",      sent(b'{"offer":"a","\\u006fffer":"b"}'),                  400, "malformed-body", None),
    (27, "10,000 deep",                sent(nested(10_000)),                                      400, "malformed-body", None),
    (27, "33 deep",                    sent(nested(33)),                                          400, "malformed-body", None),
    (28, "a byte more than 64 kB",     sent(b" " * (64 * 1024 - 1) + b"{}"),                      413, "body-too-large", None),
    (28, "70 kB",                      sent(b'{"offer":"' + b"x" * 70_000 + b'"}'),               413, "body-too-large", None),
    (29, "plain text",                 sent(b"{}", content_type="text/plain"),                    415, "unsupported-media-type", None),
    (29, "a form",                     sent(b"{}", content_type="application/x-www-form-urlencoded"), 415, "unsupported-media-type", None),
    (29, "no media type",              sent(b"{}", content_type=""),                              415, "unsupported-media-type", None),
    (29, "another charset",            sent(b"{}", content_type="application/json; charset=utf-16"), 415, "unsupported-media-type", None),
    (30, "compressed",                 sent(b"\x1f\x8b", content_encoding="gzip"),                415, "unsupported-media-type", None),
    (31, "price 0",                    offered("0"),                                              422, BAD, PRICE),
    (31, "price -1",                   offered("-1"),                                             422, BAD, PRICE),
    (31, "price -0",                   offered("-0"),                                             422, BAD, PRICE),
    (32, "a number",                   offered(5000),                                             422, BAD, PRICE),
    (32, "a fraction",                 offered(5000.5),                                           422, BAD, PRICE),
    (32, "true",                       offered(True),                                             422, BAD, PRICE),
    (32, "null",                       offered(None),                                             422, BAD, PRICE),
    (32, "a list",                     offered(["1"]),                                            422, BAD, PRICE),
    (32, "an object",                  offered({"amount": "1"}),                                  422, BAD, PRICE),
    (32, "1e3",                        offered("1e3"),                                            422, BAD, PRICE),
    (32, "NaN in quotes",              offered("NaN"),                                            422, BAD, PRICE),
    (32, "NaN",                        offered(float("nan")),                                     400, "malformed-body", None),
    (32, "Infinity",                   offered(float("inf")),                                     400, "malformed-body", None),
    (32, "currency sign",              rupiah("Rp50000"),                                         422, BAD, PRICE),
    (32, "full-width digits",          offered("\uff15\uff10\uff10\uff10"),                                        422, BAD, PRICE),
    (32, "arabic digits",              offered("\u0665\u0660\u0660\u0660"),                                           422, BAD, PRICE),
    (32, "leading zero",               offered("05000"),                                          422, BAD, PRICE),
    (32, "point at the end",           offered("5000."),                                          422, BAD, PRICE),
    (32, "point in front",             offered(".5"),                                             422, BAD, PRICE),
    (32, "plus",                       offered("+5000"),                                          422, BAD, PRICE),
    (32, "separator",                  offered("5,000"),                                          422, BAD, PRICE),
    (32, "underscore",                 offered("5_000"),                                          422, BAD, PRICE),
    (32, "a blank",                    offered(" 5000"),                                          422, BAD, PRICE),
    (32, "a newline",                  offered("5000\n"),                                         422, BAD, PRICE),
    (32, "empty",                      offered(""),                                               422, BAD, PRICE),
    (32, "hexadecimal",                offered("0x10"),                                           422, BAD, PRICE),
    (33, "14 digits",                  offered("1" + "0" * 13),                                   422, BAD, PRICE),
    (33, "40 digits",                  offered("9" * 40),                                         422, BAD, PRICE),
    (33, "10,000 digits",              offered("9" * 10_000),                                     422, BAD, PRICE),
    (33, "40 digits without quotes",   offered(int("9" * 40)),                                    422, BAD, PRICE),
    (35, "another currency",           offered("5000", "USD"),                                    422, "currency-mismatch", PRICE),
    (35, "lower case",                 offered("5000", "cny"),                                    422, BAD, PRICE),
    (35, "no currency",                offered("5000", "XXXX"),                                   422, BAD, PRICE),
    (35, "currency null",              offered("5000", None),                                     422, BAD, PRICE),
    (35, "currency as a list",         offered("5000", ["CNY"]),                                  422, BAD, PRICE),
    (36, "fen in thousandths",         offered("5000.001"),                                       422, BAD, PRICE),
    (36, "thousands with a point",     rupiah("50.000"),                                          422, BAD, PRICE),
    (36, "rupiah cents",               rupiah("50000.50"),                                        422, BAD, PRICE),
    (37, "unknown goods",              ordered(items=[{"sku": "b", "quantity": 1}]),              422, BAD, "/items/0/sku"),
    (37, "unknown offer",              ordered(offer=GOOD_OFFER),                                 422, BAD, "/offer"),
    (37, "a deposit for an offer",     lambda s: s.buyer.post("/v1/deposits", s.order(offer=s.deposit["id"])), 422, BAD, "/offer"),
    (37, "terms for an offer",         lambda s: s.buyer.post("/v1/deposits", s.order(offer=s.offer["terms_hash"])), 422, BAD, "/offer"),
    (38, "an expression as SKU",       ordered(items=[{"sku": ":a = :a", "quantity": 1}]),        422, BAD, "/items/0/sku"),
    (38, "a name of an expression",    ordered(items=[{"sku": "#x", "quantity": 1}]),             422, BAD, "/items/0/sku"),
    (38, "SQL as SKU",                 ordered(items=[{"sku": "' or 1=1 --", "quantity": 1}]),    422, BAD, "/items/0/sku"),
    (39, "more than there is",         ordered(items=[{"sku": "su7-max", "quantity": 101}]),      409, "sold-out", None),
    (39, "no lines",                   ordered(items=[]),                                         422, BAD, "/items"),
    (39, "11 lines",                   ordered(items=[{"sku": "su7-max", "quantity": 1}] * 11),   422, BAD, "/items"),
    (39, "quantity 0",                 ordered(items=[{"sku": "su7-max", "quantity": 0}]),        422, BAD, "/items/0/quantity"),
    (39, "quantity true",              ordered(items=[{"sku": "su7-max", "quantity": True}]),     422, BAD, "/items/0/quantity"),
    (39, "quantity in quotes",         ordered(items=[{"sku": "su7-max", "quantity": "1"}]),      422, BAD, "/items/0/quantity"),
    (39, "other terms than shown",     ordered(terms_hash="sha256:0"),                            409, "terms-changed", None),
    (39, "a method not offered",       ordered(payment_method="gopay"),                           422, "payment-method-not-offered", "/payment_method"),
    (39, "trade-in where none is",     ordered(trade_in={"category": "phone", "model": "x"}),     422, BAD, "/trade_in"),
    (43, "no key",                     keyed(""),                                                 400, "idempotency-key-missing", None),
    (44, "a blank key",                keyed(" "),                                                400, "idempotency-key-invalid", None),
    (44, "256 characters",             keyed("x" * 256),                                          400, "idempotency-key-invalid", None),
    (44, "a control character",        keyed("a\x07"),                                            400, "idempotency-key-invalid", None),
    (44, "a blank in it",              keyed("a b"),                                              400, "idempotency-key-invalid", None),
    (44, "an emoji",                   keyed("🔑"),                                               400, "idempotency-key-invalid", None),
    (58, "an instant of one's own",    lambda s: s.buyer.post(f"{path_of(s.deposit)}/cancel", {"requested_at": "2020-01-01T00:00:00Z"}), 422, BAD, "/requested_at"),
    (59, "an instant with the order",  ordered(requested_at="2020-01-01T00:00:00Z"),              422, BAD, "/requested_at"),
    (59, "an instant as a number",     lambda s: s.merchant.post("/v1/offers", {**s.draft, "opens_at": 5}), 422, BAD, "/opens_at"),
    (59, "an instant before time",     lambda s: s.merchant.post("/v1/offers", {**s.draft, "opens_at": -1}), 422, BAD, "/opens_at"),
    (59, "an instant after all time",  lambda s: s.merchant.post("/v1/offers", {**s.draft, "opens_at": 10**30}), 422, BAD, "/opens_at"),
    (60, "a day that is not",          lambda s: s.merchant.post("/v1/offers", {**s.draft, "opens_at": "2026-02-30T00:00:00Z"}), 422, BAD, "/opens_at"),
    (68, "a category of nobody",       looked(f"{FEES}&category=car&price=3000000"),              422, BAD, "/category"),
    (68, "a schedule of nobody",       looked("/v1/trade-in/fees?schedule=x&category=phone&price=1"), 422, BAD, "/schedule"),
    (68, "a price below every band",   looked(f"{FEES}&category=phone&price=49999"),              409, "fee-band-undefined", None),
    (68, "a price above every band",   looked(f"{FEES}&category=phone&price=30000001"),           409, "fee-band-undefined", None),
    (68, "a television too cheap",     looked(f"{FEES}&category=tv&price=1000000"),               409, "fee-band-undefined", None),
    (68, "a price between two rupiah", looked(f"{FEES}&category=phone&price=1000000.50"),         422, BAD, "/price"),
    (68, "a price below nothing",      looked(f"{FEES}&category=phone&price=-1"),                 422, BAD, "/price"),
    (68, "no price",                   looked(f"{FEES}&category=phone"),                          422, BAD, "/price"),
    (69, "a ground of nobody",         inspected(["PH_BORING"], ["photo:1"]),                     422, "invalid-ground", "/grounds/0"),
    (69, "a ground of televisions",    inspected(["PH_CONDITION_MISMATCH", "TV_CRT"], ["photo:1"]), 422, "invalid-ground", "/grounds/1"),
    (69, "the same ground twice",      inspected(["PH_CONDITION_MISMATCH"] * 2, ["photo:1"]),     422, "invalid-ground", "/grounds/1"),
    (69, "no ground",                  inspected([], ["photo:1"]),                                422, "invalid-ground", "/grounds"),
    (69, "no evidence",                inspected(["PH_CONDITION_MISMATCH"], []),                  422, "evidence-required", "/evidence"),
    (69, "neither, evidence first",    inspected([], []),                                         422, "evidence-required", "/evidence"),
    (88, "PUT on a POST route",        asked("PUT", "/v1/deposits/{deposit}/cancel"),             405, "method-not-allowed", None),
    (88, "DELETE a deposit",           asked("DELETE", "/v1/deposits/{deposit}"),                 405, "method-not-allowed", None),
    (88, "PATCH a deposit",            asked("PATCH", "/v1/deposits/{deposit}"),                  405, "method-not-allowed", None),
    (88, "TRACE",                      asked("TRACE", "/v1/deposits"),                            405, "method-not-allowed", None),
    (88, "GET cancel, overridden",     asked("GET", "/v1/deposits/{deposit}/cancel", x_http_method_override="POST"), 405, "method-not-allowed", None),
    (89, "two slashes",                looked("//v1/deposits"),                                   404, "not-found", None),
    (89, "two slashes inside",         looked("/v1//deposits"),                                   404, "not-found", None),
    (89, "up and away",                looked("/v1/deposits/../offers"),                          404, "not-found", None),
    (89, "up and away, escaped",       looked("/v1/deposits/%2e%2e%2foffers"),                    404, "not-found", None),
    (89, "capitals",                   looked("/V1/deposits"),                                    404, "not-found", None),
    (89, "a route of nobody",          looked("/v1/admin"),                                       404, "not-found", None),
    (89, "a file of ours",             looked("/problems/..%2f..%2fapp.py"),                      404, "not-found", None),
    (90, "a split header",             keyed("a\r\nx: y"),                                        400, "idempotency-key-invalid", None),
    (90, "20 kB of key",               keyed("x" * 20_000),                                       400, "idempotency-key-invalid", None),
    (91, "a script in the address",    looked("/problems/%3Cscript%3E"),                          404, "not-found", None),
    (91, "a name of 201 characters",   lambda s: s.merchant.post("/v1/offers", {**s.draft, "title": "x" * 201}), 422, BAD, "/title"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "what", "ask", "status", "problem", "pointer"), ROWS, ids=[f"{row}-{what}" for row, what, *_ in ROWS]
)
def test_row(
    scene: Scene,
    row: int,
    what: str,
    ask: Callable[[Scene], Reply],
    status: int,
    problem: str,
    pointer: str | None,
) -> None:
    del row, what
    check_refusal(ask(scene), status, problem, pointer)


def test_the_whole_draft_that_the_fuzz_begins_with_is_good(scene: Scene) -> None:
    accepted(scene.merchant.post("/v1/offers", scene.whole_draft), 201)


def test_nothing_of_all_this_changed_anything(scene: Scene) -> None:
    assert scene.buyer.get(path_of(scene.deposit)).json["version"] == 1
    assert scene.other.get(path_of(scene.others)).json["version"] == 1
    assert scene.buyer.get(path_of(scene.traded)).json["version"] == scene.traded["version"]


def test_rows_37_and_39_an_offer_that_is_not_open_and_one_that_is_sold_out(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    later = world.offer(merchant, opens_at="9999-01-01T00:00:00Z")
    early = check_refusal(buyer.post("/v1/deposits", world.order(later)), 409, "offer-not-open")
    assert (early["state"], early["opens_at"]) == ("scheduled", "9999-01-01T00:00:00.000Z")
    closed = world.offer(merchant)
    accepted(merchant.post(f"/v1/offers/{closed['id']}/close"))
    assert check_refusal(buyer.post("/v1/deposits", world.order(closed)), 409, "offer-not-open")["state"] == "closed"
    one = world.offer(merchant, items=[{"sku": "a", "name": "A", "price": closed["items"][0]["price"], "stock": 1}])
    world.ordered(buyer, one)
    assert check_refusal(buyer.post("/v1/deposits", world.order(one)), 409, "sold-out")["sku"] == "a"


def test_row_40_the_limit_of_one_buyer_is_no_limit_for_another(world: World) -> None:
    buyer, offer = world.buyer(), world.offer(limits={"per_buyer": 1})
    world.ordered(buyer, offer)
    assert check_refusal(buyer.post("/v1/deposits", world.order(offer)), 409, "limit-reached")["per_buyer"] == 1
    check_refusal(world.buyer().post("/v1/deposits", world.order(offer, 2)), 409, "limit-reached")
    world.ordered(world.buyer(), offer)


def test_row_60_the_callers_clock_means_nothing(scene: Scene) -> None:
    told: Json = {"date": "Thu, 01 Jan 2099 00:00:00 GMT", "x-request-time": "4070908800", "requestTimeEpoch": "0"}
    before, after = (scene.buyer.get(path_of(scene.deposit), **headers).json for headers in ({}, told))
    assert before == after


def test_rows_70_and_71_one_fee_and_never_more_than_there_is(world: World) -> None:
    """50,000 would be the fee; 49,999 were paid beside the shipping. Asked again under another key, it is too late."""
    merchant, inspector = world.merchant("mer_abused"), world.inspector("mer_abused")
    traded = world.traded(world.buyer(), world.trading(merchant, price="7000001", credit="6950002"))
    path = f"{trade_in_path(traded)}/inspection"
    body = {"outcome": "mismatched", "grounds": ["PH_CONDITION_MISMATCH"], "evidence": ["photo:1"]}
    lines = accepted(inspector.post(path, body))["refund"]["lines"]
    assert [line["amount"]["amount"] for line in lines] == ["67999", "-18000", "-49999"]
    told = check_refusal(inspector.post(path, body), 409, "wrong-state")
    assert (told["state"], told["trade_in"]) == ("cancelled", "mismatched")
    check_refusal(merchant.post(f"{trade_in_path(traded)}/cancel", {"by": "seller"}), 409, "wrong-state")


def test_row_85_who_asks_too_often_is_told_when_to_come_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates(writes_per_minute=1, reads_per_minute=2)
    monkeypatch.setattr(route, "_rates", lambda _settings: rates)
    origin: Json = {"origin": "https://shop.example"}
    for _ in range(2):
        accepted(scene.buyer.get("/v1/deposits"))
    reply = scene.buyer.get("/v1/deposits", **origin)
    check_refusal(reply, 429, "rate-limited")
    assert 1 <= int(reply.headers["retry-after"]) <= 30
    assert reply.headers["access-control-allow-origin"]
    accepted(scene.other.get("/v1/deposits"))


def test_row_91_a_script_in_a_text_stays_a_text(scene: Scene) -> None:
    title = "<script>alert(1)</script>\u202e"
    reply = scene.merchant.post("/v1/offers", {**scene.draft, "title": title})
    assert accepted(reply, 201)["title"] == title
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_row_96_an_order_does_not_wait_for_the_provider(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from chalicelib.flows.ports.provider import Unknown  # noqa: PLC0415

    monkeypatch.setattr(type(services().provider), "open_session", lambda *_given: Unknown())
    deposit = accepted(scene.buyer.post("/v1/deposits", scene.order()), 201)
    page = scene.world.anyone().get(deposit["payment"]["next_action"]["url"])
    assert page.status == 503
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "fault", [WriteContention(), Refused(Reason.BUSY, retry_after=1)], ids=["contended", "throttled"]
)
def test_row_97_in_a_storm_a_caller_is_told_to_come_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def storm(*_given: object) -> None:
        raise fault

    monkeypatch.setattr(retry, "RETRY_BUDGET_MS", -1)
    with monkeypatch.context() as patched:
        patched.setattr(type(services().deposits), "append", storm)
        patched.setattr(type(services().deposits), "create", storm)
        for reply in (
            scene.buyer.post("/v1/deposits", scene.order()),
            scene.buyer.post(f"{path_of(scene.deposit)}/payment-method", {"payment_method": "alipay"}),
        ):
            check_refusal(reply, 503, "busy")
            assert reply.headers["retry-after"]
    assert scene.buyer.get(path_of(scene.deposit)).json["version"] == 1


def test_a_request_older_than_an_answer_may_take_writes_nothing(scene: Scene) -> None:
    old = services().clock() - retry.MAX_REQUEST_AGE_MS - 1_000
    check_refusal(scene.buyer.post(f"{path_of(scene.deposit)}/cancel", {}, asked=old), 503, "busy")
    assert scene.buyer.get(path_of(scene.deposit)).json["version"] == 1


def test_a_bug_of_ours_is_told_without_our_inside(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(services().desk), "get", broken)
    reply = scene.buyer.get(path_of(scene.deposit))
    check_refusal(reply, 500, "internal-error")
    assert b"secret" not in reply.raw


# The fuzz.

JUNK: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from(
        ["CNY", "5000", "P7D", "PT0S", "card", "sha256:", "2026-01-01T00:00:00Z", "", "\u0000", "\U0001d7d3"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HEADERS: Final = st.dictionaries(
    st.sampled_from(
        [
            "accept-language",
            "if-match",
            "origin",
            "content-type",
            "content-encoding",
            "idempotency-key",
            "authorization",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "x-forwarded-for",
            "cookie",
            "range",
            "expect",
        ]
    ),
    st.text(st.characters(max_codepoint=255), max_size=30)
    | st.sampled_from(["*", "application/json", "id, zh;q=0.9", '"1-awaiting_payment"', "identity"]),
    max_size=3,
)
QUERY: Final = st.dictionaries(
    st.sampled_from(
        ["limit", "cursor", "status", "offer", "deposit", "cause", "at", "schedule", "category", "price", "x"]
    )
    | st.text(max_size=3),
    st.text(st.characters(codec="utf-8"), max_size=30)
    | st.sampled_from(
        [
            *("open", "cooling_off", "buyer_cancel", "merchant_cancel", "withdrawal", "1", "2030-01-01T00:00:00Z"),
            *("id-tukar-tambah", "phone", "3000000"),
        ]
    ),
    max_size=3,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every member of a body."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from places(part, (*path, name))


def replaced(value: Any, path: tuple[str | int, ...], junk: Any) -> Any:
    """The body with something else in one place."""
    if not path:
        return junk
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], junk)
    return copy


IDR: Final = {"amount": "50000", "currency": "IDR"}
SCHEDULE: Final[Json] = {"categories": [{"code": "phone", "bands": [{"from": IDR, "to": IDR, "fee": IDR}]}]}


def good_bodies(scene: Scene) -> dict[str, Json]:
    """What each route that reads a body would take."""
    return {
        "/v1/offers": scene.whole_draft,
        "/v1/offers/check": {**scene.whole_draft, "trade_in": {"schedule": SCHEDULE, "values": {"old": IDR}}},
        "/v1/offers/{offer_id}/stock": {"sku": "su7-max", "change": 1},
        "/v1/deposits": scene.order(
            trade_in={"category": "phone", "model": "old"}, priority_pass=f"pas_{scene.deposit['id'][4:]}_1"
        ),
        "/v1/deposits/{deposit_id}/cancel": {"note": None},
        "/v1/deposits/{deposit_id}/payment-method": {"payment_method": "alipay"},
        "/v1/deposits/{deposit_id}/changes": {"items": [{"sku": "su7-max", "quantity": 2}]},
        "/v1/deposits/{deposit_id}/lock": {
            "intent": f"lki_{scene.deposit['id'][4:]}_1",
            "disclosure_hash": "sha256:0",
            "acknowledgement": "LOCK 5000 CNY",
        },
        "/v1/deposits/{deposit_id}/ready": {
            "lines": [1],
            "inspect_at": "2026-01-01T00:00:00Z",
            "evidence": ["photo:1"],
        },
        "/v1/deposits/{deposit_id}/balance-payments": {"payment_method": "alipay"},
        "/v1/deposits/{deposit_id}/shipments": {"lines": [{"line": 1, "quantity": 1}]},
        "/v1/deposits/{deposit_id}/deliveries": {
            "lines": [1, {"line": 1, "quantity": 1}],
            "delivered_at": "2026-01-01T00:00:00Z",
            "evidence": ["photo:2"],
        },
        "/v1/deposits/{deposit_id}/withdrawals": {"name": "Ana", "reach": "ana@example.com"},
        "/v1/refunds": {
            "deposit": scene.deposit["id"],
            "amount": {"amount": "1", "currency": "CNY"},
            "expected_refundable": {"amount": "5000", "currency": "CNY"},
            "note": "sorry",
        },
        "/v1/refunds/{refund_id}/destination": ACCOUNT,
        "/v1/refunds/{refund_id}/reroute": {"kind": "payout", "note": "closed"},
        "/v1/refund-proofs/verify": dict(make_proof()),
        "/v1/reconciliation-runs": {"from": "2020-01-01T00:00:00Z", "to": "2020-01-01T00:00:00.001Z"},
        "/v1/breaks/{break_id}/resolve": {"action": "write_off", "note": "known"},
        "/v1/trade-ins/{trade_in_id}/inspection": {
            "outcome": "mismatched",
            "grounds": ["PH_CONDITION_MISMATCH"],
            "evidence": ["photo:3"],
        },
        "/v1/trade-ins/{trade_in_id}/cancel": {"by": "seller"},
        "/v1/deposits/{deposit_id}/merchant-cancel": {
            "reason": "OUT_OF_STOCK",
            "evidence": ["stock:1"],
            "note": "sorry",
        },
        "/v1/deposits/{deposit_id}/questions": {"kind": "address", "text": "Which entrance?"},
        "/v1/questions/{question_id}/answer": {"text": "The blue door."},
        "/v1/claims": {
            "deposit": scene.deposit["id"],
            "kind": "short_shipment",
            "statement": "Nothing came.",
            "lines": [{"line": 1, "quantity": 1}],
            "amount": {"amount": "1", "currency": "CNY"},
            "evidence": ["photo:4"],
        },
        "/v1/claims/{claim_id}/responses": {
            "decision": "offer",
            "amount": {"amount": "1", "currency": "CNY"},
            "statement": "Half.",
        },
        "/v1/claims/{claim_id}/evidence": {"evidence": ["photo:5"], "statement": "Look."},
        "/v1/claims/{claim_id}/ruling": {
            "decision": "partly",
            "amount": {"amount": "1", "currency": "CNY"},
            "reason": "Both are right.",
        },
        "/v1/offers/{offer_id}/merchant-cancellations": {
            "deposits": [scene.deposit["id"]],
            "reason": "OUT_OF_STOCK",
            "evidence": ["stock:1"],
            "note": "sorry",
        },
        "/v1/provider-events/{provider}": {"data": {"id": scene.deposit["payment"]["id"]}},
    }


# No shrinking: it would ask thousands of times to make an example shorter that names its route anyway.
@settings(max_examples=scope.examples(200), phases=[Phase.generate])
@given(data=st.data())
def test_whatever_is_sent_anywhere_is_not_our_fault(fuzzed: Scene, data: st.DataObject) -> None:
    one = data.draw(
        st.sampled_from([endpoint for endpoint in ENDPOINTS if not endpoint.path.startswith("/sandbox/")]), "route"
    )
    platform = fuzzed.world.person("platform", sub="fuzzing")
    callers = [fuzzed.buyer, fuzzed.merchant, fuzzed.inspector, platform, fuzzed.world.anyone()]
    caller = data.draw(st.sampled_from(callers), "caller")
    headers: Json = {name.replace("-", "_"): text for name, text in data.draw(HEADERS, "headers").items()}
    check_answer(caller.call(one.method, drawn_path(fuzzed, one, data), drawn_body(fuzzed, one, data), **headers))


@pytest.fixture(scope="module")
def lives(world: World, fuzzed: Scene) -> list[Scene]:
    """The same people with deposits further on: free with an intent, locked for good and disputed, goods on their way,
    called off by the shop, a trade-in."""
    buyer, merchant = fuzzed.buyer, fuzzed.merchant
    free = world.paid(buyer, fuzzed.offer)
    accepted(buyer.post(f"{path_of(free)}/lock-intents"), 201)
    final = world.final(buyer, merchant, quantity=2)
    shipped = world.final(buyer, merchant, quantity=2, **AS_PAID)
    accepted(merchant.post(f"{path_of(shipped)}/shipments", {"lines": [{"line": 1, "quantity": 1}]}))
    traded = world.traded(buyer, world.trading(merchant))
    lived = [replace(fuzzed, deposit=deposit, traded=traded) for deposit in (free, disputed(fuzzed, final), shipped)]
    ended = [cancelled(fuzzed, method) for method in ("card", "virtual_account")] + [called_off(fuzzed)]
    return [*lived, *ended, replace(fuzzed, deposit=traded, traded=traded)]


def disputed(scene: Scene, deposit: Json) -> Json:
    """With a claim that waits for the merchant."""
    body = {
        "deposit": deposit["id"],
        "kind": "other",
        "statement": "The colour.",
        "amount": {"amount": "1", "currency": "CNY"},
    }
    accepted(scene.buyer.post("/v1/claims", body), 201)
    return deposit


def cancelled(scene: Scene, method: str) -> Scene:
    """With a refund that waits for the provider or, where there is no way back, for an account."""
    deposit = scene.world.paid(scene.buyer, scene.world.offer(scene.merchant, payment={"methods": [method]}))
    return replace(scene, deposit=accepted(scene.buyer.post(f"{path_of(deposit)}/cancel")))


def called_off(scene: Scene) -> Scene:
    """By the shop, after a question: with compensation that waits for an account, and a pass."""
    deposit = scene.world.paid(scene.buyer, scene.offer)
    accepted(scene.merchant.post(f"{path_of(deposit)}/questions", {"kind": "address", "text": "Where?"}), 201)
    why = {"reason": "OUT_OF_STOCK", "evidence": ["stock:1"]}
    return replace(scene, deposit=accepted(scene.merchant.post(f"{path_of(deposit)}/merchant-cancel", why)))


AS_PAID: Final[Json] = {"payment": {"take": "full", "nature": "advance"}}


@settings(max_examples=scope.examples(150), phases=[Phase.generate])
@given(data=st.data())
def test_whatever_is_sent_to_a_deposit_in_any_state_is_not_our_fault(lives: list[Scene], data: st.DataObject) -> None:
    paths = ("/v1/deposits/{deposit_id}", "/v1/trade-ins/", "/v1/refunds", "/v1/questions/", "/v1/claims")
    of_deposits = [endpoint for endpoint in ENDPOINTS if endpoint.path.startswith(paths)]
    one, scene = data.draw(st.sampled_from(of_deposits), "route"), data.draw(st.sampled_from(lives), "deposit")
    people = [scene.buyer, scene.merchant, scene.inspector, scene.world.person("platform", sub="fuzzing")]
    caller = data.draw(st.sampled_from(people), "caller")
    check_answer(caller.call(one.method, drawn_path(scene, one, data), drawn_body(scene, one, data)))


def drawn_path(scene: Scene, one: Endpoint, data: st.DataObject) -> str:
    """The route with what is there or with junk in its place, and any query."""
    names = {
        "offer_id": scene.offer["id"],
        "deposit_id": scene.deposit["id"],
        "withdrawal_id": f"wdr_{scene.deposit['id'][4:]}_1",
        "refund_id": f"ref_{scene.deposit['id'][4:]}_1",
        "trade_in_id": scene.traded["trade_in"]["id"],
        "question_id": f"qst_{scene.deposit['id'][4:]}_1",
        "claim_id": f"clm_{scene.deposit['id'][4:]}_1",
        "bulk_id": scene.bulk,
        "run_id": digest_id("rec", "fuzzed"),
        "break_id": digest_id("brk", "fuzzed"),
        "payment_id": scene.deposit["payment"]["id"],
        "code": "CN",
        "name": "busy",
        "asset": "swagger-ui.css",
        "provider": "sandbox",
    }
    junk = quote(data.draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), "name"), safe="")
    if data.draw(st.booleans(), "junk in the path"):
        names = dict.fromkeys(names, junk)
    query = "&".join(f"{quote(name)}={quote(text)}" for name, text in data.draw(QUERY, "query").items())
    return one.path.format(**names) + (f"?{query}" if query else "")


def drawn_body(scene: Scene, one: Endpoint, data: st.DataObject) -> bytes:
    """A good body with junk in one place; now and then bytes that are none."""
    if one.method == "GET":
        return b""
    if data.draw(st.integers(0, 4), "how") == 0:
        return data.draw(st.binary(max_size=40), "raw")
    good = good_bodies(scene).get(one.path, {})
    place = data.draw(st.sampled_from(list(places(good))), "place")
    return json.dumps(replaced(good, place, data.draw(JUNK, "junk"))).encode()

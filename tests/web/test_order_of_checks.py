"""A request that is wrong twice hears of what is checked first: a row for each pair of neighbours (api.md, section 1)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.web.sound import accepted, path_of, refused
from tests.world import Client, Json, Reply, World

TOO_LARGE: Final = b" " * 65_537
BROKEN: Final = b'{"a":'
UNKNOWN: Final = {"unknown": 1}
STALE: Final = '"9-locked"'


@dataclass(frozen=True)
class Scene:
    """A waiting deposit, a cancelled one, and the key and ETag of that cancel."""

    world: World
    buyer: Client
    merchant: Client
    waiting: Json
    others: Json
    cancelled: Json
    key: str
    etag: str
    offer: Json
    published: str

    @property
    def anyone(self) -> Client:
        return self.world.anyone()

    def cancel(self, deposit: Json, body: Json | bytes | None = None, **headers: Any) -> Reply:
        return self.buyer.post(f"{path_of(deposit)}/cancel", body, **headers)

    def method(self, deposit: Json, method: str, **headers: Any) -> Reply:
        return self.buyer.post(f"{path_of(deposit)}/payment-method", {"payment_method": method}, **headers)

    @property
    def draft(self) -> Json:
        item = {"sku": "a", "name": "A", "price": {"amount": "299900", "currency": "CNY"}}
        return {"title": "SU7", "market": "CN", "preset": "su7_2024", "items": [item]}


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    buyer, merchant = world.buyer(), world.merchant("mer_order")
    offer = world.offer(merchant, payment={"due_within": "P365D"})
    waiting, others, ended = (world.ordered(who, offer) for who in (buyer, world.buyer(), buyer))
    done = buyer.post(f"{path_of(ended)}/cancel", {}, idempotency_key="ended")
    one = Scene(world, buyer, merchant, waiting, others, ended, "ended", done.headers["etag"], offer, "published")
    accepted(done)
    accepted(merchant.post("/v1/offers", one.draft, idempotency_key=one.published), 201)
    return one


Pair = tuple[str, str, Callable[[Scene], Reply], int, str]
PAIRS: Final[list[Pair]] = [
    # first     then       ask                                                                           the first's answer
    ("size",    "token",   lambda s: s.anyone.post("/v1/deposits", TOO_LARGE),                           413, "body-too-large"),
    ("size",    "media",   lambda s: s.buyer.post("/v1/deposits", TOO_LARGE, content_type="text/plain"), 413, "body-too-large"),
    ("token",   "route",   lambda s: s.anyone.get("/v1/nothing"),                                        401, "unauthenticated"),
    ("token",   "method",  lambda s: s.anyone.call("PUT", "/v1/deposits"),                               401, "unauthenticated"),
    ("token",   "media",   lambda s: s.anyone.post("/v1/deposits", b"x", content_type="text/plain"),     401, "unauthenticated"),
    ("token",   "syntax",  lambda s: s.anyone.post("/v1/deposits", BROKEN),                              401, "unauthenticated"),
    ("route",   "media",   lambda s: s.buyer.post("/v1/nothing", b"x", content_type="text/plain"),       404, "not-found"),
    ("method",  "media",   lambda s: s.buyer.call("PUT", "/v1/deposits", b"x", content_type="text/plain"), 405, "method-not-allowed"),
    ("media",   "syntax",  lambda s: s.buyer.post("/v1/deposits", BROKEN, content_type="text/plain"),    415, "unsupported-media-type"),
    ("media",   "key",     lambda s: s.buyer.post("/v1/deposits", b"{}", content_type="text/plain", idempotency_key=""), 415, "unsupported-media-type"),
    ("syntax",  "role",    lambda s: s.merchant.post("/v1/deposits", BROKEN),                            400, "malformed-body"),
    ("key",     "role",    lambda s: s.merchant.post("/v1/deposits", {}, idempotency_key=""),            400, "idempotency-key-missing"),
    ("key",     "owner",   lambda s: s.cancel(s.others, {}, idempotency_key=""),                         400, "idempotency-key-missing"),
    ("key",     "fields",  lambda s: s.cancel(s.waiting, UNKNOWN, idempotency_key="a b"),                400, "idempotency-key-invalid"),
    ("role",    "owner",   lambda s: s.merchant.post(f"{path_of(s.others)}/cancel"),                     403, "forbidden"),
    ("role",    "fields",  lambda s: s.merchant.post("/v1/deposits", UNKNOWN),                           403, "forbidden"),
    ("owner",   "fields",  lambda s: s.cancel(s.others, UNKNOWN),                                        404, "not-found"),
    ("owner",   "fields",  lambda s: s.buyer.post(f"{path_of(s.others)}/payment-method", {}),            404, "not-found"),
    ("owner",   "fields",  lambda s: s.method(s.others, "gopay"),                                        404, "not-found"),
    ("owner",   "query",   lambda s: s.buyer.get(f"{path_of(s.others)}?x=1"),                            404, "not-found"),
    ("owner",   "query",   lambda s: s.buyer.get(f"{path_of(s.others)}/refund-preview?cause=x"),         404, "not-found"),
    ("owner",   "query",   lambda s: s.buyer.get(f"{path_of(s.others)}/events?limit=0"),                 404, "not-found"),
    ("owner",   "query",   lambda s: s.buyer.get(f"/v1/refunds/ref_{s.others['id'][4:]}_1?x=1"),         404, "not-found"),
    ("owner",   "fields",  lambda s: s.world.merchant("mer_rival").post(f"/v1/offers/{s.offer['id']}/stock", {}), 404, "not-found"),
    ("owner",   "version", lambda s: s.cancel(s.others, {}, if_match=STALE),                             404, "not-found"),
    ("fields",  "replay",  lambda s: s.cancel(s.cancelled, UNKNOWN, idempotency_key=s.key),              422, "invalid-request"),
    ("fields",  "replay",  lambda s: s.merchant.post("/v1/offers", {}, idempotency_key=s.published),     422, "invalid-request"),
    ("fields",  "version", lambda s: s.cancel(s.waiting, UNKNOWN, if_match=STALE),                       422, "invalid-request"),
    ("fields",  "version", lambda s: s.method(s.waiting, "gopay", if_match=STALE),                       422, "payment-method-not-offered"),
    ("fields",  "version", lambda s: s.merchant.post(f"/v1/offers/{s.offer['id']}/stock", {"sku": "b", "change": 1}, if_match=STALE), 422, "invalid-request"),
    ("fields",  "state",   lambda s: s.cancel(s.cancelled, UNKNOWN),                                     422, "invalid-request"),
    ("fields",  "state",   lambda s: s.method(s.cancelled, "gopay"),                                     422, "payment-method-not-offered"),
    ("reused",  "version", lambda s: s.cancel(s.cancelled, {"note": None}, idempotency_key=s.key, if_match=STALE), 422, "idempotency-key-reused"),
    ("reused",  "state",   lambda s: s.cancel(s.cancelled, {"note": None}, idempotency_key=s.key),       422, "idempotency-key-reused"),
    ("version", "state",   lambda s: s.cancel(s.cancelled, {}, if_match=STALE),                          412, "stale-version"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "then", "ask", "status", "problem"),
    PAIRS,
    ids=[f"{first}-{then}-{n}" for n, (first, then, *_) in enumerate(PAIRS)],
)
def test_the_earlier_check_answers(
    scene: Scene, first: str, then: str, ask: Callable[[Scene], Reply], status: int, problem: str
) -> None:
    del first, then
    refused(ask(scene), status, problem)


def test_a_replay_is_answered_before_its_version_is_looked_at(scene: Scene) -> None:
    reply = scene.cancel(scene.cancelled, {}, idempotency_key=scene.key, if_match=STALE)
    accepted(reply)
    assert reply.headers["idempotent-replayed"] == "true"


def test_the_right_version_meets_the_state(scene: Scene) -> None:
    refused(scene.cancel(scene.cancelled, {}, if_match=scene.etag), 409, "already-cancelled")
    refused(scene.cancel(scene.cancelled, {}, if_match="*"), 409, "already-cancelled")


def test_ones_own_deposit_with_a_bad_body_is_422(scene: Scene) -> None:
    refused(scene.cancel(scene.waiting, UNKNOWN), 422, "invalid-request", "/unknown")
    assert scene.buyer.get(path_of(scene.waiting)).json["version"] == 1

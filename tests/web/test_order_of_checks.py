"""A request that is wrong twice hears of what is checked first: a row for each pair of neighbours (api.md, section 1)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.web.answer_checks import ACCOUNT, accepted, check_refusal, cny, path_of
from tests.world import Client, Json, Reply, World, rupiah

TOO_LARGE: Final = b" " * 65_537
BROKEN: Final = b'{"a":'
UNKNOWN: Final = {"unknown": 1}
STALE: Final = '"9-locked"'
OUT_OF_STOCK: Final[Json] = {"reason": "OUT_OF_STOCK", "evidence": ["stock:1"]}
OTHER_REASON: Final[Json] = {"reason": "MERCHANT_OTHER", "note": "x" * 40}
QUESTION: Final[Json] = {"kind": "address", "text": "Where?"}


@dataclass(frozen=True)
class Scene:
    """A waiting deposit, a cancelled one, and the key and ETag of that cancel; a question that was answered, a bulk
    cancellation that waits for a colleague, and a deposit that was called off, all under the key "called"; a claim."""

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
    platform: Client
    held: Json
    owed: Json
    settled: Json
    question: Json
    bulk: Json
    called: Json
    claim: Json

    @property
    def anyone(self) -> Client:
        return self.world.anyone()

    def cancel(self, deposit: Json, body: Json | bytes | None = None, **headers: Any) -> Reply:
        return self.buyer.post(f"{path_of(deposit)}/cancel", body, **headers)

    def method(self, deposit: Json, method: str, **headers: Any) -> Reply:
        return self.buyer.post(f"{path_of(deposit)}/payment-method", {"payment_method": method}, **headers)

    def grant(self, who: Client | None = None, deposit: Json | None = None, **more: Any) -> Reply:
        """Goodwill out of what is held."""
        headers = {name: more.pop(name) for name in ("idempotency_key", "if_match") if name in more}
        one = deposit or self.held
        body = {"deposit": one["id"], "amount": cny("1"), "expected_refundable": cny("5000"), **more}
        return (who or self.merchant).post("/v1/refunds", body, **headers)

    def name(self, refund: Json | None = None, **more: Any) -> Reply:
        """The buyer's account."""
        headers = {name: more.pop(name) for name in ("idempotency_key", "if_match") if name in more}
        return self.buyer.post(f"/v1/refunds/{(refund or self.owed)['id']}/destination", {**ACCOUNT, **more}, **headers)

    def reroute(self, refund: Json | None = None, **more: Any) -> Reply:
        headers = {name: more.pop(name) for name in ("idempotency_key", "if_match") if name in more}
        path = f"/v1/refunds/{(refund or self.owed)['id']}/reroute"
        return self.platform.post(path, {"kind": "payout", **more}, **headers)

    def call_off(self, deposit: Json | None = None, who: Client | None = None, **more: Any) -> Reply:
        """A cancellation by the merchant."""
        headers = {name: more.pop(name) for name in ("idempotency_key", "if_match") if name in more}
        path = f"{path_of(deposit or self.held)}/merchant-cancel"
        return (who or self.merchant).post(path, {**OUT_OF_STOCK, **more}, **headers)

    def inquire(self, deposit: Json | None = None, **more: Any) -> Reply:
        """A question of the merchant."""
        headers = {name: more.pop(name) for name in ("idempotency_key", "if_match") if name in more}
        return self.merchant.post(f"{path_of(deposit or self.held)}/questions", {**QUESTION, **more}, **headers)

    def answer(self, who: Client | None = None, body: Json | bytes | None = None, **headers: Any) -> Reply:
        path = f"/v1/questions/{self.question['id']}/answer"
        return (who or self.buyer).post(path, {"text": "There."} if body is None else body, **headers)

    @property
    def at_claim(self) -> str:
        return f"/v1/claims/{self.claim['id']}"

    def dispute(self, who: Client | None = None, **more: Any) -> Reply:
        """A claim of an amount, on a deposit that has one already."""
        headers = {name: more.pop(name) for name in ("idempotency_key", "if_match") if name in more}
        body = {"deposit": self.claim["deposit"], "kind": "other", "statement": "Mine.", "amount": cny("1"), **more}
        return (who or self.buyer).post("/v1/claims", body, **headers)

    def respond(self, who: Client | None = None, **more: Any) -> Reply:
        headers = {name: more.pop(name) for name in ("idempotency_key", "if_match") if name in more}
        return (who or self.merchant).post(f"{self.at_claim}/responses", {"decision": "accept", **more}, **headers)

    @property
    def bulks(self) -> str:
        return f"/v1/offers/{self.offer['id']}/merchant-cancellations"

    def many(self, who: Client | None = None, body: Json | bytes | None = None, **headers: Any) -> Reply:
        given = {"deposits": [self.waiting["id"], self.others["id"]], **OUT_OF_STOCK} if body is None else body
        return (who or self.merchant).post(self.bulks, given, **headers)

    def agree(self, who: Client | None = None, body: Json | bytes | None = None, **headers: Any) -> Reply:
        return (who or self.merchant).post(f"{self.bulks}/{self.bulk['id']}/approve", body, **headers)

    @property
    def rival(self) -> Client:
        return self.world.merchant("mer_rival")

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
    held, owed, settled = further(world, buyer, merchant)
    one = Scene(
        *(world, buyer, merchant, waiting, others, ended, "ended", done.headers["etag"], offer, "published"),
        *(world.person("platform"), held, owed, settled),
        *called(world, buyer, merchant, offer),
        claimed(world, buyer, merchant),
    )
    accepted(done)
    accepted(merchant.post("/v1/offers", one.draft, idempotency_key=one.published), 201)
    return one


def claimed(world: World, buyer: Client, merchant: Client) -> Json:
    """A claim under the key "claimed" that the merchant has accepted."""
    locked = world.final(buyer, merchant)
    body = {"deposit": locked["id"], "kind": "other", "statement": "Mine.", "amount": cny("1")}
    claim = accepted(buyer.post("/v1/claims", body, idempotency_key="claimed"), 201)
    return accepted(merchant.post(f"/v1/claims/{claim['id']}/responses", {"decision": "accept"}))


def called(world: World, buyer: Client, merchant: Client, offer: Json) -> tuple[Json, Json, Json]:
    """A question with its answer, a bulk cancellation that waits, and a deposit that the merchant called off."""
    first, second = (world.ordered(buyer, offer) for _ in range(2))
    question = accepted(merchant.post(f"{path_of(first)}/questions", QUESTION, idempotency_key="called"), 201)
    accepted(buyer.post(f"/v1/questions/{question['id']}/answer", {"text": "There."}, idempotency_key="called"))
    body = {"deposits": [first["id"], second["id"]], **OUT_OF_STOCK}
    path = f"/v1/offers/{offer['id']}/merchant-cancellations"
    bulk = accepted(merchant.post(path, body, idempotency_key="called"), 202)
    accepted(merchant.post(f"{path_of(second)}/merchant-cancel", OUT_OF_STOCK, idempotency_key="called"))
    return question, bulk, second


def further(world: World, buyer: Client, merchant: Client) -> tuple[Json, Json, Json]:
    """A deposit of which some was given back under the key "granted"; a refund that asks for an account; one of 0."""
    window = {"kind": "elapsed", "length": "P365D"}
    sold = world.offer(merchant, payment={"methods": ["virtual_account"]}, window=window)
    held, ended = world.paid(buyer, sold), world.paid(buyer, sold)
    body = {"deposit": held["id"], "amount": cny("5"), "expected_refundable": cny("5000")}
    accepted(merchant.post("/v1/refunds", body, idempotency_key="granted"), 201)
    owed = accepted(buyer.post(f"{path_of(ended)}/cancel"))["refund"]
    accepted(buyer.post(f"/v1/refunds/{owed['id']}/destination", ACCOUNT, idempotency_key="named"))
    kept = world.final(buyer, merchant, payment={"nature": "earnest"})
    return held, owed, accepted(buyer.post(f"{path_of(kept)}/cancel"))["refund"]


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
    # Goodwill.
    ("size",    "token",   lambda s: s.anyone.post("/v1/refunds", TOO_LARGE),                            413, "body-too-large"),
    ("token",   "syntax",  lambda s: s.anyone.post("/v1/refunds", BROKEN),                               401, "unauthenticated"),
    ("media",   "key",     lambda s: s.merchant.post("/v1/refunds", b"{}", content_type="text/plain", idempotency_key=""), 415, "unsupported-media-type"),
    ("syntax",  "role",    lambda s: s.buyer.post("/v1/refunds", BROKEN),                                400, "malformed-body"),
    ("key",     "role",    lambda s: s.grant(s.buyer, idempotency_key=""),                               400, "idempotency-key-missing"),
    ("role",    "fields",  lambda s: s.buyer.post("/v1/refunds", UNKNOWN),                               403, "forbidden"),
    ("fields",  "reused",  lambda s: s.grant(amount=cny("0"), idempotency_key="granted"),                422, "invalid-request"),
    ("fields",  "version", lambda s: s.grant(deposit=s.offer, if_match=STALE),                           422, "invalid-request"),
    ("fields",  "version", lambda s: s.grant(amount=rupiah("1"), if_match=STALE),                        422, "currency-mismatch"),
    ("reused",  "version", lambda s: s.grant(idempotency_key="granted", if_match=STALE),                 422, "idempotency-key-reused"),
    ("reused",  "state",   lambda s: s.grant(amount=cny("9999"), idempotency_key="granted"),             422, "idempotency-key-reused"),
    ("reused",  "state",   lambda s: s.grant(deposit=s.cancelled, idempotency_key="granted"),            422, "idempotency-key-reused"),
    ("version", "seen",    lambda s: s.grant(expected_refundable=cny("4995"), if_match=STALE),           412, "stale-version"),
    ("seen",    "state",   lambda s: s.grant(amount=cny("9999")),                                        412, "stale-version"),
    ("seen",    "state",   lambda s: s.grant(deposit=s.cancelled),                                       412, "stale-version"),
    ("version", "state",   lambda s: s.grant(deposit=s.cancelled, expected_refundable=cny("0"), if_match=STALE), 412, "stale-version"),
    # Destinations.
    ("token",   "owner",   lambda s: s.anyone.post(f"/v1/refunds/{s.owed['id']}/destination", ACCOUNT),  401, "unauthenticated"),
    ("key",     "role",    lambda s: s.merchant.post(f"/v1/refunds/{s.owed['id']}/destination", ACCOUNT, idempotency_key=""), 400, "idempotency-key-missing"),
    ("role",    "owner",   lambda s: s.merchant.post("/v1/refunds/x/destination", ACCOUNT),              403, "forbidden"),
    ("role",    "fields",  lambda s: s.merchant.post(f"/v1/refunds/{s.owed['id']}/destination", UNKNOWN), 403, "forbidden"),
    ("owner",   "fields",  lambda s: s.world.buyer().post(f"/v1/refunds/{s.owed['id']}/destination", UNKNOWN), 404, "not-found"),
    ("owner",   "consent", lambda s: s.name({"id": "x"}, consent=False),                                 404, "not-found"),
    ("fields",  "consent", lambda s: s.name(consent=False, holder=""),                                   422, "invalid-request"),
    ("consent", "reused",  lambda s: s.name(consent=False, idempotency_key="named"),                     422, "consent-required"),
    ("consent", "state",   lambda s: s.name(s.settled, consent=False),                                   422, "consent-required"),
    ("fields",  "state",   lambda s: s.name(s.settled, account="1"),                                     422, "invalid-request"),
    ("reused",  "version", lambda s: s.name(bank="BNI", idempotency_key="named", if_match=STALE),        422, "idempotency-key-reused"),
    ("version", "state",   lambda s: s.name(s.settled, if_match=STALE),                                  412, "stale-version"),
    # Rerouting.
    ("key",     "role",    lambda s: s.buyer.post(f"/v1/refunds/{s.owed['id']}/reroute", idempotency_key=""), 400, "idempotency-key-missing"),
    ("role",    "owner",   lambda s: s.buyer.post("/v1/refunds/x/reroute", {"kind": "payout"}),          403, "forbidden"),
    ("owner",   "fields",  lambda s: s.platform.post("/v1/refunds/x/reroute", UNKNOWN),                  404, "not-found"),
    ("fields",  "version", lambda s: s.reroute(kind="x", if_match=STALE),                                422, "invalid-request"),
    ("fields",  "state",   lambda s: s.reroute(s.settled, note=""),                                      422, "invalid-request"),
    ("version", "state",   lambda s: s.reroute(s.settled, if_match=STALE),                               412, "stale-version"),
    # Proofs.
    ("token",   "owner",   lambda s: s.anyone.get("/v1/refunds/x/proof"),                                401, "unauthenticated"),
    ("role",    "owner",   lambda s: s.world.inspector().get("/v1/refunds/x/proof"),                     403, "forbidden"),
    ("owner",   "query",   lambda s: s.world.buyer().get(f"/v1/refunds/{s.owed['id']}/proof?x=1"),       404, "not-found"),
    ("size",    "media",   lambda s: s.anyone.post("/v1/refund-proofs/verify", TOO_LARGE, content_type="text/plain"), 413, "body-too-large"),
    ("media",   "syntax",  lambda s: s.anyone.post("/v1/refund-proofs/verify", BROKEN, content_type="text/plain"), 415, "unsupported-media-type"),
    ("syntax",  "query",   lambda s: s.anyone.post("/v1/refund-proofs/verify?x=1", BROKEN),              400, "malformed-body"),
    # Runs and breaks.
    ("token",   "syntax",  lambda s: s.anyone.post("/v1/reconciliation-runs", BROKEN),                   401, "unauthenticated"),
    ("syntax",  "role",    lambda s: s.buyer.post("/v1/reconciliation-runs", BROKEN),                    400, "malformed-body"),
    ("key",     "role",    lambda s: s.merchant.post("/v1/reconciliation-runs", {}, idempotency_key=""), 400, "idempotency-key-missing"),
    ("role",    "fields",  lambda s: s.merchant.post("/v1/reconciliation-runs", UNKNOWN),                403, "forbidden"),
    ("role",    "owner",   lambda s: s.merchant.get("/v1/reconciliation-runs/x"),                        403, "forbidden"),
    ("owner",   "query",   lambda s: s.platform.get("/v1/reconciliation-runs/x?y=1"),                    404, "not-found"),
    ("owner",   "query",   lambda s: s.platform.get("/v1/reconciliation-runs/x/breaks?limit=0"),         404, "not-found"),
    ("owner",   "query",   lambda s: s.platform.get("/v1/reconciliation-runs/x/report.csv?y=1"),         404, "not-found"),
    ("owner",   "query",   lambda s: s.platform.get("/v1/reconciliation-runs/x/report.html?y=1"),        404, "not-found"),
    ("key",     "role",    lambda s: s.buyer.post("/v1/breaks/x/resolve", {}, idempotency_key=""),       400, "idempotency-key-missing"),
    ("role",    "owner",   lambda s: s.world.person("service").post("/v1/breaks/x/resolve", {"action": "write_off"}), 403, "forbidden"),
    ("owner",   "fields",  lambda s: s.platform.post("/v1/breaks/x/resolve", UNKNOWN),                   404, "not-found"),
    # Cancellations by the merchant.
    ("token",   "owner",   lambda s: s.call_off(who=s.anyone),                                           401, "unauthenticated"),
    ("key",     "role",    lambda s: s.call_off(who=s.buyer, idempotency_key=""),                        400, "idempotency-key-missing"),
    ("role",    "owner",   lambda s: s.call_off({"id": "x"}, s.buyer),                                   403, "forbidden"),
    ("role",    "fields",  lambda s: s.call_off(who=s.buyer, reason=1),                                  403, "forbidden"),
    ("owner",   "fields",  lambda s: s.call_off(who=s.rival, reason=1),                                  404, "not-found"),
    ("owner",   "evidence", lambda s: s.call_off(who=s.rival, evidence=[]),                              404, "not-found"),
    ("fields",  "evidence", lambda s: s.call_off(note="", evidence=[]),                                  422, "invalid-request"),
    ("evidence", "version", lambda s: s.call_off(evidence=[], if_match=STALE),                           422, "evidence-required"),
    ("evidence", "state",  lambda s: s.call_off(s.cancelled, evidence=[]),                               422, "evidence-required"),
    ("evidence", "listed", lambda s: s.call_off(**OTHER_REASON, evidence=[]),                            422, "evidence-required"),
    ("reused",  "evidence", lambda s: s.call_off(s.called, evidence=[], idempotency_key="called"),       422, "idempotency-key-reused"),
    ("reused",  "version", lambda s: s.call_off(s.called, note="x", idempotency_key="called", if_match=STALE), 422, "idempotency-key-reused"),
    ("version", "state",   lambda s: s.call_off(s.cancelled, if_match=STALE),                            412, "stale-version"),
    ("version", "listed",  lambda s: s.call_off(**OTHER_REASON, if_match=STALE),                         412, "stale-version"),
    ("state",   "listed",  lambda s: s.call_off(s.cancelled, **OTHER_REASON),                            409, "already-cancelled"),
    ("listed",  "approval", lambda s: s.call_off(**OTHER_REASON),                                        409, "reason-not-published"),
    # Questions.
    ("key",     "role",    lambda s: s.answer(s.merchant, idempotency_key=""),                           400, "idempotency-key-missing"),
    ("role",    "fields",  lambda s: s.answer(s.merchant, UNKNOWN),                                      403, "forbidden"),
    ("owner",   "fields",  lambda s: s.answer(s.world.buyer(), UNKNOWN),                                 404, "not-found"),
    ("fields",  "replay",  lambda s: s.answer(body=UNKNOWN, idempotency_key="called"),                   422, "invalid-request"),
    ("fields",  "state",   lambda s: s.answer(body=UNKNOWN),                                             422, "invalid-request"),
    ("reused",  "state",   lambda s: s.answer(body={"text": "Here."}, idempotency_key="called"),         422, "idempotency-key-reused"),
    ("version", "state",   lambda s: s.answer(if_match=STALE),                                           412, "stale-version"),
    ("owner",   "fields",  lambda s: s.rival.post(f"{path_of(s.held)}/questions", UNKNOWN),              404, "not-found"),
    ("fields",  "version", lambda s: s.inquire(kind="score", if_match=STALE),                            422, "invalid-request"),
    ("fields",  "state",   lambda s: s.inquire(s.cancelled, text=""),                                    422, "invalid-request"),
    ("version", "state",   lambda s: s.inquire(s.cancelled, if_match=STALE),                             412, "stale-version"),
    ("owner",   "query",   lambda s: s.world.buyer().get(f"/v1/questions/{s.question['id']}?x=1"),       404, "not-found"),
    ("role",    "owner",   lambda s: s.world.inspector().get("/v1/questions/x"),                         403, "forbidden"),
    # Bulk cancellations.
    ("token",   "syntax",  lambda s: s.many(s.anyone, BROKEN),                                           401, "unauthenticated"),
    ("syntax",  "role",    lambda s: s.many(s.buyer, BROKEN),                                            400, "malformed-body"),
    ("key",     "role",    lambda s: s.many(s.buyer, idempotency_key=""),                                400, "idempotency-key-missing"),
    ("role",    "fields",  lambda s: s.many(s.platform, UNKNOWN),                                        403, "forbidden"),
    ("owner",   "fields",  lambda s: s.many(s.rival, UNKNOWN),                                           404, "not-found"),
    ("fields",  "replay",  lambda s: s.many(body=UNKNOWN, idempotency_key="called"),                     422, "invalid-request"),
    ("fields",  "evidence", lambda s: s.many(body={"deposits": ["x"], **OUT_OF_STOCK, "evidence": []}),  422, "invalid-request"),
    ("fields",  "listed",  lambda s: s.many(body={"deposits": ["x"], **OUT_OF_STOCK, **OTHER_REASON}),   422, "invalid-request"),
    ("evidence", "listed", lambda s: s.many(body={"deposits": [s.held["id"]], **OTHER_REASON}),          422, "evidence-required"),
    ("listed",  "reused",  lambda s: s.many(body={"deposits": [s.held["id"]], **OUT_OF_STOCK, **OTHER_REASON}, idempotency_key="called"), 409, "reason-not-published"),
    ("reused",  "state",   lambda s: s.many(body={"deposits": [s.held["id"]], **OUT_OF_STOCK}, idempotency_key="called"), 422, "idempotency-key-reused"),
    ("key",     "role",    lambda s: s.agree(s.buyer, idempotency_key=""),                               400, "idempotency-key-missing"),
    ("role",    "owner",   lambda s: s.buyer.post(f"{s.bulks}/x/approve"),                               403, "forbidden"),
    ("owner",   "fields",  lambda s: s.agree(s.rival, UNKNOWN),                                          404, "not-found"),
    ("fields",  "approval", lambda s: s.agree(body=UNKNOWN),                                             422, "invalid-request"),
    ("owner",   "query",   lambda s: s.rival.get(f"{s.bulks}/{s.bulk['id']}?x=1"),                       404, "not-found"),
    # Claims.
    ("size",    "token",   lambda s: s.anyone.post("/v1/claims", TOO_LARGE),                             413, "body-too-large"),
    ("token",   "syntax",  lambda s: s.anyone.post("/v1/claims", BROKEN),                                401, "unauthenticated"),
    ("syntax",  "role",    lambda s: s.merchant.post("/v1/claims", BROKEN),                              400, "malformed-body"),
    ("key",     "role",    lambda s: s.dispute(s.merchant, idempotency_key=""),                          400, "idempotency-key-missing"),
    ("role",    "fields",  lambda s: s.merchant.post("/v1/claims", UNKNOWN),                             403, "forbidden"),
    ("fields",  "reused",  lambda s: s.dispute(amount=cny("0"), idempotency_key="claimed"),              422, "invalid-request"),
    ("fields",  "version", lambda s: s.dispute(deposit=s.others["id"], if_match=STALE),                  422, "invalid-request"),
    ("fields",  "version", lambda s: s.dispute(amount=rupiah("1"), if_match=STALE),                      422, "currency-mismatch"),
    ("fields",  "state",   lambda s: s.dispute(deposit=s.waiting["id"], lines=[{"line": 1, "quantity": 1}]), 422, "invalid-request"),
    ("reused",  "version", lambda s: s.dispute(statement="x", idempotency_key="claimed", if_match=STALE), 422, "idempotency-key-reused"),
    ("reused",  "state",   lambda s: s.dispute(deposit=s.waiting["id"], idempotency_key="claimed"),      422, "idempotency-key-reused"),
    ("version", "state",   lambda s: s.dispute(deposit=s.waiting["id"], if_match=STALE),                 412, "stale-version"),
    ("version", "money",   lambda s: s.dispute(amount=cny("9999"), if_match=STALE),                      412, "stale-version"),
    ("state",   "money",   lambda s: s.dispute(deposit=s.waiting["id"], amount=cny("9999")),             409, "wrong-state"),
    ("key",     "role",    lambda s: s.respond(s.buyer, idempotency_key=""),                             400, "idempotency-key-missing"),
    ("role",    "owner",   lambda s: s.buyer.post("/v1/claims/x/responses", {"decision": "accept"}),     403, "forbidden"),
    ("role",    "fields",  lambda s: s.respond(s.platform, decision="maybe"),                            403, "forbidden"),
    ("owner",   "fields",  lambda s: s.respond(s.rival, decision="maybe"),                               404, "not-found"),
    ("owner",   "fields",  lambda s: s.respond(s.rival, amount=cny("0")),                                404, "not-found"),
    ("owner",   "fields",  lambda s: s.respond(s.rival, decision="reject"),                              404, "not-found"),
    ("owner",   "fields",  lambda s: s.rival.post("/v1/claims/x/responses", UNKNOWN),                    404, "not-found"),
    ("fields",  "version", lambda s: s.respond(decision="reject", if_match=STALE),                       422, "invalid-request"),
    ("fields",  "state",   lambda s: s.respond(decision="offer"),                                        422, "invalid-request"),
    ("fields",  "owed",    lambda s: s.respond(decision="offer", amount=cny("0")),                       422, "invalid-request"),
    ("version", "state",   lambda s: s.respond(if_match=STALE),                                          412, "stale-version"),
    ("owner",   "fields",  lambda s: s.world.buyer().post(f"{s.at_claim}/escalate", UNKNOWN),            404, "not-found"),
    ("fields",  "state",   lambda s: s.buyer.post(f"{s.at_claim}/escalate", UNKNOWN),                    422, "invalid-request"),
    ("version", "state",   lambda s: s.buyer.post(f"{s.at_claim}/escalate", if_match=STALE),             412, "stale-version"),
    ("role",    "fields",  lambda s: s.platform.post(f"{s.at_claim}/evidence", UNKNOWN),                 403, "forbidden"),
    ("owner",   "fields",  lambda s: s.rival.post(f"{s.at_claim}/evidence", UNKNOWN),                    404, "not-found"),
    ("role",    "fields",  lambda s: s.merchant.post(f"{s.at_claim}/ruling", UNKNOWN),                   403, "forbidden"),
    ("owner",   "fields",  lambda s: s.platform.post("/v1/claims/x/ruling", UNKNOWN),                    404, "not-found"),
    ("fields",  "state",   lambda s: s.platform.post(f"{s.at_claim}/ruling", {"decision": "partly", "reason": "x"}), 422, "invalid-request"),
    ("role",    "query",   lambda s: s.world.inspector().get(f"{s.at_claim}?x=1"),                       403, "forbidden"),
    ("owner",   "query",   lambda s: s.rival.get(f"{s.at_claim}?x=1"),                                   404, "not-found"),
    ("query",   "role",    lambda s: s.buyer.get("/v1/claims?status=closed"),                            422, "invalid-request"),
    ("role",    "cursor",  lambda s: s.buyer.get("/v1/claims?status=open&cursor=x"),                     403, "forbidden"),
    ("query",   "cursor",  lambda s: s.merchant.get("/v1/claims?status=open&limit=0&cursor=x"),          422, "invalid-request"),
    # Passes.
    ("role",    "query",   lambda s: s.merchant.get("/v1/priority-passes?x=1"),                          403, "forbidden"),
    ("query",   "cursor",  lambda s: s.buyer.get("/v1/priority-passes?limit=0&cursor=x"),                422, "invalid-request"),
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
    check_refusal(ask(scene), status, problem)


def test_a_replay_is_answered_before_its_version_is_looked_at(scene: Scene) -> None:
    reply = scene.cancel(scene.cancelled, {}, idempotency_key=scene.key, if_match=STALE)
    accepted(reply)
    assert reply.headers["idempotent-replayed"] == "true"


def test_the_right_version_meets_the_state(scene: Scene) -> None:
    check_refusal(scene.cancel(scene.cancelled, {}, if_match=scene.etag), 409, "already-cancelled")
    check_refusal(scene.cancel(scene.cancelled, {}, if_match="*"), 409, "already-cancelled")


def test_ones_own_deposit_with_a_bad_body_is_422(scene: Scene) -> None:
    check_refusal(scene.cancel(scene.waiting, UNKNOWN), 422, "invalid-request", "/unknown")
    assert scene.buyer.get(path_of(scene.waiting)).json["version"] == 1

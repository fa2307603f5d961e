"""Who may do what: every route under every role, in one table. Another's resource answers 404, never 403."""

from dataclasses import dataclass
from itertools import count
from typing import Final

import pytest

from chalicelib.core.common.instants import DAY, format_instant
from chalicelib.core.common.money import Money
from chalicelib.web.edge.route import ENDPOINTS
from chalicelib.web.refunds.examples import make_proof
from chalicelib.wiring import services
from local.issuer import VALID_SECONDS
from local.wiring import sandbox_of
from tests.web.answer_checks import ACCOUNT, check_answer, cny, instant, now_of, pages
from tests.world import Client, Json, Reply, World, rupiah

LEEWAY_SECONDS: Final = 60
CALLERS: Final = (
    *("buyer", "other buyer", "merchant", "other merchant", "inspector", "other inspector", "platform", "service"),
    *("anonymous", "expired", "holder", "other holder"),
)
# In the order of CALLERS; a holder has the withdrawal token of a deposit and no login. The deposit waits for payment, so
# what needs a paid or locked one and is let in meets the wrong state (409); what the buyer has withdrawn, the holder finds
# cancelled (409); the other merchant's list names an offer that is not theirs, and goodwill a deposit that is not (422).
# The trade-in waits for its hand-over, the refund for an account. The second run over a span meets the first one (409).
# The question waits for its answer; a colleague of the shop asked for the bulk cancellation, so that the shop may agree.
# The claim on a locked deposit has an offer, so that the platform has nothing to rule yet (409); a claim on a deposit that
# is not theirs names one that the other buyer does not know of (422).
TABLE: Final = {
    #                                            buyer other  shop  other inspec other platf serv  none  expired holder other
    "POST /v1/offers":                           (403,  403,  201,  201,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/offers/check":                     (403,  403,  200,  200,  403,  403,  403,  403,  401,  401,  401,   401),
    "GET /v1/offers":                            (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /v1/offers/{offer_id}":                 (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "POST /v1/offers/{offer_id}/close":          (403,  403,  200,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/offers/{offer_id}/stock":          (403,  403,  200,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "GET /v1/presets":                           (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /v1/markets":                           (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /v1/markets/{code}":                    (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "POST /v1/deposits":                         (201,  201,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "GET /v1/deposits":                          (200,  200,  200,  422,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/deposits/{deposit_id}":             (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/cancel":     (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/payment-method":
                                                 (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/changes":    (409,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/lock-intents":
                                                 (409,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/lock":       (409,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/unlock":     (409,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/ready":      (403,  403,  409,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/balance-payments":
                                                 (409,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/shipments":  (403,  403,  409,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/deliveries": (403,  403,  409,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/receipt":    (409,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/buyer-default":
                                                 (403,  403,  409,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/withdrawals":
                                                 (201,  404,  403,  403,  403,  403,  403,  403,  401,  401,  201,   404),
    "POST /v1/deposits/{deposit_id}/withdrawals/{withdrawal_id}/confirm":
                                                 (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  409,   404),
    "GET /v1/deposits/{deposit_id}/withdrawals/{withdrawal_id}":
                                                 (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  200,   404),
    "GET /v1/deposits/{deposit_id}/refund-preview":
                                                 (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/deposits/{deposit_id}/refund-curve":
                                                 (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/deposits/{deposit_id}/events":      (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/refunds/{refund_id}":               (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/refunds":                           (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "POST /v1/refunds":                          (403,  403,  201,  422,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/refunds/{refund_id}/destination":  (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/refunds/{refund_id}/reroute":      (403,  403,  403,  403,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/refunds/{refund_id}/proof":         (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "POST /v1/refund-proofs/verify":             (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "POST /v1/reconciliation-runs":              (403,  403,  403,  403,  403,  403,  202,  409,  401,  401,  401,   401),
    "GET /v1/reconciliation-runs":               (403,  403,  403,  403,  403,  403,  200,  200,  401,  401,  401,   401),
    "GET /v1/reconciliation-runs/{run_id}":      (403,  403,  403,  403,  403,  403,  200,  200,  401,  401,  401,   401),
    "GET /v1/reconciliation-runs/{run_id}/breaks":
                                                 (403,  403,  403,  403,  403,  403,  200,  200,  401,  401,  401,   401),
    "GET /v1/reconciliation-runs/{run_id}/report.csv":
                                                 (403,  403,  403,  403,  403,  403,  200,  200,  401,  401,  401,   401),
    "GET /v1/reconciliation-runs/{run_id}/report.html":
                                                 (403,  403,  403,  403,  403,  403,  200,  200,  401,  401,  401,   401),
    "POST /v1/breaks/{break_id}/resolve":        (403,  403,  403,  403,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/trade-in/fees":                     (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /v1/trade-in/schedules":                (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /v1/trade-ins/{trade_in_id}":           (200,  404,  200,  404,  200,  404,  200,  403,  401,  401,  401,   401),
    "POST /v1/trade-ins/{trade_in_id}/inspection":
                                                 (403,  403,  403,  403,  200,  404,  403,  403,  401,  401,  401,   401),
    "POST /v1/trade-ins/{trade_in_id}/cancel":   (403,  403,  200,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "GET /v1/cancellation-reasons":              (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "POST /v1/deposits/{deposit_id}/merchant-cancel":
                                                 (403,  403,  200,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/deposits/{deposit_id}/questions":  (403,  403,  201,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "GET /v1/questions":                         (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/questions/{question_id}":           (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "POST /v1/questions/{question_id}/answer":   (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "GET /v1/offers/{offer_id}/cancellations":   (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "POST /v1/offers/{offer_id}/merchant-cancellations":
                                                 (403,  403,  202,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "GET /v1/offers/{offer_id}/merchant-cancellations/{bulk_id}":
                                                 (403,  403,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "POST /v1/offers/{offer_id}/merchant-cancellations/{bulk_id}/approve":
                                                 (403,  403,  200,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/claims":                           (201,  422,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "GET /v1/claims":                            (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "GET /v1/claims/{claim_id}":                 (200,  404,  200,  404,  403,  403,  200,  403,  401,  401,  401,   401),
    "POST /v1/claims/{claim_id}/responses":      (403,  403,  200,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/claims/{claim_id}/accept-offer":   (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/claims/{claim_id}/escalate":       (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/claims/{claim_id}/withdraw":       (200,  404,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/claims/{claim_id}/evidence":       (200,  404,  200,  404,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/claims/{claim_id}/ruling":         (403,  403,  403,  403,  403,  403,  409,  403,  401,  401,  401,   401),
    "GET /v1/priority-passes":                   (200,  200,  403,  403,  403,  403,  403,  403,  401,  401,  401,   401),
    "POST /v1/provider-events/{provider}":       (401,  401,  401,  401,  401,  401,  401,  401,  401,  401,  401,   401),
    "GET /healthz":                              (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /openapi.json":                         (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /docs":                                 (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /docs/assets/{asset}":                  (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /problems/{name}":                      (200,  200,  200,  200,  200,  200,  200,  200,  200,  200,  200,   200),
    "GET /pay/{payment_id}":                     (303,  303,  303,  303,  303,  303,  303,  303,  303,  303,  303,   303),
}  # fmt: skip
CLAIM: Final[Json] = {"kind": "other", "statement": "The colour is wrong.", "amount": cny("5")}
WITHDRAWAL: Final = {"name": "Ana", "reach": "ana@example.com"}
QUESTION: Final[Json] = {"kind": "address", "text": "Which entrance is yours?"}
OUT_OF_STOCK: Final[Json] = {"reason": "OUT_OF_STOCK", "evidence": ["stock:1"]}
NEW_YEAR: Final = "2026-01-01T00:00:00Z"
_spans: Final = count(1)  # in milliseconds; each scene has one of its own
QUERIES: Final = {
    "GET /v1/deposits": "?offer={offer_id}",
    "GET /v1/deposits/{deposit_id}/refund-preview": "?cause=buyer_cancel",
    "GET /v1/refunds": "?deposit={deposit_id}",
    "GET /v1/questions": "?deposit={deposit_id}",
    "GET /v1/claims": "?deposit={deposit_id}",
    "GET /v1/trade-in/fees": "?schedule=id-tukar-tambah&category=phone&price=3000000",
}


@dataclass(frozen=True)
class Scene:
    """One offer, one deposit that waits for payment, a withdrawal of it, a question about it, one refund and one trade-in,
    a claim on a locked deposit, of the same people, and a bulk cancellation that waits for a second person."""

    callers: dict[str, Client]
    names: dict[str, str]
    bodies: dict[str, Json]

    def ask(self, route: str, caller: str) -> Reply:
        method, template = route.split(" ")
        path = (template + QUERIES.get(route, "")).format(**self.names)
        body = None if method == "GET" else self.bodies.get(route, {})
        return check_answer(self.callers[caller].call(method, path, body))


def expired_token(world: World) -> str:
    """A buyer's token that ended a second longer ago than clocks may differ."""
    now = world.server._gateway._asked() // 1_000
    return str(world.server._issuer.token("buyer", "late", None, now - VALID_SECONDS - LEEWAY_SECONDS - 1))


@pytest.fixture(scope="module")
def callers(world: World) -> dict[str, Client]:
    return {
        "buyer": world.buyer(),
        "other buyer": world.buyer(),
        "merchant": world.merchant("mer_roles"),
        "other merchant": world.merchant("mer_another"),
        "colleague": world.merchant("mer_roles"),
        "inspector": world.inspector("mer_roles"),
        "other inspector": world.inspector("mer_another"),
        "platform": world.person("platform"),
        "service": world.person("service"),
        "anonymous": world.anyone(),
        "expired": world.anyone(expired_token(world)),
    }


@pytest.fixture(scope="module")
def bank_transfers(world: World, callers: dict[str, Client]) -> Json:
    """An offer whose method has no way back, so that each refund asks for an account."""
    return world.offer(callers["merchant"], payment={"methods": ["virtual_account"]})


@pytest.fixture(scope="module")
def surplus(world: World) -> Json:
    """A break that is nobody's: somebody took money in the provider's dashboard."""
    begins = instant(world.advance("PT1S"))
    sandbox = sandbox_of(services())
    sandbox.book_by_hand(Money.parse("5", "CNY"), "by-hand")
    ends = world.advance("PT1S")
    world.advance("PT24H")
    run = world.reconciled(format_instant(begins), ends)
    found = pages(world.person("platform"), f"/v1/reconciliation-runs/{run['id']}/breaks", 100)
    return next(one for one in found if one["provider_ref"] == "by-hand")


@pytest.fixture(scope="module")
def trading(world: World, callers: dict[str, Client]) -> Json:
    return world.trading(callers["merchant"])


@pytest.fixture(scope="module")
def final(world: World, callers: dict[str, Client]) -> Json:
    """An offer whose deposits are locked for good by their payment, and which has units for every scene."""
    item = {"sku": "su7-max", "name": "SU7 Max", "price": cny("299900")}
    terms = {"preset": "su7_founders_2024", "lock": {"undo": None}, "items": [item]}
    return world.offer(callers["merchant"], **terms)


def disputed(world: World, callers: dict[str, Client], offer: Json) -> Json:
    """A claim that the merchant has made an offer for."""
    locked = world.paid(callers["buyer"], offer)
    claim = callers["buyer"].post("/v1/claims", {"deposit": locked["id"], **CLAIM}).json
    answer = {"decision": "offer", "amount": cny("5")}
    return callers["merchant"].post(f"/v1/claims/{claim['id']}/responses", answer).json


@pytest.fixture
def scene(
    world: World, callers: dict[str, Client], bank_transfers: Json, surplus: Json, trading: Json, final: Json
) -> Scene:
    offer = world.offer(callers["merchant"])
    before = instant(now_of(world.anyone())) - 30 * DAY
    deposit = world.ordered(callers["buyer"], offer)
    others = world.ordered(callers["other buyer"], offer)
    ended = world.paid(callers["buyer"], bank_transfers)
    refund = callers["buyer"].post(f"/v1/deposits/{ended['id']}/cancel").json["refund"]
    traded = world.traded(callers["buyer"], trading)
    claim = disputed(world, callers, final)
    withdrawal = callers["buyer"].post(f"/v1/deposits/{deposit['id']}/withdrawals", WITHDRAWAL).json
    question = callers["merchant"].post(f"/v1/deposits/{deposit['id']}/questions", QUESTION).json
    many = {"deposits": [deposit["id"], others["id"]], **OUT_OF_STOCK}
    bulk = callers["colleague"].post(f"/v1/offers/{offer['id']}/merchant-cancellations", many).json
    holders = {
        "holder": world.anyone(deposit["withdrawal_token"]),
        "other holder": world.anyone(others["withdrawal_token"]),
    }
    draft = {
        "title": "SU7",
        "market": "CN",
        "preset": "su7_2024",
        "items": [{"sku": "a", "name": "A", "price": {"amount": "299900", "currency": "CNY"}}],
    }
    return Scene(
        callers | holders,
        names={
            "offer_id": offer["id"],
            "deposit_id": deposit["id"],
            "withdrawal_id": withdrawal["id"],
            "refund_id": refund["id"],
            "trade_in_id": traded["trade_in"]["id"],
            "question_id": question["id"],
            "claim_id": claim["id"],
            "bulk_id": bulk["id"],
            "run_id": surplus["run"],
            "break_id": surplus["id"],
            "payment_id": deposit["payment"]["id"],
            "code": "CN",
            "name": "not-found",
            "asset": "swagger-ui.css",
            "provider": "sandbox",
        },
        bodies={
            "POST /v1/offers": draft,
            "POST /v1/offers/check": draft,
            "POST /v1/offers/{offer_id}/stock": {"sku": "su7-max", "change": 1},
            "POST /v1/deposits": world.order(offer),
            "POST /v1/deposits/{deposit_id}/payment-method": {"payment_method": "alipay"},
            "POST /v1/deposits/{deposit_id}/changes": {"items": [{"sku": "su7-max", "quantity": 2}]},
            "POST /v1/deposits/{deposit_id}/lock": {
                "intent": f"lki_{deposit['id'][4:]}_1",
                "disclosure_hash": "sha256:0",
                "acknowledgement": "LOCK 5000 CNY",
            },
            "POST /v1/deposits/{deposit_id}/ready": {"lines": [1], "inspect_at": NEW_YEAR, "evidence": ["photo:1"]},
            "POST /v1/deposits/{deposit_id}/balance-payments": {"payment_method": "alipay"},
            "POST /v1/deposits/{deposit_id}/shipments": {"lines": [{"line": 1, "quantity": 1}]},
            "POST /v1/deposits/{deposit_id}/deliveries": {
                "lines": [1],
                "delivered_at": NEW_YEAR,
                "evidence": ["photo:2"],
            },
            "POST /v1/deposits/{deposit_id}/withdrawals": WITHDRAWAL,
            "POST /v1/refunds": {
                "deposit": traded["id"],
                "amount": rupiah("1"),
                "expected_refundable": traded["refundable"],
            },
            "POST /v1/refunds/{refund_id}/destination": ACCOUNT,
            "POST /v1/refunds/{refund_id}/reroute": {"kind": "payout"},
            "POST /v1/refund-proofs/verify": dict(make_proof()),
            "POST /v1/reconciliation-runs": {
                "from": format_instant(before),
                "to": format_instant(before + next(_spans)),
            },
            "POST /v1/breaks/{break_id}/resolve": {"action": "write_off"},
            "POST /v1/trade-ins/{trade_in_id}/inspection": {"outcome": "matched"},
            "POST /v1/trade-ins/{trade_in_id}/cancel": {"by": "courier"},
            "POST /v1/deposits/{deposit_id}/merchant-cancel": OUT_OF_STOCK,
            "POST /v1/deposits/{deposit_id}/questions": QUESTION,
            "POST /v1/questions/{question_id}/answer": {"text": "The blue door."},
            "POST /v1/claims": {"deposit": claim["deposit"], "kind": "privacy", "statement": "Who has my address?"},
            "POST /v1/claims/{claim_id}/responses": {"decision": "offer", "amount": cny("6")},
            "POST /v1/claims/{claim_id}/evidence": {"evidence": ["photo:3"]},
            "POST /v1/claims/{claim_id}/ruling": {"decision": "uphold", "reason": "It was promised."},
            "POST /v1/offers/{offer_id}/merchant-cancellations": many,
        },
    )


@pytest.mark.usefixtures("world")
def test_the_table_covers_exactly_the_declared_routes() -> None:
    declared = [
        f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS if not endpoint.path.startswith("/sandbox/")
    ]
    assert len(set(declared)) == len(declared)
    assert set(TABLE) == set(declared)
    assert {len(row) for row in TABLE.values()} == {len(CALLERS)}


@pytest.mark.parametrize("route", TABLE)
def test_every_role_gets_what_the_table_says(scene: Scene, route: str) -> None:
    """Strangers go first, so that a change of theirs would show; a route's own people come after them."""
    expected = dict(zip(CALLERS, TABLE[route], strict=True))
    strangers = [caller for caller in CALLERS if expected[caller] in {401, 403, 404}]
    before = state_of(scene)
    found = {caller: scene.ask(route, caller).status for caller in strangers}
    assert state_of(scene) == before
    found |= {caller: scene.ask(route, caller).status for caller in CALLERS if caller not in strangers}
    assert found == expected


def state_of(scene: Scene) -> list[object]:
    paths = (
        *("/v1/deposits/{deposit_id}", "/v1/offers/{offer_id}", "/v1/refunds/{refund_id}"),
        *("/v1/trade-ins/{trade_in_id}", "/v1/offers/{offer_id}/merchant-cancellations/{bulk_id}"),
        "/v1/claims/{claim_id}",
    )
    answers = [scene.callers["platform"].get(path.format(**scene.names)) for path in paths]
    return [(answer.headers.get("etag"), answer.json.get("updated_at")) for answer in answers]


CHILDREN: Final = ("{deposit_id}", "{refund_id}", "{trade_in_id}", "{question_id}", "{bulk_id}", "{claim_id}")


@pytest.mark.parametrize("caller", ["other buyer", "other merchant", "other inspector"])
@pytest.mark.parametrize("route", [route for route in TABLE if any(child in route for child in CHILDREN)])
def test_what_is_anothers_looks_like_what_does_not_exist(scene: Scene, route: str, caller: str) -> None:
    """Word for word, but for the ids of the request."""
    missing = "0" * 26
    ids = {
        "deposit_id": f"dep_{missing}",
        "refund_id": f"ref_{missing}_1",
        "trade_in_id": f"trd_{missing}_1",
        "question_id": f"qst_{missing}_1",
        "claim_id": f"clm_{missing}_1",
        "bulk_id": f"bmc_{missing}",
    }
    nobody = Scene(scene.callers, scene.names | ids, scene.bodies)
    answers = [one.ask(route, caller).json for one in (scene, nobody)]
    shown = [{name: part for name, part in body.items() if name not in {"instance", "request_id"}} for body in answers]
    assert shown[0] == shown[1]


def test_nobody_agrees_to_what_they_asked_for_themselves(scene: Scene) -> None:
    """The shop is the second person, and the one who asked is not, whatever their name is otherwise allowed."""
    agree = "POST /v1/offers/{offer_id}/merchant-cancellations/{bulk_id}/approve"
    refused = scene.ask(agree, "colleague")
    assert (refused.status, refused.problem) == (403, "approval-required")
    assert scene.ask(agree, "merchant").json["status"] == "running"
    again = scene.ask(agree, "colleague")
    assert (again.status, again.problem) == (403, "approval-required")
    other = scene.ask(agree, "merchant")
    assert (other.status, other.problem) == (409, "wrong-state")


def test_lists_hold_nothing_of_others(scene: Scene) -> None:
    mine = scene.names["deposit_id"]
    assert mine in [row["id"] for row in scene.callers["buyer"].get("/v1/deposits").json["data"]]
    assert mine not in [row["id"] for row in scene.callers["other buyer"].get("/v1/deposits?limit=100").json["data"]]
    owed = pages(scene.callers["merchant"], "/v1/refunds?status=open", 100)
    assert scene.names["refund_id"] in [row["id"] for row in owed]
    assert scene.callers["other merchant"].get("/v1/refunds?status=open").json["data"] == []
    for caller in ("buyer", "other buyer"):
        assert scene.callers[caller].get("/v1/refunds?status=open").problem == "forbidden"


def test_a_header_does_not_make_a_caller_somebody_else(scene: Scene) -> None:
    other = scene.callers["other buyer"]
    owner = scene.callers["buyer"].get("/v1/deposits/{deposit_id}".format(**scene.names)).json["buyer"]
    forged: Json = dict.fromkeys(("x_buyer_id", "x_user_id", "x_amzn_oidc_identity", "x_forwarded_user"), owner)
    assert other.get("/v1/deposits/{deposit_id}".format(**scene.names), **forged).status == 404
    listed = other.get("/v1/deposits?limit=100", **forged).json["data"]
    assert scene.names["deposit_id"] not in [row["id"] for row in listed]

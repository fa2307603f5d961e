"""The served contract: valid, complete, and true of what the house answers."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app import app
from chalicelib import policies
from chalicelib.core.common.instants import format_instant, parse_instant
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.policy.terms import Terms
from chalicelib.web.edge.problems import STATUS
from chalicelib.web.edge.route import ENDPOINTS, Endpoint, Example
from chalicelib.web.offers import examples as offer_examples
from chalicelib.web.offers.answers import OfferAnswer
from chalicelib.web.service import reference
from chalicelib.web.service.openapi import load_example
from chalicelib.web.service.stories import OFFER_BODY, TRADE_IN_BODY
from chalicelib.web.tradeins import examples as trade_in_examples
from chalicelib.wiring import services
from local.dev_server import problem
from local.server import wsgi
from local.wiring import sandbox_of
from tests.web.answer_checks import ACCOUNT, attend, cny, trade_in_path
from tests.world import Client, Json, Reply, World

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = "application/problem+json"
OFFER_BESIDE_TERMS = {
    "id",
    "object",
    "version",
    "status",
    "merchant",
    "terms_hash",
    "constrained_by",
    "created_at",
    "updated_at",
}
R = Reason


def name_of(one: Endpoint) -> str:
    return f"{one.method} {one.path}"


@pytest.fixture(scope="module")
def spec(world: World) -> Json:
    return world.anyone().get("/openapi.json").json


def faults(spec: Json, schema: Json, value: Any) -> list[str]:
    """What is wrong with a value; the schema's references lead into the document's components."""
    root = {**schema, "components": spec["components"]}
    checker = OAS31Validator(root, format_checker=oas31_format_checker)
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(value)]


def operations(spec: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in spec["paths"].items():
        for method, told in methods.items():
            yield method.upper(), path, told


def operation(spec: Json, method: str, path: str) -> Json:
    """The operation that a path as called belongs to; one without parameters comes first."""
    bare = path.partition("?")[0]
    for template in sorted(spec["paths"], key=lambda template: template.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), bare) and method.lower() in spec["paths"][template]:
            told: Json = spec["paths"][template][method.lower()]
            return told
    raise AssertionError(f"{method} {path} is not in the contract")


def resolved(spec: Json, node: Json) -> Json:
    """The node itself, or what it refers to."""
    for step in node.get("$ref", "#").split("/")[1:]:
        spec = spec[step]
        node = spec
    return node


def conforms(spec: Json, method: str, path: str, reply: Reply) -> Reply:
    """The reply, after a look at whether the contract tells its status, headers, type and shape."""
    told = operation(spec, method, path)["responses"].get(str(reply.status))
    assert told is not None, f"{method} {path} answers {reply.status}: {reply.raw[:300]!r}"
    for header, described in told.get("headers", {}).items():
        assert not resolved(spec, described).get("required") or header.lower() in reply.headers, header
    if not told.get("content"):
        assert reply.raw == b""
        return reply
    media_type = reply.headers["content-type"].partition(";")[0]
    assert media_type in told["content"], media_type
    value = reply.json if media_type.endswith("json") else reply.raw.decode()
    assert faults(spec, told["content"][media_type]["schema"], value) == []
    return reply


class Asking:
    """Somebody whose every answer is held against the contract."""

    def __init__(self, spec: Json, client: Client) -> None:
        self.spec = spec
        self.client = client

    def get(self, path: str, **headers: Any) -> Reply:
        return conforms(self.spec, "GET", path, self.client.get(path, **headers))

    def post(self, path: str, body: Any = None, **headers: Any) -> Reply:
        return conforms(self.spec, "POST", path, self.client.post(path, body, **headers))

    def delete(self, path: str) -> Reply:
        return conforms(self.spec, "DELETE", path, self.client.call("DELETE", path))


# The document.


def test_the_document_is_valid_openapi(spec: Json) -> None:
    assert spec["openapi"] == "3.1.0"
    validate(spec)


def test_it_tells_every_route_and_no_other(spec: Json) -> None:
    served = {(method, path) for path, methods in app.routes.items() for method in methods if method != "OPTIONS"}
    assert {(method, path) for method, path, _ in operations(spec)} == served


def test_deployed_it_tells_nothing_of_the_sandbox() -> None:
    code = "import app; from chalicelib.web.service.openapi import document; print(document())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, check=True)
    told = json.loads(done.stdout)
    assert told["paths"]
    assert not [path for path in told["paths"] if path.startswith("/sandbox")]
    assert "sandbox" not in {tag["name"] for tag in told["tags"]}


def test_a_cold_start_does_not_load_what_builds_it() -> None:
    code = "import app, sys; print([name for name in sys.modules if name.startswith('chalicelib.web')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, check=True, text=True)
    loaded = {name.rpartition(".")[2] for name in ast.literal_eval(done.stdout)}
    assert {"routes", "contract"} <= loaded
    assert not {"openapi", "schemas", "stories", "examples"} & loaded


def test_every_schema_is_used_by_something(spec: Json) -> None:
    whole = json.dumps(spec)
    assert not [name for name in spec["components"]["schemas"] if f'"#/components/schemas/{name}"' not in whole]


@pytest.mark.parametrize(
    "rule", ["refunding + refunded + forfeited", "Idempotency-Key", "half-open", "Accept-Language"]
)
def test_it_states_the_rules_that_hold_everywhere(spec: Json, rule: str) -> None:
    assert rule in spec["info"]["description"]


def test_operations_have_names_of_their_own(spec: Json) -> None:
    names = [told["operationId"] for _, _, told in operations(spec)]
    assert len(names) == len(set(names))


def test_an_offer_answers_all_its_terms() -> None:
    assert set(OfferAnswer.__annotations__) == set(Terms.model_fields) | OFFER_BESIDE_TERMS


def test_an_offer_needs_three_members_and_its_parts_none(spec: Json) -> None:
    schemas = spec["components"]["schemas"]
    assert schemas["OfferBody"]["required"] == ["title", "market", "items"]
    assert [name for name in schemas if name.startswith("OfferBody") and "required" in schemas[name]] == [
        "OfferBody",
        "OfferBodyStockedItem",
    ]


def test_causes_and_codes_are_those_that_have_words() -> None:
    words = set(policies.read("texts/en/lines.toml"))
    assert {code.value for code in LineCode} == {name for name in words if "/" not in name}
    assert {name.partition("/")[2] for name in words if "/" in name} <= {cause.value for cause in Cause}


def test_a_trade_in_is_written_as_it_is_taken(spec: Json) -> None:
    """The version of a schedule is frozen by the service: nobody sends it, everybody reads it."""
    schemas = spec["components"]["schemas"]
    assert set(schemas["OfferBodyTradeIn"]["properties"]) == {"schedule", "values"}
    shown = trade_in_examples.mismatched().answers["not as declared"]
    assert [line["amount"]["amount"] for line in shown["refund"]["lines"]] == ["2218000", "-18000", "-40000"]


def test_a_whole_schedule_may_be_sent_to_be_checked(spec: Json) -> None:
    published = trade_in_examples.schedules().answers["in force"]["data"][0]
    content = spec["paths"]["/v1/offers/check"]["post"]["requestBody"]["content"]["application/json"]
    whole = {**TRADE_IN_BODY, "trade_in": {**TRADE_IN_BODY["trade_in"], "schedule": published}}
    assert faults(spec, content["schema"], whole) == []


# What every route declares.


@pytest.mark.parametrize("one", ENDPOINTS, ids=name_of)
def test_every_route_declares_its_answers_and_reasons(one: Endpoint) -> None:
    declared = set(one.reasons)
    assert one.answers
    assert not [status for status in one.answers if status < 400 and status in {STATUS[reason] for reason in Reason}]
    if one.guard is not None:
        assert R.NOT_FOUND in declared
    if any(parameter.name == "cursor" for parameter in one.query):
        assert R.INVALID_CURSOR in declared


@pytest.mark.parametrize("one", ENDPOINTS, ids=name_of)
def test_the_problems_of_a_route_follow_the_order_of_checks(spec: Json, one: Endpoint) -> None:
    told = {
        status: {kind.removeprefix("/problems/") for kind in kinds(answer)}
        for status, answer in spec["paths"][one.path][one.method.lower()]["responses"].items()
    }
    given = set().union(*told.values())
    assert {"rate-limited", "unknown-parameter", "busy", "internal-error", *one.reasons} <= given
    assert ({"unauthenticated", "invalid-token", "token-expired", "forbidden"} <= given) == (one.roles is not None)
    assert ("body-too-large" in given) == (one.method != "GET")
    assert ({"unsupported-media-type", "malformed-body"} <= given) == one.reads_json
    assert ({"idempotency-key-missing", "idempotency-key-invalid", "idempotency-key-reused"} <= given) == one.keyed
    for status, names in told.items():
        assert {STATUS[Reason(name)] for name in names} <= {int(status)}


def kinds(answer: Json) -> list[str]:
    if PROBLEM not in answer.get("content", {}):
        return []
    found: list[str] = answer["content"][PROBLEM]["schema"]["allOf"][1]["properties"]["type"]["enum"]
    return found


@pytest.mark.parametrize("one", ENDPOINTS, ids=name_of)
def test_headers_and_roles_are_told_where_they_count(spec: Json, one: Endpoint) -> None:
    told = spec["paths"][one.path][one.method.lower()]
    names = {resolved(spec, given)["name"] for given in told["parameters"]}
    assert ("Idempotency-Key" in names) == one.keyed
    assert ("If-Match" in names) == (R.STALE_VERSION in one.reasons)
    assert ("security" in told) == (one.roles is not None)
    assert set(told.get("x-roles", ())) == (one.roles or set())
    assert set(re.findall(r"\{(\w+)\}", one.path)) == {
        given["name"] for given in told["parameters"] if given.get("in") == "path"
    }


# Examples.


@pytest.mark.parametrize(
    "one",
    [endpoint for endpoint in ENDPOINTS if endpoint.body is not None or endpoint.raw_body is not None],
    ids=name_of,
)
def test_every_body_has_an_example_that_fits(spec: Json, one: Endpoint) -> None:
    content = spec["paths"][one.path][one.method.lower()]["requestBody"]["content"]["application/json"]
    assert faults(spec, content["schema"], content["example"]) == []


def test_every_example_of_an_answer_fits(spec: Json) -> None:
    shown = [
        (content["schema"], example["value"])
        for _, _, told in operations(spec)
        for answer in told["responses"].values()
        for media_type, content in answer.get("content", {}).items()
        if media_type == "application/json"
        for example in content.get("examples", {}).values()
    ]
    assert len(shown) >= sum(bool(load_example(endpoint).answers) for endpoint in ENDPOINTS)
    assert [faults(spec, schema, value) for schema, value in shown] == [[]] * len(shown)


def test_every_example_of_a_problem_fits_wherever_it_is_shown(spec: Json) -> None:
    for _, _, told in operations(spec):
        for answer in told["responses"].values():
            content = answer.get("content", {}).get(PROBLEM, {"examples": {}})
            for example in content["examples"].values():
                assert faults(spec, content["schema"], resolved(spec, example)["value"]) == []


def test_every_example_belongs_to_a_route() -> None:
    named = {(folder_of(endpoint), endpoint.example) for endpoint in ENDPOINTS if isinstance(endpoint.example, str)}
    made = {
        (folder, name)
        for folder in {folder for folder, _ in named}
        for name, function in vars(import_module(f"{folder}.examples")).items()
        if callable(function) and getattr(function, "__annotations__", {}).get("return") is Example
    }
    assert made == named


def folder_of(one: Endpoint) -> str:
    return one.view.__module__.rpartition(".")[0]


def test_the_example_of_an_offer_is_what_publishing_it_answers(world: World) -> None:
    published = world.merchant().post("/v1/offers", dict(OFFER_BODY)).json
    shown = offer_examples.published().answers["published"]
    own = {"id", "merchant", "created_at", "updated_at"}
    assert {name: value for name, value in published.items() if name not in own} == {
        name: value for name, value in shown.items() if name not in own
    }


# The house keeps it.


def test_a_journey_answers_what_the_contract_says(world: World, spec: Json) -> None:
    nobody, merchant = Asking(spec, world.anyone()), Asking(spec, world.merchant())
    buyer, stranger = Asking(spec, world.buyer()), Asking(spec, world.buyer())
    body = dict(OFFER_BODY)

    assert merchant.post("/v1/offers/check", body).json["ok"]
    assert not merchant.post("/v1/offers/check", {"title": ""}).json["ok"]
    assert merchant.post("/v1/offers", {"title": ""}).status == 422
    assert merchant.post("/v1/offers", b"{").status == 400
    assert merchant.post("/v1/offers", body, idempotency_key="").status == 400
    assert merchant.post("/v1/offers", body, content_type="text/plain").status == 415
    assert buyer.post("/v1/offers", body).status == 403
    assert nobody.post("/v1/offers", body).status == 401
    offer = merchant.post("/v1/offers", {**body, "limits": {"per_buyer": None}}).json
    at_offer = f"/v1/offers/{offer['id']}"
    assert nobody.get(at_offer).json["status"] == "open"
    assert nobody.get("/v1/offers?limit=2").status == 200
    assert nobody.get("/v1/offers?cursor=x").status == 400
    assert nobody.get("/v1/offers?limit=0").status == 422
    assert nobody.get("/v1/offers/none").status == 404
    assert merchant.post(f"{at_offer}/stock", {"sku": "su7-max", "change": 1}).status == 200

    order = world.order(offer)
    ordered = buyer.post("/v1/deposits", order, idempotency_key="contract-1")
    assert buyer.post("/v1/deposits", order, idempotency_key="contract-1").raw == ordered.raw
    assert buyer.post("/v1/deposits", {**order, "priority_pass": "x"}, idempotency_key="contract-1").status == 422
    assert buyer.post("/v1/deposits", {**order, "terms_hash": "sha256:0"}).status == 409
    deposit = ordered.json
    at_deposit = f"/v1/deposits/{deposit['id']}"
    assert stranger.get(at_deposit).status == 404
    assert buyer.post(f"{at_deposit}/payment-method", {"payment_method": "alipay"}, if_match='"9-locked"').status == 412
    changed = buyer.post(f"{at_deposit}/payment-method", {"payment_method": "alipay"}).json
    assert nobody.get(changed["payment"]["next_action"]["url"]).status == 303
    assert nobody.post(f"/sandbox/payments/{changed['payment']['id']}", {"outcome": "succeeded"}).status == 200
    assert nobody.get(f"/pay/{changed['payment']['id']}").status == 409

    cooling = buyer.get(at_deposit).json
    assert cooling["status"] == "cooling_off"
    assert buyer.get(f"{at_deposit}/refund-preview?cause=buyer_cancel").status == 200
    assert buyer.get(f"{at_deposit}/refund-preview?cause=withdrawal").status == 409
    assert buyer.get(f"{at_deposit}/refund-preview").status == 422
    assert len(buyer.get(f"{at_deposit}/refund-curve").json["points"]) == 2
    assert buyer.post(f"{at_deposit}/unlock").status == 409
    cancelled = buyer.post(f"{at_deposit}/cancel", {"note": None}).json
    assert buyer.post(f"{at_deposit}/cancel").status == 409
    attend(deposit)
    assert buyer.get(f"/v1/refunds/{cancelled['refund']['id']}").json["status"] == "succeeded"
    assert merchant.get(f"/v1/refunds?deposit={deposit['id']}").status == 200
    assert merchant.get("/v1/refunds?status=open").status == 200
    assert buyer.get(f"{at_deposit}/events?limit=3").json["next_cursor"] is not None
    assert merchant.get(f"/v1/deposits?offer={offer['id']}").json["data"]
    assert buyer.get("/v1/deposits?status=cancelled").json["data"]
    assert merchant.post(f"{at_offer}/close").json["status"] == "closed"
    assert buyer.post("/v1/deposits", order).status == 409


def test_a_lock_and_what_follows_it_answer_what_the_contract_says(world: World, spec: Json) -> None:
    person, staff = world.buyer(), world.merchant()
    buyer, merchant = Asking(spec, person), Asking(spec, staff)
    free = world.paid(person, world.offer(staff))
    at = f"/v1/deposits/{free['id']}"
    assert buyer.post(f"{at}/changes", {"items": [{"sku": "su7-max", "quantity": 2}]}).status == 200
    assert buyer.post(f"{at}/changes", {"items": []}).status == 422
    shown = buyer.post(f"{at}/lock-intents").json
    words = {"intent": shown["id"], "disclosure_hash": shown["disclosure_hash"]}
    lock = {**words, "acknowledgement": shown["acknowledgement"]}
    assert buyer.post(f"{at}/lock", lock).status == 409
    later = parse_instant(shown["confirmable_at"])
    assert buyer.post(f"{at}/lock", lock, asked=later).json["lock"]["by"] == "buyer"
    assert buyer.post(f"{at}/lock-intents", asked=later).status == 409
    assert buyer.post(f"{at}/unlock", asked=later).json["lock"] is None
    assert merchant.post(f"{at}/buyer-default").status == 409

    final = f"/v1/deposits/{world.final(person, staff)['id']}"
    ready = {"lines": [1], "inspect_at": "2026-01-01T00:00:00Z", "evidence": ["photo:1"]}
    assert merchant.post(f"{final}/ready", {**ready, "evidence": []}).status == 422
    assert merchant.post(f"{final}/ready", ready).json["balance_due_at"]
    assert merchant.post(f"{final}/shipments", {"lines": [{"line": 1, "quantity": 1}]}).status == 409
    opened = buyer.post(f"{final}/balance-payments", {"payment_method": "alipay"}).json
    world.pay(opened)
    shipped = merchant.post(f"{final}/shipments", {"lines": [{"line": 1, "quantity": 1}]}).json
    assert shipped["status"] == "completed"
    arrived = {"lines": [1], "delivered_at": shipped["updated_at"], "evidence": ["photo:2"]}
    assert merchant.post(f"{final}/deliveries", arrived).status == 200
    assert merchant.post(f"{final}/deliveries", arrived).status == 409
    assert buyer.post(f"{final}/receipt").status == 200
    stated = buyer.post(f"{final}/withdrawals", {"name": "Ana", "reach": "ana@example.com"}).json
    assert buyer.get(f"{final}/withdrawals/{stated['id']}").json == stated
    assert buyer.post(f"{final}/withdrawals/{stated['id']}/confirm").json["status"] == "confirmed"
    assert buyer.post(f"{final}/withdrawals/{stated['id']}/confirm").status == 409
    assert buyer.get(f"{final}/events").status == 200
    assert buyer.get(f"/v1/refunds?deposit={opened['id']}").status == 200


def test_money_kept_after_the_lock_answers_what_the_contract_says(world: World, spec: Json) -> None:
    person = world.buyer()
    paid = world.paid(person)
    after = parse_instant(paid["window"]["ends_at"])
    world.set_clock(format_instant(after))
    buyer = Asking(spec, person)
    assert buyer.get(f"/v1/deposits/{paid['id']}").json["status"] == "locked"
    ended = buyer.post(f"/v1/deposits/{paid['id']}/cancel").json
    assert [line["code"] for line in ended["refund"]["lines"]] == ["paid", "forfeited"]


def test_a_trade_in_answers_what_the_contract_says(world: World, spec: Json) -> None:
    person, staff = world.buyer(), world.merchant()
    buyer, merchant, inspector = (Asking(spec, who) for who in (person, staff, world.inspector()))
    nobody = Asking(spec, world.anyone())
    fees = "/v1/trade-in/fees?schedule=id-tukar-tambah&category=phone&price"
    assert nobody.get(f"{fees}=3000000").status == 200
    assert nobody.get(f"{fees}=49999").status == 409
    assert nobody.get(f"{fees}=x").status == 422
    whole = nobody.get("/v1/trade-in/schedules").json["data"][0]
    trade_in = {**TRADE_IN_BODY["trade_in"], "schedule": whole}
    assert merchant.post("/v1/offers/check", {**TRADE_IN_BODY, "trade_in": trade_in}).json["ok"]
    assert merchant.post("/v1/offers", {**TRADE_IN_BODY, "trade_in": trade_in}).status == 422
    offer = merchant.post("/v1/offers", {**TRADE_IN_BODY, "limits": {"per_buyer": None}}).json
    order = world.order(offer, trade_in={"category": "phone", "model": "iphone-12-128"})
    first, second = (buyer.post("/v1/deposits", order).json for _ in range(2))
    assert buyer.post("/v1/deposits", {**order, "trade_in": {"category": "tv", "model": "x"}}).status == 422
    for deposit in (first, second):
        world.pay(deposit)
    at, other = (trade_in_path(deposit) for deposit in (first, second))
    assert buyer.get(at).json["status"] == "awaiting_handover"
    assert buyer.get(f"{at}x").status == 404
    found = {"outcome": "mismatched", "grounds": ["PH_CONDITION_MISMATCH"], "evidence": ["photo:1"]}
    assert inspector.post(f"{at}/inspection", {**found, "evidence": []}).status == 422
    assert inspector.post(f"{at}/inspection", found, if_match='"1-awaiting_payment"').status == 412
    assert inspector.post(f"{at}/inspection", found).json["refund"]["cause"] == "trade_in_mismatch"
    assert inspector.post(f"{at}/inspection", found).status == 409
    assert inspector.post(f"{other}/inspection", {"outcome": "matched"}).json["status"] == "matched"
    assert merchant.post(f"{other}/cancel", {"by": "nobody"}).status == 422
    assert merchant.post(f"{other}/cancel", {"by": "courier"}).json["status"] == "cancelled"
    assert merchant.post(f"{other}/cancel", {"by": "courier"}).status == 409
    assert buyer.get(f"/v1/deposits/{first['id']}").json["trade_in"]["status"] == "mismatched"
    assert buyer.get(f"/v1/deposits/{first['id']}/events").status == 200
    assert buyer.get(f"/v1/refunds?deposit={first['id']}").status == 200


def test_refunds_and_their_proofs_answer_what_the_contract_says(world: World, spec: Json) -> None:
    person, staff = world.buyer(), world.merchant()
    buyer, merchant, platform, nobody = (
        Asking(spec, who) for who in (person, staff, world.person("platform"), world.anyone())
    )
    offer = world.offer(staff, payment={"methods": ["card", "virtual_account"]})
    deposit = world.paid(person, offer)
    body = {"deposit": deposit["id"], "amount": cny("60"), "expected_refundable": cny("5000"), "note": None}
    assert merchant.post("/v1/refunds", {**body, "amount": cny("0")}).status == 422
    assert merchant.post("/v1/refunds", {**body, "amount": {"amount": "1", "currency": "IDR"}}).status == 422
    assert merchant.post("/v1/refunds", {**body, "expected_refundable": cny("1")}).status == 412
    assert merchant.post("/v1/refunds", {**body, "amount": cny("5001")}).status == 409
    assert buyer.post("/v1/refunds", body).status == 403
    granted = merchant.post("/v1/refunds", body, idempotency_key="contract-g")
    assert granted.status == 201
    assert merchant.post("/v1/refunds", body, idempotency_key="contract-g").raw == granted.raw
    refund = granted.json
    at = f"/v1/refunds/{refund['id']}"
    assert buyer.post(f"{at}/destination", ACCOUNT).status == 409
    assert platform.post(f"{at}/reroute", {"kind": "payout"}).json["status"] == "requires_action"
    assert platform.post(f"{at}x/reroute", {"kind": "payout"}).status == 404
    assert buyer.post(f"{at}/destination", {**ACCOUNT, "consent": False}).status == 422
    assert buyer.post(f"{at}/destination", ACCOUNT, if_match='"1-locked"').status == 412
    named = buyer.post(f"{at}/destination", ACCOUNT).json
    assert named["destination"]["payable_from"]
    attend(deposit)
    assert platform.post(f"{at}/reroute", {"kind": "payout"}).status == 409
    assert buyer.get(f"/v1/deposits/{deposit['id']}").json["refundable"] == cny("4940")
    assert buyer.get(f"/v1/deposits/{deposit['id']}/events").status == 200
    for who in (buyer, merchant, platform):
        assert who.get(f"{at}/proof").json["object"] == "refund_proof"
    assert buyer.get(f"{at}x/proof").status == 404
    proof = buyer.get(f"{at}/proof").json
    assert nobody.post("/v1/refund-proofs/verify", proof).json == {"valid": True, "differences": []}
    assert nobody.post("/v1/refund-proofs/verify", {**proof, "cause": "claim"}).json["differences"]
    assert nobody.post("/v1/refund-proofs/verify", {}).status == 422
    assert nobody.post("/v1/refund-proofs/verify", b"[]").status == 400
    dispute = {"outcome": "chargeback_opened"}
    assert nobody.post(f"/sandbox/payments/{deposit['payment']['id']}", dispute).status == 200
    rest = {**body, "expected_refundable": cny("0")}
    assert merchant.post("/v1/refunds", rest).json["type"] == "/problems/funds-in-dispute"
    assert buyer.get(f"/v1/deposits/{deposit['id']}/events").status == 200


def test_cancellations_answer_what_the_contract_says(own: World, spec: Json) -> None:
    person, staff = own.buyer(), own.merchant()
    buyer, merchant, colleague = Asking(spec, person), Asking(spec, staff), Asking(spec, own.merchant())
    nobody, platform = Asking(spec, own.anyone()), Asking(spec, own.person("platform"))
    reasons = nobody.get("/v1/cancellation-reasons").json["data"]
    offer = own.offer(staff, cancellation_reasons=[reason["code"] for reason in reasons])
    first, second, third = (own.paid(person, offer) for _ in range(3))
    at, why = f"/v1/deposits/{first['id']}", {"reason": "OUT_OF_STOCK", "evidence": ["stock:1"]}

    assert merchant.post(f"{at}/questions", {"kind": "score", "text": "x"}).status == 422
    question = merchant.post(f"{at}/questions", {"kind": "address", "text": "Where?"}).json
    for who in (buyer, merchant, platform):
        assert who.get(f"/v1/questions/{question['id']}").json == question
        assert who.get(f"/v1/questions?deposit={first['id']}").json["data"] == [question]
    assert merchant.post(f"/v1/questions/{question['id']}/answer", {"text": "There."}).status == 403
    assert buyer.post(f"/v1/questions/{question['id']}/answer", {"text": "There."}).json["status"] == "answered"
    assert buyer.post(f"/v1/questions/{question['id']}/answer", {"text": "There."}).status == 409
    assert buyer.get(f"/v1/questions/{question['id']}x").status == 404

    assert merchant.post(f"{at}/merchant-cancel", {**why, "evidence": []}).status == 422
    assert merchant.post(f"{at}/merchant-cancel", {**why, "reason": "BAD_WEATHER"}).status == 409
    assert merchant.post(f"{at}/merchant-cancel", {**why, "reason": "MERCHANT_OTHER", "note": "x" * 40}).status == 403
    assert merchant.post(f"{at}/merchant-cancel", why, if_match='"1-locked"').status == 412
    assert merchant.post(f"{at}/merchant-cancel", why).json["cancellation"]["reason"] == "OUT_OF_STOCK"
    assert merchant.post(f"{at}/merchant-cancel", why).status == 409
    assert merchant.post(f"{at}/questions", {"kind": "address", "text": "Where?"}).status == 409
    assert buyer.get(at).json["money"]["compensation"] == cny("5000")
    assert buyer.get(f"{at}/events").status == 200
    assert buyer.get(f"/v1/refunds?deposit={first['id']}").json["data"][0]["cause"] == "seller_default_compensation"
    held = buyer.get("/v1/priority-passes?limit=1").json["data"][0]
    assert buyer.get("/v1/priority-passes?cursor=x").status == 400
    ordered = buyer.post("/v1/deposits", own.order(offer, priority_pass=held["id"]))
    assert ordered.json["priority_pass"] == held["id"]
    assert buyer.post("/v1/deposits", own.order(offer, priority_pass=held["id"])).status == 409
    assert buyer.post("/v1/deposits", own.order(offer, priority_pass=f"{held['id']}1")).status == 404
    assert buyer.get("/v1/priority-passes").json["data"][0]["used_for"] == ordered.json["id"]
    own.pay(ordered.json)
    two = {"items": [{"sku": "su7-max", "quantity": 2}]}
    assert buyer.post(f"/v1/deposits/{ordered.json['id']}/changes", two).json["type"] == "/problems/pass-not-valid"

    bulks = f"/v1/offers/{offer['id']}/merchant-cancellations"
    many = {"deposits": [first["id"], second["id"], third["id"]], **why}
    assert merchant.post(bulks, {**many, "deposits": []}).status == 422
    assert merchant.post(bulks, {**many, "reason": "BAD_WEATHER"}).status == 409
    bulk = merchant.post(bulks, many).json
    assert merchant.get(f"{bulks}/{bulk['id']}").json == bulk
    assert merchant.post(f"{bulks}/{bulk['id']}/approve").status == 403
    assert colleague.post(f"{bulks}/{bulk['id']}/approve").json["status"] == "running"
    assert colleague.post(f"{bulks}/{bulk['id']}/approve").status == 409
    assert colleague.post(f"{bulks}/x/approve").status == 404
    own.run("close_windows")
    assert platform.get(f"{bulks}/{bulk['id']}").json["counts"]["cancelled"] == 2
    assert platform.get(f"{bulks}/x").status == 404
    assert nobody.get(f"/v1/offers/{offer['id']}/cancellations").json["cancelled"] == 3
    assert nobody.get("/v1/offers/x/cancellations").status == 404


def test_claims_answer_what_the_contract_says(world: World, spec: Json) -> None:
    person, staff = world.buyer(), world.merchant()
    buyer, merchant, platform = (Asking(spec, who) for who in (person, staff, world.person("platform")))
    deposit = world.five_lines(person, staff)
    body = {"deposit": deposit["id"], "kind": "short_shipment", "statement": "Two lines.", "evidence": ["photo:1"]}
    about = {**body, "lines": [{"line": 4, "quantity": 3}, {"line": 5, "quantity": 1}]}
    assert buyer.post("/v1/claims", body).status == 422
    assert buyer.post("/v1/claims", about, if_match='"1-locked"').status == 412
    assert merchant.post("/v1/claims", about).status == 403
    claim = buyer.post("/v1/claims", about).json
    at = f"/v1/claims/{claim['id']}"
    assert buyer.post("/v1/claims", about).status == 409
    for who in (buyer, merchant, platform):
        assert who.get(at).json == claim
        assert who.get(f"/v1/claims?deposit={deposit['id']}").json["data"] == [claim]
    assert buyer.get("/v1/claims").status == 422
    assert buyer.get("/v1/claims?status=open").status == 403
    assert merchant.get("/v1/claims?status=open&limit=1").status == 200
    assert merchant.get("/v1/claims?status=open&cursor=x").status == 400
    assert buyer.get(f"{at}x").status == 404
    assert merchant.post(f"{at}/responses", {"decision": "offer"}).status == 422
    low = {"decision": "offer", "amount": {"amount": "50000", "currency": "IDR"}}
    assert merchant.post(f"{at}/responses", low).json["owed"] == claim["owed"]
    assert merchant.post(f"{at}/responses", {**low, "amount": claim["owed"]}).json["status"] == "offered"
    assert merchant.post(f"{at}/evidence", {"evidence": ["scan:1"]}).json["evidence"] == ["photo:1", "scan:1"]
    assert buyer.post(f"{at}/escalate").json["status"] == "in_review"
    assert buyer.post(f"{at}/accept-offer").status == 409
    assert merchant.post(f"{at}/ruling", {"decision": "uphold", "reason": "x"}).status == 403
    assert platform.post(f"{at}/ruling", {"decision": "uphold", "reason": "Nothing left."}).json["refunds"]
    assert buyer.post(f"{at}/withdraw").json["type"] == "/problems/claim-closed"
    assert buyer.get(f"/v1/deposits/{deposit['id']}").json["status"] == "completed"
    assert buyer.get(f"/v1/deposits/{deposit['id']}/events").status == 200
    refund = buyer.get(f"/v1/refunds?deposit={deposit['id']}").json["data"][0]
    proof = buyer.get(f"/v1/refunds/{refund['id']}/proof").json
    assert Asking(spec, world.anyone()).post("/v1/refund-proofs/verify", proof).json["valid"]


def test_reconciliation_answers_what_the_contract_says(own: World, spec: Json) -> None:
    platform, service = Asking(spec, own.person("platform")), Asking(spec, own.person("service"))
    sandbox = sandbox_of(services())
    begins = own.advance("PT1S")
    own.paid(own.buyer())
    sandbox.book_by_hand(Money.parse("5", "CNY"), "by hand")
    own.advance("PT25H")
    span = {"from": begins, "to": own.advance("PT1S")}
    runs = "/v1/reconciliation-runs"
    assert platform.post(runs, {"from": begins, "to": begins}).status == 422
    run = platform.post(runs, span).json
    assert service.post(runs, span).status == 409
    at = f"{runs}/{run['id']}"
    assert [platform.get(f"{at}{part}").status for part in REPORTS] == [200] * len(REPORTS)
    own.run("reconcile")
    assert [service.get(f"{at}{part}").status for part in REPORTS] == [200] * len(REPORTS)
    assert service.get(at).json["counts"] == {
        "matched": 1,
        "repaired": 0,
        "in_transit": 0,
        "breaks": 1,
        "unreadable": 0,
    }
    assert platform.get(f"{runs}?limit=1").status == 200
    assert platform.get(f"{runs}?cursor=x").status == 400
    assert platform.get(f"{runs}/x").status == 404
    (found,) = platform.get(f"{at}/breaks").json["data"]
    path = f"/v1/breaks/{found['id']}/resolve"
    assert platform.post(path, {"action": "retry"}).status == 422
    assert platform.post(path, {"action": "accept_provider", "note": "ours"}).json["note"] == "ours"
    assert platform.post(path, {"action": "write_off"}).status == 409
    assert service.post(path, {"action": "write_off"}).status == 403
    assert platform.post("/v1/breaks/x/resolve", {"action": "write_off"}).status == 404
    assert platform.get(f"{at}/breaks").json["data"][0]["status"] == "resolved"


REPORTS = ("", "/breaks", "/report.csv", "/report.html")


def test_what_stands_beside_deposits_answers_what_the_contract_says(world: World, spec: Json) -> None:
    nobody = Asking(spec, world.anyone())
    for path in ("/healthz", "/v1/presets", "/v1/markets", "/v1/markets/CN", "/openapi.json", "/docs"):
        assert nobody.get(path).status == 200, path
    assert nobody.get("/v1/markets/XX").status == 404
    assert nobody.get("/problems/wrong-state").status == 200
    assert nobody.get("/problems/none").status == 404
    assert nobody.get("/pay/none").status == 404
    assert nobody.post("/v1/provider-events/sandbox", {"data": {"id": "x"}}).status == 401
    assert nobody.post("/v1/provider-events/other", {"data": {"id": "x"}}).status == 404


def test_the_sandbox_answers_what_the_contract_says(world: World, spec: Json) -> None:
    nobody = Asking(spec, world.anyone())
    assert nobody.post("/sandbox/tokens", {"role": "platform"}).status == 200
    assert nobody.post("/sandbox/tokens", {"role": "merchant"}).status == 422
    assert nobody.get("/sandbox/clock").status == 200
    assert nobody.post("/sandbox/clock", {"advance": "PT1S"}).status == 200
    assert nobody.post("/sandbox/faults", {"on": "settlement", "fault": "line_missing"}).status == 201
    assert nobody.post("/sandbox/faults", {"on": "settlement", "fault": "none"}).status == 422
    assert nobody.delete("/sandbox/faults").status == 204
    assert nobody.get("/sandbox/provider/refunds?deposit=none").status == 200
    assert nobody.post("/sandbox/jobs/send_refunds").status == 200
    assert nobody.post("/sandbox/jobs/none").status == 404
    assert nobody.get("/sandbox/checkout/none").status == 200
    assert nobody.post("/sandbox/payments/none", {"outcome": "failed"}).status == 404


# The page.


def test_the_page_takes_nothing_from_elsewhere(world: World) -> None:
    found = world.anyone().get("/docs")
    assert found.headers["content-type"].startswith("text/html")
    assert "validatorUrl: null" in found.raw.decode()
    assert "persistAuthorization: true" in found.raw.decode()
    assert not re.findall(r"https?://|//\w", found.raw.decode())
    assert "default-src 'none'" in found.headers["content-security-policy"]


@pytest.mark.parametrize("name", reference.ASSETS)
def test_its_files_come_from_disk_and_may_be_kept(world: World, name: str) -> None:
    found = world.anyone().get(f"/docs/assets/{name}")
    assert found.status == 200
    assert found.headers["content-type"] == reference.ASSETS[name]
    assert "max-age" in found.headers["cache-control"]
    assert len(found.raw) > 100_000


@pytest.mark.parametrize("name", ["index.css", "..", "..%2f__init__.py", "swagger-editor.js"])
def test_no_other_file_is_given(world: World, name: str) -> None:
    assert world.anyone().get(f"/docs/assets/{name}").status == 404


def test_without_the_package_the_page_leads_to_the_document(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "PACKAGE", "a_package_that_nobody_installs")
    assert b'href="/openapi.json"' in world.anyone().get("/docs").raw
    assert world.anyone().get("/docs/assets/swagger-ui.css").status == 404


# Requests that nobody thought of. The sandbox's are left out: they would move every other test's clock and arm faults.

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DEPLOYED = [endpoint for endpoint in ENDPOINTS if endpoint.tag != "sandbox"]
# Where every text fits there is nothing to get wrong.
CAN_BE_WRONG = [one for one in DEPLOYED if one.query or one.body is not None or one.raw_body == "OfferBody"]


@pytest.fixture(scope="module")
def invented(world: World) -> Any:
    """The document as it is served, to invent requests from."""
    assert world.anyone().get("/healthz").status == 200
    return schemathesis.openapi.from_wsgi("/openapi.json", application)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The house as a server would ask it; the test client leaves out who calls, and the query of the raw address."""
    address = f"{environ['REQUEST_URI'].partition('?')[0]}?{environ['QUERY_STRING']}"
    return wsgi(app, problem)({**environ, "REQUEST_URI": address, "REMOTE_ADDR": "127.0.0.1"}, start_response)


@pytest.mark.parametrize("one", DEPLOYED, ids=name_of)
def test_an_invented_request_that_fits_gets_an_answer_of_the_contract(
    world: World, invented: Any, one: Endpoint
) -> None:
    ask(invented[one.path][one.method].as_strategy(generation_mode=GenerationMode.POSITIVE), as_one_of(world, one))


@pytest.mark.parametrize("one", CAN_BE_WRONG, ids=name_of)
def test_an_invented_request_that_does_not_fit_gets_an_answer_of_the_contract(
    world: World, invented: Any, one: Endpoint
) -> None:
    ask(invented[one.path][one.method].as_strategy(generation_mode=GenerationMode.NEGATIVE), as_one_of(world, one))


def ask(cases: Any, headers: dict[str, str]) -> None:
    @settings(max_examples=4, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def asked(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    asked()


def as_one_of(world: World, one: Endpoint) -> dict[str, str]:
    """The token of somebody who may ask this route."""
    if not one.roles:
        return {}
    role = min(one.roles)
    staff = "mer_invented" if role in {"merchant", "inspector"} else None
    person = world.person(role, staff, sub=f"invented-{role}")
    return {"Authorization": f"Bearer {person.token}"}

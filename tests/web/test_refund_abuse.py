"""Bad input to refunds, proofs and reconciliation: never our fault, the right problem, and the field that is wrong."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, format_instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit import fold
from chalicelib.wiring import services
from local.wiring import sandbox_of
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    check_answer,
    check_refusal,
    cny,
    instant,
    now_of,
    pages,
    path_of,
    refund_at,
    refunds_of,
)
from tests.world import Client, Json, Reply, World, rupiah

BAD, TEXT = "invalid-request", "application/json"
NOTE: Final = "x" * 2_000


@dataclass(frozen=True)
class Scene:
    """A paid deposit, a refund that asks for an account, one that is done, a proof, a run and its break."""

    world: World
    buyer: Client
    merchant: Client
    rival: Client
    platform: Client
    offer: Json
    deposit: Json
    refund: Json
    done: Json
    proof: Json
    surplus: Json

    def grant(self, **changes: Any) -> Reply:
        body = {
            "deposit": self.deposit["id"],
            "amount": cny("1"),
            "expected_refundable": self.deposit["refundable"],
            **changes,
        }
        return self.merchant.post("/v1/refunds", body)

    def name(self, refund: Json | None = None, **changes: Any) -> Reply:
        return self.buyer.post(f"/v1/refunds/{(refund or self.refund)['id']}/destination", {**ACCOUNT, **changes})

    def reroute(self, refund: Json | None = None, **changes: Any) -> Reply:
        path = f"/v1/refunds/{(refund or self.done)['id']}/reroute"
        return self.platform.post(path, {"kind": "payout", **changes})

    def run(self, **body: Any) -> Reply:
        return self.platform.post("/v1/reconciliation-runs", body)

    def resolve(self, **body: Any) -> Reply:
        return self.platform.post(f"/v1/breaks/{self.surplus['id']}/resolve", body)

    def verify(self, proof: Any) -> Reply:
        raw = proof if isinstance(proof, bytes) else json.dumps(proof).encode()
        return self.world.anyone().post("/v1/refund-proofs/verify", raw)


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    buyer, merchant = world.buyer(), world.merchant("mer_refunds")
    offer = world.offer(merchant, payment={"methods": ["virtual_account", "card"]}, window=FOREVER)
    deposit, ended, done = (world.paid(buyer, offer) for _ in range(3))
    refund = accepted(buyer.post(f"{path_of(ended)}/cancel"))["refund"]
    settled = accepted(buyer.post(f"{path_of(done)}/cancel"))["refund"]
    accepted(buyer.post(f"/v1/refunds/{settled['id']}/destination", ACCOUNT))
    services().deposit_worker().process_due(done["id"], "test/abuse")
    proof = accepted(buyer.get(f"/v1/refunds/{settled['id']}/proof"))
    staff = world.person("platform")
    return Scene(
        *(world, buyer, merchant, world.merchant("mer_rival"), staff, offer, deposit, refund, settled, proof),
        surplus(world, staff),
    )


FOREVER: Final = {"kind": "elapsed", "length": "P365D"}


def surplus(world: World, platform: Client) -> Json:
    """A break without a refund: money that somebody took in the provider's dashboard."""
    sandbox = sandbox_of(services())
    begins = world.advance("PT1S")
    sandbox.book_by_hand(Money.parse("7", "CNY"), "a hand")
    ends = world.advance("PT1S")
    world.advance("PT24H")
    run = world.reconciled(begins, ends)
    rows = pages(platform, f"/v1/reconciliation-runs/{run['id']}/breaks", 100)
    return next(row for row in rows if row["provider_ref"] == "a hand")


Ask = Callable[[Scene], Reply]
Row = tuple[str, Ask, int, str, str | None]
OTHER: Final = "0" * 26
AMOUNTS: Final[list[tuple[str, Any, str, str]]] = [
    # what                amount                                      problem              pointer
    ("nothing",           cny("0"),                                   BAD,                 "/amount"),
    ("nothing, written",  cny("0.00"),                                BAD,                 "/amount"),
    ("less than nothing", cny("-1"),                                  BAD,                 "/amount"),
    ("minus nothing",     cny("-0"),                                  BAD,                 "/amount"),
    ("thousandths",       cny("0.001"),                               BAD,                 "/amount"),
    ("another currency",  rupiah("1"),                                "currency-mismatch", "/amount"),
    ("lower case",        {"amount": "1", "currency": "cny"},         BAD,                 "/amount"),
    ("no currency",       {"amount": "1"},                            BAD,                 "/amount"),
    ("a currency of none", {"amount": "1", "currency": "XXXX"},       BAD,                 "/amount"),
    ("a member more",     {**cny("1"), "minor": 100},                 BAD,                 "/amount"),
    ("14 digits",         cny("1" + "0" * 13),                        BAD,                 "/amount"),
    ("10,000 digits",     cny("9" * 10_000),                          BAD,                 "/amount"),
    ("a number",          {"amount": 1, "currency": "CNY"},           BAD,                 "/amount"),
    ("a fraction",        {"amount": 1.5, "currency": "CNY"},         BAD,                 "/amount"),
    ("true",              {"amount": True, "currency": "CNY"},        BAD,                 "/amount"),
    ("1e3",               cny("1e3"),                                 BAD,                 "/amount"),
    ("NaN",               cny("NaN"),                                 BAD,                 "/amount"),
    ("a separator",       cny("1,000"),                               BAD,                 "/amount"),
    ("full-width digits", cny("\uff11"),                              BAD,                 "/amount"),
    ("a text",            "1 CNY",                                    BAD,                 "/amount"),
    ("a bare number",     1,                                          BAD,                 "/amount"),
    ("null",              None,                                       BAD,                 "/amount"),
    ("a list",            [cny("1")],                                 BAD,                 "/amount"),
]  # fmt: skip


def granted(**changes: Any) -> Ask:
    return lambda scene: scene.grant(**changes)


def named(**changes: Any) -> Ask:
    return lambda scene: scene.name(**changes)


def rerouted(**changes: Any) -> Ask:
    return lambda scene: scene.reroute(**changes)


def ran(**body: Any) -> Ask:
    return lambda scene: scene.run(**body)


def resolved(**body: Any) -> Ask:
    return lambda scene: scene.resolve(**body)


def of(make: Callable[[Scene], Any]) -> Ask:
    """Goodwill on what is no deposit of one's own."""
    return lambda scene: scene.grant(deposit=make(scene))


def without(body: Json, name: str) -> Json:
    return {member: part for member, part in body.items() if member != name}


def bare(path: str, raw: bytes) -> Ask:
    """Bytes as the body of a command on the refund that asks, or of any other route."""

    def ask(scene: Scene) -> Reply:
        who = {"destination": scene.buyer, "resolve": scene.platform, "runs": scene.platform}.get(
            path.rpartition("/")[2].rpartition("-")[2], scene.merchant
        )
        return who.post(path.format(refund=scene.refund["id"], surplus=scene.surplus["id"]), raw)

    return ask


GRANTS: Final[list[Row]] = [
    *(("grant " + what, granted(amount=amount), 422, problem, pointer) for what, amount, problem, pointer in AMOUNTS),
    *(("seen " + what, granted(expected_refundable=amount), 422, problem, "/expected_refundable")
      for what, amount, problem, _ in AMOUNTS if not what.startswith("nothing")),
    ("seen nothing",              granted(expected_refundable=cny("0")),         412, "stale-version", None),
    ("seen a fen less",           granted(expected_refundable=cny("4999.99")),   412, "stale-version", None),
    ("more than there is",        granted(amount=cny("5000.01")),                409, "refund-exceeds-refundable", None),
    ("far more than there is",    granted(amount=cny("9" * 13)),                 409, "refund-exceeds-refundable", None),
    ("both wrong: seen first",    granted(amount=cny("9999"), expected_refundable=cny("1")), 412, "stale-version", None),
    ("no deposit",                of(lambda _: None),                            422, BAD, "/deposit"),
    ("an empty one",              of(lambda _: ""),                              422, BAD, "/deposit"),
    ("a number for one",          of(lambda _: 1),                               422, BAD, "/deposit"),
    ("one that is not there",     of(lambda _: f"dep_{OTHER}"),                  422, BAD, "/deposit"),
    ("an offer for one",          of(lambda s: s.offer["id"]),                   422, BAD, "/deposit"),
    ("a refund for one",          of(lambda s: s.refund["id"]),                  422, BAD, "/deposit"),
    ("a payment for one",         of(lambda s: s.deposit["payment"]["id"]),      422, BAD, "/deposit"),
    ("capitals",                  of(lambda s: s.deposit["id"].upper()),         422, BAD, "/deposit"),
    ("a blank behind it",         of(lambda s: s.deposit["id"] + " "),           422, BAD, "/deposit"),
    ("3 kB for one",              of(lambda _: "x" * 3_000),                     422, BAD, "/deposit"),
    ("another shop's",            lambda s: s.rival.post("/v1/refunds", {"deposit": s.deposit["id"], "amount": cny("1"), "expected_refundable": cny("5000")}), 422, BAD, "/deposit"),
    ("a note of 2,001",           granted(note=NOTE + "x"),                      422, BAD, "/note"),
    ("an empty note",             granted(note=""),                              422, BAD, "/note"),
    ("a note that is a number",   granted(note=5),                               422, BAD, "/note"),
    ("a note that is a list",     granted(note=["sorry"]),                       422, BAD, "/note"),
    ("half a character",          bare("/v1/refunds", b'{"note":"\\ud800"}'),    400, "malformed-body", None),
    ("70 kB of note",             bare("/v1/refunds", b'{"note":"' + b"x" * 70_000 + b'"}'), 413, "body-too-large", None),
    ("64 kB of note",             granted(note="x" * 60_000),                    422, BAD, "/note"),
    ("a cause of one's own",      granted(cause="buyer_cancel"),                 422, BAD, "/cause"),
    ("an instant of one's own",   granted(at="2020-01-01T00:00:00Z"),            422, BAD, "/at"),
    ("no body",                   bare("/v1/refunds", b"{}"),                    422, BAD, "/deposit"),
    ("a list as body",            bare("/v1/refunds", b"[]"),                    400, "malformed-body", None),
]  # fmt: skip
CONSENTS: Final[tuple[Any, ...]] = ("true", "yes", 1, None, [])
DESTINATIONS: Final[list[Row]] = [
    ("a holder of 141",           named(holder="x" * 141),                       422, BAD, "/holder"),
    ("no holder",                 named(holder=""),                              422, BAD, "/holder"),
    ("a holder that is null",     named(holder=None),                            422, BAD, "/holder"),
    ("a holder that is a list",   named(holder=["Ana"]),                         422, BAD, "/holder"),
    *((f"account {account!r:.20}", named(account=account), 422, BAD, "/account")
      for account in ("", "1", "12", "x" * 41, "-123", " 123", "12_34", "12.34", "1\n23", "123\n", "\uff11\uff12\uff13", "123\u0000", "=1+1", 123456, None, True)),
    *((f"bank {bank!r:.20}", named(bank=bank), 422, BAD, "/bank")
      for bank in ("", " BCA", "x" * 41, "BCA\n", "B\u0000", "\u4e2d\u884c", "=BCA", 1, None)),
    *((f"consent {consent!r}", named(consent=consent), 422, BAD, "/consent") for consent in CONSENTS),
    ("no consent",                named(consent=False),                          422, "consent-required", "/consent"),
    *((f"kind {kind!r}", named(kind=kind), 422, BAD, "/kind") for kind in ("payout", "original_method", "", None, 1, "BANK_ACCOUNT")),
    *((f"without {name}", lambda s, name=name: s.buyer.post(f"/v1/refunds/{s.refund['id']}/destination", without(ACCOUNT, name)), 422, BAD, f"/{name}")
      for name in ACCOUNT),
    ("a member more",             named(iban="ID1"),                             422, BAD, "/iban"),
    ("an account nobody has",     named(account="1234567404"),                   422, BAD, "/account"),
    ("an account of another",     named(account="1234567409"),                   422, BAD, "/holder"),
    ("half a character",          bare("/v1/refunds/{refund}/destination", b'{"holder":"\\udfff"}'), 400, "malformed-body", None),
    ("a refund that is done",     lambda s: s.name(s.done),                      409, "wrong-state", None),
    ("a refund that is not there", lambda s: s.name({"id": f"ref_{OTHER}_1"}),   404, "not-found", None),
    ("refund number 2 of one",    lambda s: s.name({"id": s.refund["id"][:-1] + "2"}), 404, "not-found", None),
    ("a deposit for a refund",    lambda s: s.name({"id": s.deposit["id"]}),     404, "not-found", None),
    ("a way behind the id",       lambda s: s.name({"id": s.refund["id"] + ".1"}), 404, "not-found", None),
]  # fmt: skip
REROUTES: Final[list[Row]] = [
    *((f"kind {kind!r}", rerouted(kind=kind), 422, BAD, "/kind") for kind in ("bank_account", "", None, 1)),
    ("a note of 2,001",           rerouted(note=NOTE + "x"),                     422, BAD, "/note"),
    ("an empty note",             rerouted(note=""),                             422, BAD, "/note"),
    ("an account",                rerouted(account="123"),                       422, BAD, "/account"),
    ("what is done",              rerouted(),                                    409, "wrong-state", None),
    ("what is not there",         lambda s: s.reroute({"id": f"ref_{OTHER}_1"}), 404, "not-found", None),
    ("a payment for a refund",    lambda s: s.reroute({"id": s.deposit["payment"]["id"]}), 404, "not-found", None),
]  # fmt: skip
NOON, NIGHT = "2020-01-01T12:00:00Z", "2020-01-01T00:00:00.000Z"
RUNS: Final[list[Row]] = [
    ("nothing",                   ran(),                                         422, BAD, "/from"),
    ("no end",                    ran(**{"from": NIGHT}),                        422, BAD, "/to"),
    ("no begin",                  ran(to=NOON),                                  422, BAD, "/from"),
    ("an empty span",             ran(**{"from": NOON, "to": NOON}),             422, BAD, "/to"),
    ("a span backwards",          ran(**{"from": NOON, "to": NIGHT}),            422, BAD, "/to"),
    ("an end in 9999",            ran(**{"from": NOON, "to": "9999-12-31T23:59:59.999Z"}), 422, BAD, "/to"),
    ("367 days",                  ran(**{"from": NIGHT, "to": "2021-01-02T00:00:00.000Z"}), 422, BAD, "/from"),
    ("366 days and 1 ms",         ran(**{"from": NIGHT, "to": "2021-01-01T00:00:00.001Z"}), 422, BAD, "/from"),
    ("a number for an instant",   ran(**{"from": 1577836800, "to": NOON}),       422, BAD, "/from"),
    ("a day for an instant",      ran(**{"from": "2020-01-01", "to": NOON}),     422, BAD, "/from"),
    ("a span backwards by its zone", ran(**{"from": NIGHT, "to": "2020-01-01T06:00:00+07:00"}), 422, BAD, "/to"),
    ("30 February",               ran(**{"from": NIGHT, "to": "2020-02-30T00:00:00Z"}), 422, BAD, "/to"),
    ("null",                      ran(**{"from": None, "to": NOON}),             422, BAD, "/from"),
    ("a member more",             ran(**{"from": NIGHT, "to": NOON, "shard": 1}), 422, BAD, "/shard"),
    ("the names of our own code", ran(start=NIGHT, end=NOON),                    422, BAD, "/start"),
    ("cut off",                   bare("/v1/reconciliation-runs", b'{"from":'),  400, "malformed-body", None),
    ("an unknown run",            lambda s: s.platform.get(f"/v1/reconciliation-runs/rec_{OTHER}"), 404, "not-found", None),
    ("a break for a run",         lambda s: s.platform.get(f"/v1/reconciliation-runs/{s.surplus['id']}"), 404, "not-found", None),
    ("a deposit for a run",       lambda s: s.platform.get(f"/v1/reconciliation-runs/{s.deposit['id']}"), 404, "not-found", None),
    ("breaks of an unknown run",  lambda s: s.platform.get(f"/v1/reconciliation-runs/rec_{OTHER}/breaks"), 404, "not-found", None),
    ("a report of none",          lambda s: s.platform.get("/v1/reconciliation-runs/x/report.csv"), 404, "not-found", None),
    ("a page of none",            lambda s: s.platform.get("/v1/reconciliation-runs/x/report.html"), 404, "not-found", None),
    ("another file",              lambda s: s.platform.get(f"/v1/reconciliation-runs/{s.surplus['run']}/report.xlsx"), 404, "not-found", None),
    ("limit 0",                   lambda s: s.platform.get("/v1/reconciliation-runs?limit=0"), 422, BAD, "/limit"),
    ("limit 101 of breaks",       lambda s: s.platform.get(f"/v1/reconciliation-runs/{s.surplus['run']}/breaks?limit=101"), 422, BAD, "/limit"),
    ("no cursor",                 lambda s: s.platform.get("/v1/reconciliation-runs?cursor=e30"), 400, "invalid-cursor", None),
    ("a filter that is none",     lambda s: s.platform.get("/v1/reconciliation-runs?status=running"), 422, "unknown-parameter", "/status"),
    ("a filter of a file",        lambda s: s.platform.get(f"/v1/reconciliation-runs/{s.surplus['run']}/report.csv?limit=1"), 422, "unknown-parameter", "/limit"),
]  # fmt: skip
BREAKS: Final[list[Row]] = [
    *((f"action {action!r}", resolved(action=action), 422, BAD, "/action") for action in ("accept", "", None, 1, "WRITE_OFF", ["retry"])),
    ("no action",                 resolved(note="x"),                            422, BAD, "/action"),
    ("nothing to send again",     resolved(action="retry"),                      422, BAD, "/action"),
    ("a note of 2,001",           resolved(action="write_off", note=NOTE + "x"), 422, BAD, "/note"),
    ("an empty note",             resolved(action="write_off", note=""),         422, BAD, "/note"),
    ("an amount",                 resolved(action="write_off", amount=cny("7")), 422, BAD, "/amount"),
    ("half a character",          bare("/v1/breaks/{surplus}/resolve", b'{"note":"\\ud800"}'), 400, "malformed-body", None),
    ("an unknown break",          lambda s: s.platform.post(f"/v1/breaks/brk_{OTHER}/resolve", {"action": "write_off"}), 404, "not-found", None),
    ("a run for a break",         lambda s: s.platform.post(f"/v1/breaks/{s.surplus['run']}/resolve", {"action": "write_off"}), 404, "not-found", None),
    ("no id at all",              lambda s: s.platform.post("/v1/breaks/x/resolve", {"action": "write_off"}), 404, "not-found", None),
]  # fmt: skip


def told(proof: Any) -> Ask:
    return lambda scene: scene.verify(proof)


def spoilt(name: str, value: Any) -> Ask:
    return lambda scene: scene.verify({**scene.proof, name: value})


def deep(depth: int) -> Json:
    inner: Any = 1
    for _ in range(depth):
        inner = [inner]
    return {"object": "refund_proof", "terms": {"a": inner}}


PROOFS: Final[list[Row]] = [
    ("nothing",                   told(b""),                                     422, BAD, "/object"),
    ("an empty object",           told({}),                                      422, BAD, "/object"),
    ("a list",                    told([]),                                      400, "malformed-body", None),
    ("null",                      told(None),                                    400, "malformed-body", None),
    ("a text",                    told("proof"),                                 400, "malformed-body", None),
    ("no JSON",                   told(b"proof"),                                400, "malformed-body", None),
    ("NaN",                       told(b'{"object":NaN}'),                       400, "malformed-body", None),
    ("a name twice",              told(b'{"object":"a","object":"b"}'),          400, "malformed-body", None),
    ("33 deep",                   told(deep(33)),                                400, "malformed-body", None),
    ("30 deep",                   told(deep(29)),                                422, BAD, None),
    ("a byte more than 64 kB",    told(b" " * (64 * 1024 - 1) + b"{}"),          413, "body-too-large", None),
    ("64 kB",                     told({"object": "x" * 65_000}),                422, BAD, None),
    ("another kind of object",    spoilt("object", "refund"),                    422, BAD, "/object"),
    ("a member more",             spoilt("signature", "x"),                      422, BAD, "/signature"),
    ("events that are none",      spoilt("events", {}),                          422, BAD, "/events"),
    ("no events",                 spoilt("events", []),                          422, BAD, "/events"),
    ("an event that is a text",   spoilt("events", ["created"]),                 422, BAD, "/events/0"),
    ("an event of no kind",       spoilt("events", [{"type": "x", "data": {}}]), 422, BAD, "/events/0/type"),
    *((f"a bare {kind.TYPE}",     spoilt("events", [{"type": kind.TYPE, "data": {}}]), 422, BAD, None)
      for kind in fold.ROWS),
    ("terms that are none",       spoilt("terms", {}),                           422, BAD, None),
    ("terms as a list",           spoilt("terms", []),                           422, BAD, "/terms"),
    ("a result that is none",     spoilt("result", None),                        422, BAD, "/result"),
    ("a refund of no form",       spoilt("refund", "ref_1"),                     422, BAD, "/refund"),
    ("a deposit of no form",      spoilt("deposit", "dep_1"),                    422, BAD, "/deposit"),
    ("a digest that is a number", spoilt("digest", 1),                           422, BAD, "/digest"),
    *((f"without {name}", lambda s, name=name: s.verify(without(s.proof, name)), 422, BAD, f"/{name}")
      for name in ("object", "calculator", "refund", "deposit", "cause", "terms_hash", "terms", "events", "result", "digest")),
    ("a key",                     lambda s: s.verify(b'{"a":' + b"1" * 5_000 + b"}"), 400, "malformed-body", None),
]  # fmt: skip
ROWS: Final = [
    (f"{table}: {row[0]}", *row[1:])
    for table, rows in (
        ("grant", GRANTS),
        ("destination", DESTINATIONS),
        ("reroute", REROUTES),
        ("run", RUNS),
        ("break", BREAKS),
        ("proof", PROOFS),
    )
    for row in rows
]


@pytest.mark.parametrize(("what", "ask", "status", "problem", "pointer"), ROWS, ids=[row[0] for row in ROWS])
def test_row(scene: Scene, what: str, ask: Ask, status: int, problem: str, pointer: str | None) -> None:
    del what
    check_refusal(ask(scene), status, problem, pointer)


def test_nothing_of_all_this_changed_anything(scene: Scene) -> None:
    assert scene.buyer.get(path_of(scene.deposit)).json["version"] == scene.deposit["version"]
    assert refunds_of(scene.buyer, scene.deposit) == []
    assert refund_at(scene.buyer, scene.refund)["destination"] == {"kind": "payout"}
    shown = pages(scene.platform, f"/v1/reconciliation-runs/{scene.surplus['run']}/breaks", 100)
    assert scene.surplus in shown


# --- What looks bad and is good ---


def asking(scene: Scene) -> Json:
    ended = scene.world.paid(scene.buyer, scene.offer)
    found: Json = accepted(scene.buyer.post(f"{path_of(ended)}/cancel"))["refund"]
    return found


GOOD_DESTINATIONS: Final[list[Json]] = [
    {"holder": "x" * 140},
    {"holder": "x"},
    {"holder": "Ng\u0169g\u0129 wa Thiong'o, <b>PT</b> \U0001f600"},
    {"holder": "\u738b\u5c0f\u660e"},
    {"account": "123"},
    {"account": "ID12 3456-7890 " + "1" * 25},
    {"bank": "B"},
    {"bank": "Bank Central_Asia-K.C.U. 1" + "x" * 14},
]


@pytest.mark.parametrize("changes", GOOD_DESTINATIONS, ids=str)
def test_an_account_at_the_edge_is_taken(scene: Scene, changes: Json) -> None:
    found = accepted(scene.name(asking(scene), **changes))
    assert (found["status"], found["destination"]["kind"]) == ("approved", "bank_account")


NOTES: Final = [
    NOTE,
    "x",
    " ",
    "\n\t\u0000\u001b[31m",
    "\u202e</script><script>alert(1)</script>",
    "\U0001f600" * 2_000,
    "=1+1",
]


@pytest.mark.parametrize("note", NOTES, ids=lambda note: repr(note)[:24])
def test_a_note_is_a_note_whatever_stands_in_it_and_nobody_reads_it_in_an_answer(scene: Scene, note: str) -> None:
    deposit = scene.world.paid(scene.buyer, scene.offer)
    body = {"deposit": deposit["id"], "amount": cny("1"), "expected_refundable": cny("5000"), "note": note}
    reply = scene.merchant.post("/v1/refunds", body)
    assert accepted(reply, 201)["cause"] == "goodwill"
    moved = accepted(scene.platform.post(f"/v1/refunds/{reply.json['id']}/reroute", {"kind": "payout", "note": note}))
    assert moved["status"] == "requires_action"
    if len(note) > 10:
        raw = json.dumps(note)[1:-1].encode()
        events = scene.merchant.get(f"{path_of(deposit)}/events").raw
        assert raw not in reply.raw + events
        assert note.encode() not in reply.raw + events


def test_a_span_may_end_now_and_not_a_millisecond_later(scene: Scene) -> None:
    """By the instant at which the request reached the edge."""
    now = instant(now_of(scene.world.anyone())) + DAY
    body = {"from": format_instant(now - 1), "to": format_instant(now)}
    path = "/v1/reconciliation-runs"
    check_refusal(scene.platform.post(path, body, asked=now - 1), 422, BAD, "/to")
    accepted(scene.platform.post(path, body, asked=now), 202)


@pytest.mark.parametrize(
    ("back", "days", "early", "status"),
    [(366, 366, 0, 202), (366, 366, 1, 422), (732, 1, 0, 202), (732, 1, 1, 422)],
)
def test_a_span_is_at_most_366_days_long_and_begins_at_most_732_days_ago(
    own: World, back: int, days: int, early: int, status: int
) -> None:
    now = instant(now_of(own.anyone()))
    begin = now - back * DAY - early
    body = {"from": format_instant(begin), "to": format_instant(begin + days * DAY + early)}
    reply = own.person("platform").post("/v1/reconciliation-runs", body, asked=now)
    if status == 202:
        accepted(reply, 202)
    else:
        check_refusal(reply, 422, BAD, "/from")


# --- Proofs that say something else than the rules ---


def leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield pointer, value
        return
    for name, part in inner:
        yield from leaves(part, f"{pointer}/{name}")


def replaced(value: Any, pointer: str, part: Any) -> Any:
    """A copy with something else at a pointer."""
    whole = copy.deepcopy(value)
    *way, last = pointer.split("/")[1:]
    at = whole
    for name in way:
        at = at[int(name)] if isinstance(at, list) else at[name]
    at[int(last) if isinstance(at, list) else last] = part
    return whole


def test_a_proof_as_it_was_given_holds_for_everybody(scene: Scene) -> None:
    assert accepted(scene.verify(scene.proof)) == {"valid": True, "differences": []}
    assert accepted(scene.verify(json.dumps(scene.proof, indent=3, sort_keys=True).encode()))["valid"]


def test_whatever_is_changed_in_a_proof_is_noticed(scene: Scene) -> None:
    """Each value in turn, as another one of its kind and as one of another: a difference, or no proof at all."""
    for pointer, value in leaves(scene.proof):
        others: list[Any] = [None, [], {}, -1, "x", True]
        others += [f"{value}0"] if isinstance(value, str) else [value + 1] if isinstance(value, int) else []
        for other in others:
            if other == value:
                continue
            reply = check_answer(scene.verify(replaced(scene.proof, pointer, other)))
            if reply.status == 200:
                assert not reply.json["valid"], (pointer, other)
                assert reply.json["differences"], (pointer, other)
            else:
                assert (reply.status, reply.problem) == (422, BAD), (pointer, other)


def test_a_difference_names_its_place_and_both_words(scene: Scene) -> None:
    forged = replaced(scene.proof, "/result/amount/amount", "5001")
    found = accepted(scene.verify(forged))["differences"]
    assert {"pointer": "/result/amount/amount", "expected": "5000", "found": "5001"} in found
    assert [one["pointer"] for one in found][-1] == "/digest"
    other = accepted(scene.verify({**scene.proof, "calculator": "earnest/2"}))["differences"]
    assert other[0] == {"pointer": "/calculator", "expected": scene.proof["calculator"], "found": "earnest/2"}

"""Bad input to claims: never our fault, the right problem, the field that is wrong, and nothing changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.web.answer_checks import accepted, check_answer, check_refusal, cny
from tests.world import Client, Dispute, Json, Reply, World, rupiah

BAD: Final = "invalid-request"
MISSING: Final = "0" * 26
LONG: Final = "x" * 2_000


@dataclass(frozen=True)
class Scene:
    """Four claims on deposits of one buyer: waiting, with an offer, in review, and decided."""

    world: World
    rival: Client
    platform: Client
    waiting: Dispute
    offered: Dispute
    review: Dispute
    decided: Dispute

    def open(self, **changes: Any) -> Reply:
        """A claim on the lines that nobody claims yet; a change to None leaves the field out."""
        one = self.waiting
        body: Json = {"deposit": one.deposit["id"], "kind": "short_shipment", "statement": "Look.", "lines": [unit(1)]}
        return one.buyer.post(
            "/v1/claims", {name: part for name, part in {**body, **changes}.items() if part != ABSENT}
        )

    def respond(self, **body: Any) -> Reply:
        return self.waiting.say(self.waiting.merchant, "responses", body)

    def rule(self, **changes: Any) -> Reply:
        body = {"decision": "partly", "amount": rupiah("1"), "reason": "A little.", **changes}
        return self.review.say(self.platform, "ruling", {k: v for k, v in body.items() if v != ABSENT})

    def hand_in(self, **body: Any) -> Reply:
        return self.waiting.say(self.waiting.buyer, "evidence", body)


ABSENT: Final = "absent"


def unit(line: Any, quantity: Any = 1) -> Json:
    return {"line": line, "quantity": quantity}


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    waiting, offered, review, decided = (world.short() for _ in range(4))
    accepted(offered.respond("offer", rupiah("490000")))
    accepted(review.respond("reject"))
    accepted(decided.respond("accept"))
    rival, platform = world.merchant("mer_rival"), world.person("platform")
    return Scene(world, rival, platform, waiting, offered, review, decided)


AMOUNTS: Final[list[tuple[str, Any, str]]] = [
    # what                amount                                      problem
    ("nothing",           rupiah("0"),                                BAD),
    ("less than nothing", rupiah("-1"),                               BAD),
    ("half a rupiah",     rupiah("0.5"),                              BAD),
    ("another currency",  cny("1"),                                   "currency-mismatch"),
    ("lower case",        {"amount": "1", "currency": "idr"},         BAD),
    ("no currency",       {"amount": "1"},                            BAD),
    ("a member more",     {**rupiah("1"), "minor": 1},                BAD),
    ("16 digits",         rupiah("1" + "0" * 15),                     BAD),
    ("10,000 digits",     rupiah("9" * 10_000),                       BAD),
    ("a number",          {"amount": 1, "currency": "IDR"},           BAD),
    ("true",              True,                                       BAD),
    ("1e3",               rupiah("1e3"),                              BAD),
    ("full-width digits", rupiah("\uff11"),                           BAD),
    ("a list",            [rupiah("1")],                              BAD),
]  # fmt: skip
NAMES: Final = [row[0] for row in AMOUNTS]


@pytest.mark.parametrize(("what", "amount", "problem"), AMOUNTS, ids=NAMES)
def test_an_amount_that_is_none_is_refused_wherever_one_is_taken(
    scene: Scene, what: str, amount: Any, problem: str
) -> None:
    del what
    for reply in (
        scene.open(kind="other", lines=ABSENT, amount=amount),
        scene.respond(decision="offer", amount=amount),
        scene.rule(amount=amount),
    ):
        check_refusal(reply, 422, problem, "/amount")


Ask = Callable[[Scene], Reply]
ROWS: Final[list[tuple[str, Ask, str]]] = [
    # what                          ask                                                            pointer
    ("a deposit of nobody",         lambda s: s.open(deposit=f"dep_{MISSING}"),                    "/deposit"),
    ("no deposit at all",           lambda s: s.open(deposit="x"),                                 "/deposit"),
    ("an offer for a deposit",      lambda s: s.open(deposit=s.waiting.deposit["offer"]),          "/deposit"),
    ("deposit missing",             lambda s: s.open(deposit=ABSENT),                              "/deposit"),
    ("3 kB of deposit",             lambda s: s.open(deposit="x" * 3_000),                         "/deposit"),
    ("a kind of nobody",            lambda s: s.open(kind="boredom"),                              "/kind"),
    ("no kind",                     lambda s: s.open(kind=None),                                   "/kind"),
    ("no words",                    lambda s: s.open(statement=""),                                "/statement"),
    ("words missing",               lambda s: s.open(statement=ABSENT),                            "/statement"),
    ("2,001 characters",            lambda s: s.open(statement=LONG + "x"),                        "/statement"),
    ("words as a list",             lambda s: s.open(statement=["x"]),                             "/statement"),
    ("goods without lines",         lambda s: s.open(lines=ABSENT),                                "/lines"),
    ("goods with no lines",         lambda s: s.open(lines=[]),                                    "/lines"),
    ("goods with an amount",        lambda s: s.open(amount=rupiah("1")),                          "/amount"),
    ("an amount missing",           lambda s: s.open(kind="refund_amount", lines=ABSENT),          "/amount"),
    ("lines of an amount",          lambda s: s.open(kind="other", amount=rupiah("1")),            "/lines"),
    ("lines of a lock",             lambda s: s.open(kind="mistaken_lock"),                        "/lines"),
    ("an amount of a lock",         lambda s: s.open(kind="mistaken_lock", lines=ABSENT, amount=rupiah("1")), "/amount"),
    ("an amount of a privacy",      lambda s: s.open(kind="privacy", lines=ABSENT, amount=rupiah("1")), "/amount"),
    ("line 0",                      lambda s: s.open(lines=[unit(0)]),                             "/lines/0/line"),
    ("line 6 of five",              lambda s: s.open(lines=[unit(6)]),                             "/lines/0/line"),
    ("line true",                   lambda s: s.open(lines=[unit(True)]),                          "/lines/0/line"),
    ("line twice",                  lambda s: s.open(lines=[unit(1), unit(1)]),                    "/lines/1/line"),
    ("quantity 0",                  lambda s: s.open(lines=[unit(1, 0)]),                          "/lines/0/quantity"),
    ("quantity -1",                 lambda s: s.open(lines=[unit(1, -1)]),                         "/lines/0/quantity"),
    ("quantity 2 of one",           lambda s: s.open(lines=[unit(1, 2)]),                          "/lines/0/quantity"),
    ("quantity of 40 digits",       lambda s: s.open(lines=[unit(1, int("9" * 40))]),              "/lines/0/quantity"),
    ("a bare line",                 lambda s: s.open(lines=[1]),                                   "/lines/0"),
    ("11 lines",                    lambda s: s.open(lines=[unit(1)] * 11),                        "/lines"),
    ("21 items of evidence",        lambda s: s.open(evidence=[f"photo:{n}" for n in range(21)]),  "/evidence"),
    ("an empty item",               lambda s: s.open(evidence=[""]),                               "/evidence/0"),
    ("5 kB of evidence",            lambda s: s.open(evidence=["x" * 5_000]),                      "/evidence/0"),
    ("a status of one's own",       lambda s: s.open(status="upheld"),                             "/status"),
    ("what is owed by one's own",   lambda s: s.open(owed=rupiah("1")),                            "/owed"),
    ("a due time of one's own",     lambda s: s.open(due_at="2020-01-01T00:00:00Z"),               "/due_at"),
    ("an answer of nobody",         lambda s: s.respond(decision="maybe"),                         "/decision"),
    ("no answer",                   lambda s: s.respond(),                                         "/decision"),
    ("an offer of nothing",         lambda s: s.respond(decision="offer"),                         "/amount"),
    ("an acceptance of an amount",  lambda s: s.respond(decision="accept", amount=rupiah("1")),    "/amount"),
    ("a rejection of an amount",    lambda s: s.respond(decision="reject", statement="x", amount=rupiah("1")), "/amount"),
    ("a rejection without words",   lambda s: s.respond(decision="reject"),                        "/statement"),
    ("a rejection with no words",   lambda s: s.respond(decision="reject", statement=""),          "/statement"),
    ("an answer for the buyer",     lambda s: s.respond(decision="accept", by="buyer"),            "/by"),
    ("a ruling of nobody",          lambda s: s.rule(decision="maybe"),                            "/decision"),
    ("a ruling without a reason",   lambda s: s.rule(reason=ABSENT),                               "/reason"),
    ("a ruling with no reason",     lambda s: s.rule(reason=""),                                   "/reason"),
    ("a part of nothing",           lambda s: s.rule(amount=ABSENT),                               "/amount"),
    ("a part that is the whole",    lambda s: s.rule(amount=rupiah("490000")),                     "/amount"),
    ("a part that is more",         lambda s: s.rule(amount=rupiah("490001")),                     "/amount"),
    ("the whole with an amount",    lambda s: s.rule(decision="uphold"),                           "/amount"),
    ("nothing with an amount",      lambda s: s.rule(decision="dismiss"),                          "/amount"),
    ("no evidence",                 lambda s: s.hand_in(evidence=[]),                              "/evidence"),
    ("evidence missing",            lambda s: s.hand_in(statement="x"),                            "/evidence"),
    ("evidence null",               lambda s: s.hand_in(evidence=None),                            "/evidence"),
    ("21 more",                     lambda s: s.hand_in(evidence=[f"photo:{n}" for n in range(21)]), "/evidence"),
    ("words for a withdrawal",      lambda s: s.waiting.say(s.waiting.buyer, "withdraw", {"statement": "x"}), "/statement"),
    ("an amount to take",           lambda s: s.offered.say(s.offered.buyer, "accept-offer", {"amount": rupiah("1")}), "/amount"),
    ("no filter",                   lambda s: s.waiting.buyer.get("/v1/claims"),                   "/deposit"),
    ("two filters",                 lambda s: s.rival.get(f"/v1/claims?status=open&deposit={s.waiting.deposit['id']}"), "/deposit"),
    ("a status of nobody",          lambda s: s.rival.get("/v1/claims?status=closed"),             "/status"),
    ("limit 0",                     lambda s: s.rival.get("/v1/claims?status=open&limit=0"),       "/limit"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "ask", "pointer"), ROWS, ids=[row[0] for row in ROWS])
def test_a_bad_request_is_told_where(scene: Scene, what: str, ask: Ask, pointer: str) -> None:
    del what
    check_refusal(ask(scene), 422, BAD, pointer)


IDS: Final = [
    "x",
    "clm_",
    f"clm_{MISSING}",
    f"clm_{MISSING}_",
    f"clm_{MISSING}_0",
    f"clm_{MISSING}_01",
    f"clm_{MISSING}_1",
    f"clm_{MISSING}_{'9' * 40}",
    f"dep_{MISSING}",
    "clm_%00",
    "%F0%9F%92%A3",
]
SAID: Final[dict[str, tuple[str, Json]]] = {
    "responses": ("merchant", {"decision": "accept"}),
    "accept-offer": ("buyer", {}),
    "escalate": ("buyer", {}),
    "withdraw": ("buyer", {}),
    "evidence": ("buyer", {"evidence": ["photo:1"]}),
    "ruling": ("platform", {"decision": "uphold", "reason": "x"}),
}


@pytest.mark.parametrize("claim_id", IDS)
def test_what_is_no_claim_is_not_found_whatever_is_said_to_it(scene: Scene, claim_id: str) -> None:
    people = {"merchant": scene.waiting.merchant, "buyer": scene.waiting.buyer, "platform": scene.platform}
    for what, (role, body) in SAID.items():
        check_refusal(people[role].post(f"/v1/claims/{claim_id}/{what}", body), 404, "not-found")
    check_refusal(people["buyer"].get(f"/v1/claims/{claim_id}"), 404, "not-found")


def test_the_next_claim_of_a_deposit_is_not_there_yet(scene: Scene) -> None:
    beyond = f"{scene.waiting.path[:-1]}2"
    for what, (role, body) in SAID.items():
        who = {"merchant": scene.waiting.merchant, "buyer": scene.waiting.buyer, "platform": scene.platform}[role]
        check_refusal(who.post(f"{beyond}/{what}", body), 404, "not-found")


def test_another_shops_claim_does_not_exist(scene: Scene) -> None:
    for body in ({"decision": "accept"}, {"decision": "offer", "amount": rupiah("0")}, {"x": 1}):
        check_refusal(scene.waiting.say(scene.rival, "responses", body), 404, "not-found")
    check_refusal(scene.rival.get(scene.waiting.path), 404, "not-found")
    check_refusal(scene.rival.get(f"/v1/claims?deposit={scene.waiting.deposit['id']}"), 404, "not-found")
    mine = scene.waiting.claim["id"]
    assert mine not in scene.rival.get("/v1/claims?status=open&limit=100").raw.decode()


def test_a_cursor_is_for_one_list_of_one_caller(own: World) -> None:
    one, other = own.short(), own.short()
    page = accepted(one.merchant.get("/v1/claims?status=open&limit=1"))
    cursor = page["next_cursor"]
    assert cursor
    assert [row["id"] for row in page["data"]] == [one.claim["id"]]
    second = accepted(one.merchant.get(f"/v1/claims?status=open&limit=1&cursor={cursor}"))
    assert [row["id"] for row in second["data"]] == [other.claim["id"]]
    for who, path in (
        (other.merchant, "/v1/claims?status=open"),
        (own.merchant("mer_rival"), "/v1/claims?status=open"),
        (own.person("platform"), "/v1/claims?status=open"),
        (one.buyer, f"/v1/claims?deposit={one.deposit['id']}"),
        (one.merchant, "/v1/refunds?status=open"),
    ):
        reply = check_answer(who.get(f"{path}&cursor={cursor}"))
        assert (reply.status, reply.problem) == (400, "invalid-cursor"), path


def test_the_longest_words_and_any_script_come_back_as_they_were(world: World) -> None:
    words = "<script>alert(1)</script> 李雷 🧾 \u202e" + "x" * 1_950
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.five_lines(buyer, merchant)
    body = {"deposit": deposit["id"], "kind": "other", "statement": words, "amount": rupiah("1")}
    one = Dispute(buyer, merchant, deposit, accepted(buyer.post("/v1/claims", body), 201))
    assert one.seen()["statement"] == words
    assert accepted(one.respond("reject", statement=LONG))["history"][-1]["statement"] == LONG


def test_nobody_claims_before_there_is_anything_to_claim(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    offer = world.offer(merchant)
    waiting, free = world.ordered(buyer, offer), world.paid(buyer, offer)
    for deposit, state in ((waiting, "awaiting_payment"), (free, "cooling_off")):
        body = {"deposit": deposit["id"], "kind": "other", "statement": "Mine.", "amount": cny("1")}
        assert check_refusal(buyer.post("/v1/claims", body), 409, "wrong-state")["state"] == state
        assert accepted(buyer.get(f"/v1/claims?deposit={deposit['id']}"))["data"] == []


def test_nothing_of_all_this_changed_anything(scene: Scene) -> None:
    for one, status in (
        (scene.waiting, "awaiting_merchant"),
        (scene.offered, "offered"),
        (scene.review, "in_review"),
        (scene.decided, "accepted"),
    ):
        seen = one.seen()
        assert (seen["status"], len(seen["history"])) == (status, 1 if status == "awaiting_merchant" else 2)
        assert len(accepted(one.buyer.get(f"/v1/claims?deposit={one.deposit['id']}"))["data"]) == 1

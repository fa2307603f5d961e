"""Bad input to merchants' cancellations, questions, bulk runs and passes: never our fault, and the field that is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, format_instant
from tests.web.answer_checks import (
    accepted,
    check_answer,
    check_refusal,
    cny,
    events_of,
    instant,
    now_of,
    pages,
    path_of,
)
from tests.world import MAX_PASSES, Client, Json, Reply, World, rupiah

BAD: Final = "invalid-request"
NOTE: Final = "x" * 2_000
OTHER: Final = "0" * 26
FOREVER: Final = {"kind": "elapsed", "length": "P365D"}
STOCK: Final = "stock:1"


@dataclass(frozen=True)
class Scene:
    """A paid deposit with a question, one of another shop's buyer, one that waits for payment, and passes in every state."""

    world: World
    buyer: Client
    merchant: Client
    rival: Client
    offer: Json
    deposit: Json
    waiting: Json
    foreign: Json
    question: Json
    passes: dict[str, str]

    def cancel(self, deposit: Json | None = None, /, **changes: Any) -> Reply:
        body = {"reason": "OUT_OF_STOCK", "evidence": [STOCK], **changes}
        return self.merchant.post(f"{path_of(deposit or self.deposit)}/merchant-cancel", body)

    def ask(self, **changes: Any) -> Reply:
        body = {"kind": "address", "text": "Which entrance?", **changes}
        return self.merchant.post(f"{path_of(self.deposit)}/questions", body)

    def answer(self, **body: Any) -> Reply:
        return self.buyer.post(f"/v1/questions/{self.question['id']}/answer", body)

    @property
    def bulks(self) -> str:
        return f"/v1/offers/{self.offer['id']}/merchant-cancellations"

    def many(self, deposits: Any, /, **changes: Any) -> Reply:
        body = {"deposits": deposits, "reason": "OUT_OF_STOCK", "evidence": [STOCK], **changes}
        return self.merchant.post(self.bulks, body)

    def order(self, offer: Json | None = None, quantity: int = 1, /, **changes: Any) -> Reply:
        return self.buyer.post("/v1/deposits", self.world.order(offer or self.offer, quantity, **changes))


Ask = Callable[[Scene], Reply]
Row = tuple[str, Ask, int, str, str | None]


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    buyer, merchant, rival = world.buyer(), world.merchant("mer_calling"), world.merchant("mer_rival")
    held = passes(world, buyer, merchant, rival)
    offer = world.offer(merchant, window=FOREVER, payment={"due_within": "P365D"})
    deposit, foreign = world.paid(buyer, offer), world.paid(buyer, world.offer(rival, window=FOREVER))
    asked = merchant.post(f"{path_of(deposit)}/questions", {"kind": "address", "text": "Which entrance?"})
    waiting = world.ordered(buyer, offer)
    people = (world, buyer, merchant, rival)
    return Scene(*people, offer, deposit, waiting, foreign, accepted(asked, 201), held)


def granted(world: World, buyer: Client, merchant: Client, **changes: Any) -> str:
    """A pass for the first goods of an offer."""
    deposit = world.paid(buyer, world.offer(merchant, **changes))
    body = {"reason": "OUT_OF_STOCK", "evidence": [STOCK]}
    return str(accepted(merchant.post(f"{path_of(deposit)}/merchant-cancel", body))["cancellation"]["priority_pass"])


def passes(world: World, buyer: Client, merchant: Client, rival: Client) -> dict[str, str]:
    other = [{"sku": "su7-pro", "name": "Pro", "price": cny("299900")}]
    found = {
        "used": granted(world, buyer, merchant),
        "lapsed": granted(world, buyer, merchant),
    }
    world.pay(world.ordered(buyer, world.offer(merchant, window=FOREVER), priority_pass=found["used"]))
    world.advance("P180D")
    return {
        **found,
        "good": granted(world, buyer, merchant),
        "stranger": granted(world, world.buyer(), merchant),
        "rival": granted(world, buyer, rival),
        "sku": granted(world, buyer, merchant, items=other),
    }


def why(**changes: Any) -> Ask:
    return lambda scene: scene.cancel(**changes)


def bulk(make: Callable[[Scene], Any], **changes: Any) -> Ask:
    return lambda scene: scene.many(make(scene), **changes)


def ones(scene: Scene) -> list[str]:
    return [scene.deposit["id"]]


def asking(**changes: Any) -> Ask:
    return lambda scene: scene.ask(**changes)


def answering(**body: Any) -> Ask:
    return lambda scene: scene.answer(**body)


def with_pass(name: str, quantity: int = 1, **changes: Any) -> Ask:
    return lambda scene: scene.order(None, quantity, priority_pass=scene.passes[name], **changes)


def raw(path: str, body: bytes) -> Ask:
    return lambda scene: scene.merchant.post(path.format(at=path_of(scene.deposit), bulks=scene.bulks), body)


def ids(count: int) -> list[str]:
    return [f"dep_{n:026d}" for n in range(count)]


NO_CODES: Final[tuple[Any, ...]] = (
    *("out_of_stock", "Out_Of_Stock", "", " OUT_OF_STOCK", "OUT_OF_STOCK\n", "OUT-OF-STOCK", "_OUT", "A1", "A" * 41),
    *("\uff2f\uff35\uff34", None, 1, True, ["OUT_OF_STOCK"], {}),
)
NO_EVIDENCE: Final[list[tuple[str, Any, str]]] = [
    # what                    evidence                             pointer
    ("21 items",              [f"photo:{n}" for n in range(21)],   "/evidence"),
    ("an item of 201",        ["x" * 201],                         "/evidence/0"),
    ("an empty item",         [STOCK, ""],                         "/evidence/1"),
    ("null for an item",      [None],                              "/evidence/0"),
    ("a number for an item",  [1],                                 "/evidence/0"),
    ("a list in the list",    [[STOCK]],                           "/evidence/0"),
    ("a text for the list",   STOCK,                               "/evidence"),
    ("null",                  None,                                "/evidence"),
    ("an object",             {"0": STOCK},                        "/evidence"),
]  # fmt: skip
TOO_FEW: Final[list[tuple[str, str, list[str]]]] = [
    # what                     reason             evidence
    ("nothing",                "OUT_OF_STOCK",    []),
    ("a score",                "OUT_OF_STOCK",    ["score:99"]),
    ("a score in capitals",    "OUT_OF_STOCK",    ["SCORE:99"]),
    ("a score behind a blank", "OUT_OF_STOCK",    [" score : 99"]),
    ("a bare score",           "OUT_OF_STOCK",    ["score"]),
    ("the same twice",         "BOT_AUTOMATION",  ["timing:1", "timing:1"]),
    ("one and a score",        "BOT_AUTOMATION",  ["timing:1", "score:99"]),
    ("twenty scores",          "BOT_AUTOMATION",  [f"score:{n}" for n in range(20)]),
    ("no question",            "ADDRESS_INVALID", ["carrier:1", "carrier:2"]),
    ("no third attempt",       "BUYER_UNREACHABLE", ["call:1", "mail:1"]),
    ("no question beside them", "BUYER_UNREACHABLE", ["call:1", "mail:1", "mail:2"]),
]  # fmt: skip


def lapsed_not(reason: str, make: Callable[[Scene], str]) -> Ask:
    """A question that does not show what is said of it."""
    return lambda scene: scene.cancel(reason=reason, evidence=["carrier:1", "carrier:2", make(scene)])


REASONS: Final[list[Row]] = [
    *((f"reason {code!r:.24}", why(reason=code), 422, BAD, "/reason") for code in NO_CODES),
    ("a code of nobody",           why(reason="BAD_WEATHER"),                   409, "reason-not-published", None),
    ("a code of 40 letters",       why(reason="A" * 40),                        409, "reason-not-published", None),
    ("one the offer leaves out",   why(reason="MERCHANT_OTHER", note=NOTE),     409, "reason-not-published", None),
    ("no reason",                  raw("{at}/merchant-cancel", b'{"evidence":["stock:1"]}'), 422, BAD, "/reason"),
    ("nothing at all",             raw("{at}/merchant-cancel", b"{}"),          422, BAD, "/reason"),
    *((f"evidence: {what}", why(evidence=given), 422, BAD, pointer) for what, given, pointer in NO_EVIDENCE),
    *((f"too few: {what}", why(reason=code, evidence=given), 422, "evidence-required", "/evidence")
      for what, code, given in TOO_FEW),
    ("no evidence named",          raw("{at}/merchant-cancel", b'{"reason":"OUT_OF_STOCK"}'), 422, "evidence-required", "/evidence"),
    ("a question that is open",    lapsed_not("ADDRESS_INVALID", lambda s: s.question["id"]), 422, "evidence-required", "/evidence"),
    ("a question of another kind", lapsed_not("BUYER_UNREACHABLE", lambda s: s.question["id"]), 422, "evidence-required", "/evidence"),
    ("a question nobody asked",    lapsed_not("ADDRESS_INVALID", lambda s: s.question["id"][:-1] + "2"), 422, "evidence-required", "/evidence"),
    ("another order's question",   lapsed_not("ADDRESS_INVALID", lambda s: f"qst_{s.waiting['id'][4:]}_1"), 422, "evidence-required", "/evidence"),
    ("words too short",            why(reason="MERCHANT_OTHER", note="x" * 39), 422, "evidence-required", "/note"),
    ("no words",                   why(reason="MERCHANT_OTHER"),                422, "evidence-required", "/note"),
    ("a note of 2,001",            why(note=NOTE + "x"),                        422, BAD, "/note"),
    ("an empty note",              why(note=""),                                422, BAD, "/note"),
    ("a note that is a number",    why(note=5),                                 422, BAD, "/note"),
    ("a note that is a list",      why(note=["sorry"]),                         422, BAD, "/note"),
    ("half a character",           raw("{at}/merchant-cancel", b'{"note":"\\ud800"}'), 400, "malformed-body", None),
    ("an amount of one's own",     why(amount=cny("1")),                        422, BAD, "/amount"),
    ("an approver of one's own",   why(approver="usr_1"),                       422, BAD, "/approver"),
    ("not paid in time, but paid", why(reason="PAYMENT_TIMEOUT", evidence=["psp:1"]), 409, "wrong-state", None),
    ("another shop's",             lambda s: s.rival.post(f"{path_of(s.deposit)}/merchant-cancel", {}), 404, "not-found", None),
]  # fmt: skip
QUESTIONS: Final[list[Row]] = [
    *((f"kind {kind!r}", asking(kind=kind), 422, BAD, "/kind") for kind in ("", "score", "Address", "phone", None, 1, ["address"])),
    ("no text",                    asking(text=""),                             422, BAD, "/text"),
    ("2,001 characters",           asking(text=NOTE + "x"),                     422, BAD, "/text"),
    ("null",                       asking(text=None),                           422, BAD, "/text"),
    ("a number",                   asking(text=1),                              422, BAD, "/text"),
    ("a member more",              asking(due_at="2026-01-01T00:00:00Z"),       422, BAD, "/due_at"),
    ("half a character",           raw("{at}/questions", b'{"kind":"address","text":"\\udfff"}'), 400, "malformed-body", None),
    ("nothing",                    raw("{at}/questions", b"{}"),                422, BAD, "/kind"),
    ("an answer of no text",       answering(text=""),                          422, BAD, "/text"),
    ("an answer of 2,001",         answering(text=NOTE + "x"),                  422, BAD, "/text"),
    ("an answer of null",          answering(text=None),                        422, BAD, "/text"),
    ("an answer with a kind",      answering(text="x", kind="address"),         422, BAD, "/kind"),
    ("no answer",                  answering(),                                 422, BAD, "/text"),
    ("an answer to question 2",    lambda s: s.buyer.post(f"/v1/questions/{s.question['id'][:-1]}2/answer", {"text": "x"}), 404, "not-found", None),
    ("question 0",                 lambda s: s.buyer.get(f"/v1/questions/{s.question['id'][:-1]}0"), 404, "not-found", None),
    ("question 01",                lambda s: s.buyer.get(f"/v1/questions/{s.question['id'][:-1]}01"), 404, "not-found", None),
    ("a number of 30 digits",      lambda s: s.buyer.get(f"/v1/questions/{s.question['id'][:-1]}{'9' * 30}"), 404, "not-found", None),
    ("no question's id",           lambda s: s.buyer.get("/v1/questions/x"),    404, "not-found", None),
    ("a deposit for a question",   lambda s: s.buyer.get(f"/v1/questions/{s.deposit['id']}"), 404, "not-found", None),
    ("questions of nothing",       lambda s: s.buyer.get("/v1/questions"),      422, BAD, "/deposit"),
    ("questions of no deposit",    lambda s: s.buyer.get("/v1/questions?deposit=x"), 404, "not-found", None),
    ("questions of a question",    lambda s: s.buyer.get(f"/v1/questions?deposit={s.question['id']}"), 404, "not-found", None),
    ("questions by page",          lambda s: s.buyer.get(f"/v1/questions?deposit={s.deposit['id']}&limit=1"), 422, "unknown-parameter", "/limit"),
]  # fmt: skip
BULKS: Final[list[Row]] = [
    ("no deposits",                bulk(lambda _: []),                          422, BAD, "/deposits"),
    ("null",                       bulk(lambda _: None),                        422, BAD, "/deposits"),
    ("a text",                     bulk(lambda s: s.deposit["id"]),             422, BAD, "/deposits"),
    ("1,501 of them",              bulk(lambda _: ids(1_501)),                  422, BAD, "/deposits"),
    ("one that is none",           bulk(lambda s: [*ones(s), "x"]),             422, BAD, "/deposits/1"),
    ("an empty one",               bulk(lambda _: [""]),                        422, BAD, "/deposits/0"),
    ("an offer",                   bulk(lambda s: [s.offer["id"]]),             422, BAD, "/deposits/0"),
    ("capitals",                   bulk(lambda s: [s.deposit["id"].upper()]),   422, BAD, "/deposits/0"),
    ("a number",                   bulk(lambda _: [1]),                         422, BAD, "/deposits/0"),
    ("one twice",                  bulk(lambda s: [*ones(s), *ones(s)]),        422, BAD, "/deposits/1"),
    ("one twice among others",     bulk(lambda s: [*ones(s), s.waiting["id"], *ones(s)]), 422, BAD, "/deposits/2"),
    *((f"reason {code!r:.24}", bulk(ones, reason=code), 422, BAD, "/reason") for code in NO_CODES),
    ("a code of nobody",           bulk(ones, reason="BAD_WEATHER"),            409, "reason-not-published", None),
    ("one the offer leaves out",   bulk(ones, reason="MERCHANT_OTHER", note=NOTE), 409, "reason-not-published", None),
    *((f"evidence: {what}", bulk(ones, evidence=given), 422, BAD, pointer) for what, given, pointer in NO_EVIDENCE),
    ("no evidence",                bulk(ones, evidence=[]),                     422, "evidence-required", "/evidence"),
    ("a score",                    bulk(ones, evidence=["score:1"]),            422, "evidence-required", "/evidence"),
    ("a note of 2,001",            bulk(ones, note=NOTE + "x"),                 422, BAD, "/note"),
    ("an empty note",              bulk(ones, note=""),                         422, BAD, "/note"),
    ("a member more",              bulk(ones, status="running"),                422, BAD, "/status"),
    ("half a character",           raw("{bulks}", b'{"note":"\\ud800"}'),       400, "malformed-body", None),
    ("another shop's offer",       lambda s: s.rival.post(s.bulks, {}),         404, "not-found", None),
    ("no offer",                   lambda s: s.merchant.post("/v1/offers/x/merchant-cancellations", {}), 404, "not-found", None),
    ("no bulk",                    lambda s: s.merchant.get(f"{s.bulks}/x"),    404, "not-found", None),
    ("a bulk that is not there",   lambda s: s.merchant.get(f"{s.bulks}/bmc_{OTHER}"), 404, "not-found", None),
    ("agreeing to no bulk",        lambda s: s.merchant.post(f"{s.bulks}/bmc_{OTHER}/approve"), 404, "not-found", None),
    ("counts of no offer",         lambda s: s.buyer.get("/v1/offers/x/cancellations"), 404, "not-found", None),
    ("counts by page",             lambda s: s.buyer.get(f"/v1/offers/{s.offer['id']}/cancellations?limit=1"), 422, "unknown-parameter", "/limit"),
]  # fmt: skip
PASS, NOT_VALID = "/priority_pass", "pass-not-valid"
PASSES: Final[list[Row]] = [
    *((f"pass {text!r:.24}", lambda s, text=text: s.order(priority_pass=text), 422, BAD, PASS)
      for text in ("", "x", "pas_", f"pas_{OTHER}", f"pas_{OTHER}_0", f"pas_{OTHER}_01", f"PAS_{OTHER}_1", f"dep_{OTHER}", "x" * 3_000, 1, ["x"])),
    ("one that is not there",      lambda s: s.order(priority_pass=f"pas_{OTHER}_1"), 404, "not-found", None),
    ("a deposit that has none",    lambda s: s.order(priority_pass=f"pas_{s.deposit['id'][4:]}_1"), 404, "not-found", None),
    ("a second one of a deposit",  lambda s: s.order(priority_pass=s.passes["good"][:-1] + "2"), 404, "not-found", None),
    ("another buyer's",            with_pass("stranger"),                       404, "not-found", None),
    ("a used one",                 with_pass("used"),                           409, NOT_VALID, None),
    ("a lapsed one",               with_pass("lapsed"),                         409, NOT_VALID, None),
    ("another shop's",             with_pass("rival"),                          409, NOT_VALID, None),
    ("for other goods",            with_pass("sku"),                            409, NOT_VALID, None),
    ("for two units",              with_pass("good", 2),                        409, NOT_VALID, None),
    ("with another method",        with_pass("good", payment_method="gopay"),   422, "payment-method-not-offered", "/payment_method"),
    ("with other terms",           with_pass("good", terms_hash="sha256:0"),    409, "terms-changed", None),
    ("passes by 0",                lambda s: s.buyer.get("/v1/priority-passes?limit=0"), 422, BAD, "/limit"),
    ("passes by 101",              lambda s: s.buyer.get("/v1/priority-passes?limit=101"), 422, BAD, "/limit"),
    ("no cursor",                  lambda s: s.buyer.get("/v1/priority-passes?cursor=e30"), 400, "invalid-cursor", None),
    ("passes of a status",         lambda s: s.buyer.get("/v1/priority-passes?status=used"), 422, "unknown-parameter", "/status"),
]  # fmt: skip
METHODS: Final[list[Row]] = [
    ("one the offer has not",      lambda s: s.buyer.post(f"{path_of(s.waiting)}/payment-method", {"payment_method": "gopay"}), 422, "payment-method-not-offered", "/payment_method"),
    ("cash on delivery",           lambda s: s.buyer.post(f"{path_of(s.waiting)}/payment-method", {"payment_method": "cash_on_delivery"}), 422, "payment-method-not-offered", "/payment_method"),
    ("set by the shop",            lambda s: s.merchant.post(f"{path_of(s.waiting)}/payment-method", {"payment_method": "alipay"}), 403, "forbidden", None),
    ("set by the platform",        lambda s: s.world.person("platform").post(f"{path_of(s.waiting)}/payment-method", {"payment_method": "alipay"}), 403, "forbidden", None),
    ("set by a service",           lambda s: s.world.person("service").post(f"{path_of(s.waiting)}/payment-method", {"payment_method": "alipay"}), 403, "forbidden", None),
    ("set by another buyer",       lambda s: s.world.buyer().post(f"{path_of(s.waiting)}/payment-method", {"payment_method": "alipay"}), 404, "not-found", None),
    ("in a cancellation",          why(payment_method="cash_on_delivery"),      422, BAD, "/payment_method"),
    ("in an order of the shop",    lambda s: s.merchant.post("/v1/deposits", s.world.order(s.offer)), 403, "forbidden", None),
]  # fmt: skip
ROWS: Final = [
    (f"{table}: {row[0]}", *row[1:])
    for table, rows in (
        ("cancel", REASONS),
        ("question", QUESTIONS),
        ("bulk", BULKS),
        ("pass", PASSES),
        ("method", METHODS),
    )
    for row in rows
]


@pytest.mark.parametrize(("what", "ask", "status", "problem", "pointer"), ROWS, ids=[row[0] for row in ROWS])
def test_row(scene: Scene, what: str, ask: Ask, status: int, problem: str, pointer: str | None) -> None:
    del what
    check_refusal(ask(scene), status, problem, pointer)


def test_nothing_of_all_this_changed_anything(scene: Scene) -> None:
    deposit = accepted(scene.buyer.get(path_of(scene.deposit)))
    assert (deposit["status"], deposit["version"]) == ("cooling_off", scene.deposit["version"] + 1)  # the question
    assert accepted(scene.buyer.get(path_of(scene.waiting)))["payment"]["method"] == scene.waiting["payment"]["method"]
    assert accepted(scene.buyer.get(f"/v1/questions/{scene.question['id']}")) == scene.question
    status = {row["id"]: row["status"] for row in pages(scene.buyer, "/v1/priority-passes", 100)}
    told = {name: status.get(one) for name, one in scene.passes.items()}
    assert told == {**dict.fromkeys(told, "granted"), "used": "used", "lapsed": "lapsed", "stranger": None}


def test_a_pass_for_goods_at_its_price_is_good_and_one_fen_dearer_is_not(scene: Scene) -> None:
    def sold(price: Json, **changes: Any) -> Json:
        item = {"sku": "su7-max", "name": "SU7 Max", "price": price}
        return scene.world.offer(scene.merchant, items=[item], **changes)

    held = granted(scene.world, scene.buyer, scene.merchant)
    dearer, rupiahs = sold(cny("299900.01")), sold(rupiah("1"), currency="IDR", market="ID", payment=IN_RUPIAH)
    for offer in (dearer, rupiahs):
        check_refusal(scene.order(offer, priority_pass=held), 409, NOT_VALID)
    bought = scene.order(sold(cny("299900")), priority_pass=held)
    assert accepted(bought, 201)["priority_pass"] == held


IN_RUPIAH: Final[Json] = {"take": "full", "nature": "advance", "methods": ["card"]}


def test_a_deposit_of_another_shop_is_skipped_like_one_that_is_not_there(scene: Scene) -> None:
    """And so is one of another offer: a bulk cancellation never leaves the offer it was asked for."""
    elsewhere = scene.world.paid(scene.buyer, scene.world.offer(scene.merchant, window=FOREVER))
    strange = [scene.foreign["id"], elsewhere["id"], f"dep_{OTHER}"]
    for one in strange:
        begun = accepted(scene.many([one]), 202)
        assert (begun["status"], begun["counts"]["pending"]) == ("running", 1)
        done: Json = begun
        for _ in range(MAX_PASSES):
            scene.world.run("close_windows")
            done = accepted(scene.merchant.get(f"{scene.bulks}/{begun['id']}"))
            if done["status"] != "running":
                break
        assert done["results"] == [{"deposit": one, "outcome": "skipped", "reason": "not-found"}]
    for untouched in (scene.foreign, elsewhere):
        assert accepted(scene.buyer.get(path_of(untouched)))["status"] == "cooling_off"


def test_fifteen_hundred_ids_are_taken_and_wait_for_a_second_person(scene: Scene) -> None:
    begun = accepted(scene.many(ids(1_500)), 202)
    assert (begun["status"], begun["counts"]["total"]) == ("awaiting_approval", 1_500)


# --- What looks bad and is good ---

WORDS: Final = [
    NOTE,
    "x",
    " ",
    "\n\t\u0000\u001b[31m",
    "\u202e</script><script>alert(1)</script>",
    "\U0001f600" * 2_000,
    "=1+1",
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: repr(words)[:24])
def test_words_are_words_whatever_stands_in_them(scene: Scene, words: str) -> None:
    """A question and its answer come back as they were sent; the events tell neither, nor the note."""
    deposit = scene.world.paid(scene.buyer, scene.offer)
    asked = scene.merchant.post(f"{path_of(deposit)}/questions", {"kind": "verification", "text": words})
    question = accepted(asked, 201)
    assert asked.headers["location"] == f"/v1/questions/{question['id']}"
    told = accepted(scene.buyer.post(f"/v1/questions/{question['id']}/answer", {"text": words}))
    assert (told["text"], told["answer"], told["status"]) == (words, words, "answered")
    ended = scene.cancel(deposit, note=words)
    assert accepted(ended)["status"] == "cancelled"
    if len(words) > 10:
        shown = ended.raw + scene.buyer.get(f"{path_of(deposit)}/events").raw
        assert words.encode() not in shown


GOOD_EVIDENCE: Final[list[list[str]]] = [
    [f"photo:{n}" for n in range(20)],
    ["x" * 200],
    ["score:99", STOCK],
    ["scores:1"],
    ["\u540c\u4e00\U0001f600</b>"],
]


@pytest.mark.parametrize("evidence", GOOD_EVIDENCE, ids=lambda evidence: repr(evidence)[:24])
def test_evidence_at_the_edge_is_taken_and_shown_as_it_was_given(scene: Scene, evidence: list[str]) -> None:
    deposit = scene.world.paid(scene.buyer, scene.offer)
    accepted(scene.cancel(deposit, evidence=evidence))
    assert accepted(scene.buyer.get(path_of(deposit)))["cancellation"]["evidence"] == evidence


def test_ten_questions_are_asked_and_the_eleventh_is_not(scene: Scene) -> None:
    deposit = scene.world.paid(scene.buyer, scene.offer)
    at = f"{path_of(deposit)}/questions"
    for n in range(10):
        assert "questions" in accepted(scene.merchant.get(path_of(deposit)))["actions"], n
        accepted(scene.merchant.post(at, {"kind": "contact", "text": f"Question {n}"}), 201)
    check_refusal(scene.merchant.post(at, {"kind": "contact", "text": "One more"}), 429, "rate-limited")
    assert "questions" not in accepted(scene.merchant.get(path_of(deposit)))["actions"]
    listed = accepted(scene.buyer.get(f"/v1/questions?deposit={deposit['id']}"))
    assert [one["text"] for one in listed["data"]] == [f"Question {n}" for n in reversed(range(10))]
    assert len(events_of(scene.buyer, deposit)) == deposit["version"] + 10


def test_a_pass_is_good_to_the_last_millisecond(own: World) -> None:
    buyer, merchant = own.buyer(), own.merchant()
    held = granted(own, buyer, merchant)
    offer = own.offer(merchant)
    [shown] = accepted(buyer.get("/v1/priority-passes"))["data"]
    until = instant(shown["valid_until"])
    own.set_clock(format_instant(until - HOUR))
    body = own.order(offer, priority_pass=held)
    check_refusal(buyer.post("/v1/deposits", body, asked=until), 409, NOT_VALID)
    accepted(buyer.post("/v1/deposits", body, asked=until - 1), 201)
    assert until - instant(now_of(own.anyone())) < DAY


def test_an_order_with_null_for_a_pass_is_an_order(scene: Scene) -> None:
    assert accepted(check_answer(scene.order(priority_pass=None)), 201)["priority_pass"] is None

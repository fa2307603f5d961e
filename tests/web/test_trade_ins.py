"""Trade-ins over HTTP: credit, one inspection, one published fee, and a refund that explains itself in three languages."""

from dataclasses import dataclass
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, SECOND, format_instant
from chalicelib.wiring import services
from tests.web.answer_checks import (
    accepted,
    amount_of,
    attend,
    check_refusal,
    cny,
    events_of,
    identity_holds,
    instant,
    path_of,
    refunds_of,
    same,
    trade_in_path,
)
from tests.world import Client, Json, Reply, World, rupiah

PAID: Final = "2218000"  # 3,000,000 for the new phone, less 800,000 for the old one, and 18,000 for shipping
FEE_LESS: Final = "2200000"
REFUND: Final = "2160000"
PHOTO: Final = ["photo:8f14e45f"]
MISMATCHED: Final[Json] = {"outcome": "mismatched", "grounds": ["PH_CONDITION_MISMATCH"], "evidence": PHOTO}
MATCHED: Final[Json] = {"outcome": "matched"}
LANGUAGES: Final = ("en", "id", "zh")
WINDOWED: Final[Json] = {
    "window": {"kind": "elapsed", "length": "PT168H"},
    "lock": {"at": "window_end", "early": True, "review": "PT10S", "intent_ttl": "PT15M", "undo": "PT1H"},
}


@dataclass(frozen=True)
class Trade:
    """A paid deposit with an old device, and the three who deal with it."""

    world: World
    buyer: Client
    merchant: Client
    inspector: Client
    deposit: Json

    def inspect(self, body: Json, **options: Any) -> Reply:
        return self.inspector.post(f"{trade_in_path(self.deposit)}/inspection", body, **options)

    def fails(self, by: str, **options: Any) -> Reply:
        return self.merchant.post(f"{trade_in_path(self.deposit)}/cancel", {"by": by}, **options)

    def cancel(self, **options: Any) -> Reply:
        return self.buyer.post(f"{path_of(self.deposit)}/cancel", {}, **options)

    def look(self, **options: Any) -> Json:
        return accepted(self.buyer.get(path_of(self.deposit), **options))

    def show(self, **options: Any) -> Json:
        return accepted(self.buyer.get(trade_in_path(self.deposit), **options))

    def executed(self) -> list[str]:
        """What the provider's books say went back, once the jobs have run."""
        attend(self.deposit)
        attend(self.deposit)
        assert {row["status"] for row in self.world.books(self.deposit)} <= {"succeeded"}
        return [row["amount"]["amount"] for row in self.world.books(self.deposit)]


def trade(world: World, **changes: Any) -> Trade:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.traded(buyer, world.trading(merchant, **changes))
    return Trade(world, buyer, merchant, world.inspector(), deposit)


def lines(refund: Json) -> list[tuple[str, str]]:
    return [(line["code"], line["amount"]["amount"]) for line in refund["lines"]]


# The order.


def test_an_order_with_an_old_device_pays_the_rest(world: World) -> None:
    buyer, offer = world.buyer(), world.trading()
    order = world.order(offer, trade_in={"category": "phone", "model": "old"})
    reply = buyer.post("/v1/deposits", order)
    deposit = accepted(reply, 201)
    assert reply.headers["location"] == path_of(deposit)
    assert deposit["trade_in"] == {
        "id": f"trd_{deposit['id'][4:]}_1",
        "category": "phone",
        "model": "old",
        "credit": rupiah("800000"),
        "fee_base": rupiah("3000000"),
        "fee_if_mismatched": rupiah("40000"),
        "status": "awaiting_handover",
    }
    amounts = {name: deposit[name]["amount"] for name in ("items_total", "shipping", "total", "due_now", "balance")}
    assert amounts == {"items_total": "3000000", "shipping": "18000", "total": PAID, "due_now": PAID, "balance": "0"}
    assert deposit["payment"]["amount"] == rupiah(PAID)
    assert deposit["items"][0]["unit_price"] == rupiah("3000000")
    world.pay(deposit)
    paid = accepted(buyer.get(path_of(deposit)))
    assert (paid["status"], paid["items"][0]["paid"]) == ("locked", rupiah(FEE_LESS))
    assert (amount_of(paid, "captured"), amount_of(paid, "held")) == (PAID, PAID)
    assert paid["trade_in"] == deposit["trade_in"]
    assert "changes" not in paid["actions"]
    shown = accepted(buyer.get(trade_in_path(deposit)))
    assert shown == {
        **deposit["trade_in"],
        "object": "trade_in",
        "deposit": deposit["id"],
        "inspection": None,
        "refund": None,
    }


def test_the_terms_name_the_version_that_fees_come_from(world: World) -> None:
    offer = world.trading()
    published = accepted(world.anyone().get("/v1/trade-in/schedules"))["data"][0]
    assert offer["trade_in"]["version"] == published["version"]
    assert offer["trade_in"]["values"] == {"old": rupiah("800000")}


CREDITS: Final = [
    # credit     what is due, with 18,000 for shipping
    ("1",        "3017999"),
    ("2999999",  "18001"),
    ("3000000",  "18000"),
    ("3000001",  "18000"),
]  # fmt: skip


@pytest.mark.parametrize(("credit", "due"), CREDITS)
def test_a_credit_is_at_most_the_price_of_its_line(world: World, credit: str, due: str) -> None:
    """Whatever is due can be paid, shown and given back."""
    one = trade(world, credit=credit)
    assert one.deposit["total"] == one.deposit["due_now"] == rupiah(due)
    credited = min(int(credit), 3_000_000)
    assert one.deposit["trade_in"]["credit"] == rupiah(str(credited))
    assert one.deposit["items"][0]["paid"] == rupiah(str(3_000_000 - credited))
    assert amount_of(accepted(one.cancel()), "fees") == "18000"


@pytest.mark.parametrize(("credit", "left"), [("2999999", True), ("3000000", False)])
def test_an_order_that_leaves_nothing_to_pay_is_refused(world: World, credit: str, left: bool) -> None:
    offer = world.trading(credit=credit, shipping=rupiah("0"))
    reply = world.buyer().post("/v1/deposits", world.order(offer, trade_in=GOOD))
    if left:
        assert accepted(reply, 201)["due_now"] == rupiah("1")
    else:
        check_refusal(reply, 422, "invalid-request", "/trade_in/model")


def test_a_part_may_be_paid_first(world: World) -> None:
    """500,000 now with the shipping, the balance later; never more than the total."""
    payment = {"take": "deposit", "deposit": rupiah("500000"), "nature": "advance"}
    one = trade(world, payment=payment)
    assert [one.deposit[name]["amount"] for name in ("due_now", "balance", "total")] == ["518000", "1700000", PAID]
    refund = accepted(one.inspect(MISMATCHED))["refund"]
    assert lines(refund) == [("paid", "518000"), ("shipping_kept", "-18000"), ("trade_in_fee", "-40000")]
    rest = trade(world, payment=payment, credit="2900000")
    assert [rest.deposit[name]["amount"] for name in ("due_now", "balance", "total")] == ["118000", "0", "118000"]


TWO: Final = [{"sku": "new", "quantity": 1}, {"sku": "case", "quantity": 1}]
GOOD: Final = {"category": "phone", "model": "old"}
FAULTY_ORDERS: Final[list[tuple[str, Json, str]]] = [
    # what                          changes                                                         pointer
    ("two units",                   {"items": [{"sku": "new", "quantity": 2}]},                     "/items"),
    ("two lines",                   {"items": TWO},                                                 "/items"),
    ("another category",            {"trade_in": {**GOOD, "category": "tv"}},                       "/trade_in/category"),
    ("a category of no schedule",   {"trade_in": {**GOOD, "category": "car"}},                      "/trade_in/category"),
    ("an item of another category", {"items": [{"sku": "case", "quantity": 1}]},                    "/trade_in/category"),
    ("a model without a value",     {"trade_in": {**GOOD, "model": "older"}},                       "/trade_in/model"),
    ("a model in capitals",         {"trade_in": {**GOOD, "model": "OLD"}},                         "/trade_in/model"),
    ("no model",                    {"trade_in": {"category": "phone"}},                            "/trade_in/model"),
    ("no category",                 {"trade_in": {"model": "old"}},                                 "/trade_in/category"),
    ("a credit of one's own",       {"trade_in": {**GOOD, "credit": rupiah("3000000")}},            "/trade_in/credit"),
    ("a fee of one's own",          {"trade_in": {**GOOD, "fee_base": rupiah("1")}},                "/trade_in/fee_base"),
    ("a model as a number",         {"trade_in": {**GOOD, "model": 12}},                            "/trade_in/model"),
    ("a text",                      {"trade_in": "old"},                                            "/trade_in"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shelf(world: World) -> Json:
    """A phone and something else."""
    items = [
        {"sku": "new", "name": "New", "category": "phone", "price": rupiah("3000000"), "stock": 100},
        {"sku": "case", "name": "Case", "category": "accessory", "price": rupiah("90000"), "stock": 100},
    ]
    return world.trading(items=items)


@pytest.mark.parametrize(("what", "changes", "pointer"), FAULTY_ORDERS, ids=[row[0] for row in FAULTY_ORDERS])
def test_a_faulty_order_is_told_where(world: World, shelf: Json, what: str, changes: Json, pointer: str) -> None:
    del what
    buyer = world.buyer()
    body = {**world.order(shelf, trade_in=GOOD), **changes}
    check_refusal(buyer.post("/v1/deposits", body), 422, "invalid-request", pointer)
    assert accepted(buyer.get("/v1/deposits"))["data"] == []


def test_where_the_offer_takes_no_old_device_the_order_says_so(world: World) -> None:
    body = world.order(world.offer(), trade_in=GOOD)
    check_refusal(world.buyer().post("/v1/deposits", body), 422, "invalid-request", "/trade_in")


def test_without_an_old_device_the_same_offer_sells_at_its_price(world: World, shelf: Json) -> None:
    deposit = world.ordered(world.buyer(), shelf)
    assert (deposit["trade_in"], deposit["total"]) == (None, rupiah("3018000"))


# Not what was declared.


def test_a_mismatch_ends_the_deposit_less_one_fee(world: World) -> None:
    one = trade(world)
    reply = one.inspect(MISMATCHED)
    answer = accepted(reply)
    assert (answer["object"], answer["deposit"], answer["status"]) == ("trade_in", one.deposit["id"], "mismatched")
    refund = answer["refund"]
    assert (refund["cause"], refund["status"], refund["amount"]) == ("trade_in_mismatch", "approved", rupiah(REFUND))
    assert lines(refund) == [("paid", PAID), ("shipping_kept", "-18000"), ("trade_in_fee", "-40000")]
    assert (refund["review"], refund["waiting_on"]) == (None, "provider")
    inspection = answer["inspection"]
    assert (inspection["outcome"], inspection["evidence"]) == ("mismatched", PHOTO)
    assert [ground["code"] for ground in inspection["grounds"]] == MISMATCHED["grounds"]
    assert refund["promised_by"] == format_instant(instant(inspection["at"]) + 7 * DAY)

    deposit = one.look()
    assert (deposit["status"], deposit["actions"], deposit["refund"]) == ("cancelled", ["claims"], refund)
    assert reply.headers["etag"] == f'"{deposit["version"]}-cancelled"'
    assert one.show() == answer
    held = {name: amount_of(deposit, name) for name in ("captured", "held", "refunding", "refunded", "fees")}
    assert held == {"captured": PAID, "held": "0", "refunding": REFUND, "refunded": "0", "fees": "58000"}
    assert identity_holds(deposit)
    types = [event["type"] for event in events_of(one.buyer, deposit)]
    assert types[-3:] == ["trade_in.inspected", "deposit.cancelled", "refund.approved"]

    assert one.executed() == [REFUND]
    settled = one.look()
    assert (amount_of(settled, "refunded"), amount_of(settled, "fees")) == (REFUND, "58000")
    assert identity_holds(settled)
    assert len(refunds_of(one.buyer, deposit)) == 1


def test_deductions_name_their_rule_and_the_fee_its_evidence(world: World) -> None:
    one = trade(world)
    paid, shipping, fee = accepted(one.inspect({**MISMATCHED, "evidence": ["photo:1", "report:2"]}))["refund"]["lines"]
    version = accepted(world.anyone().get("/v1/trade-in/schedules"))["data"][0]["version"]
    assert "rule" not in paid
    assert (shipping["rule"]["id"], shipping["rule"]["version"]) == ("id-tukar-tambah/shipping", version)
    assert (fee["rule"]["id"], fee["rule"]["version"]) == ("id-tukar-tambah/phone/1000001-3000000", version)
    assert fee["evidence"] == ["photo:1", "report:2"]
    assert "evidence" not in paid
    assert "evidence" not in shipping


TEXTS: Final = [
    # language  of the lines, in their order                                                          of the fee's band
    ("en", ["What you paid", "Shipping, not refunded", "Trade-in cancellation fee"],                  ("IDR 1,000,001", "IDR 3,000,000")),
    ("id", ["Yang Anda bayar", "Ongkos kirim, tidak dikembalikan", "Biaya pembatalan tukar tambah"],  ("Rp1.000.001 (IDR)", "Rp3.000.000 (IDR)")),
    ("zh", ["您支付的金额", "运费（不退）", "以旧换新取消费"],                                        ("1,000,001 印尼盾 (IDR)", "3,000,000 印尼盾 (IDR)")),  # noqa: RUF001 - as Chinese is written
]  # fmt: skip


@pytest.mark.parametrize(("language", "words", "band"), TEXTS, ids=[row[0] for row in TEXTS])
def test_the_refund_explains_itself_in_the_readers_language(
    world: World, language: str, words: list[str], band: tuple[str, str]
) -> None:
    """Told at once to the inspector, and whenever anybody reads it, in the language of that reader."""
    one = trade(world)
    told = accepted(one.inspect(MISMATCHED, accept_language=language))
    assert told == one.show(accept_language=language)
    assert [line["text"] for line in told["refund"]["lines"]] == words
    _, shipping, fee = told["refund"]["lines"]
    assert all(amount in fee["rule"]["text"] for amount in band)
    assert shipping["rule"]["text"]
    ids = {code: one.show(accept_language=code) for code in LANGUAGES}
    for part in ("text", "rule"):
        assert len({str(shown["refund"]["lines"][2][part]) for shown in ids.values()}) == len(LANGUAGES)
    assert len({shown["inspection"]["grounds"][0]["label"] for shown in ids.values()}) == len(LANGUAGES)


CASES: Final = [
    # the case               category  price       paid         grounds                                            fee      comes back
    ("one fee for two",      "phone",  "1900000",  "1415000",   ["PH_CONDITION_MISMATCH", "PH_DATA_WIPE_REFUSED"], "40000", "1357000"),
    ("nobody was there",     "phone",  "3000000",  "2218000",   ["PH_BUYER_NOT_FOUND"],                            "40000", "2160000"),
    ("one rupiah dearer",    "phone",  "3000001",  "2218001",   ["PH_BUYER_NOT_FOUND"],                            "45000", "2155001"),
    ("a television",         "tv",     "3000000",  "2800000",   ["TV_SCREEN_DEAD"],                                "40000", "2742000"),
    ("a dearer television",  "tv",     "3000001",  "2800001",   ["TV_SCREEN_DEAD"],                                "50000", "2732001"),
    ("a washing machine",    "washing_machine", "6000000", "5500000", ["WM_SEVERE_CORROSION"],                     "65000", "5417000"),
    ("a refrigerator",       "fridge", "10000001", "9150001",   ["FR_NO_COMPRESSOR", "FR_NOT_COLD"],               "100000", "9032001"),
    ("the fee takes all",    "phone",  "1000000",  "53000",     ["PH_CONDITION_MISMATCH"],                         "35000", "0"),
    ("the fee is cut",       "phone",  "1000000",  "52999",     ["PH_CONDITION_MISMATCH"],                         "34999", "0"),
    ("one rupiah is left",   "phone",  "1000000",  "53001",     ["PH_CONDITION_MISMATCH"],                         "35000", "1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "category", "price", "paid", "grounds", "fee", "back"), CASES, ids=[row[0] for row in CASES]
)
def test_what_a_mismatch_costs(
    world: World, case: str, category: str, price: str, paid: str, grounds: list[str], fee: str, back: str
) -> None:
    """18,000 for shipping stay, whatever the fee."""
    del case
    credit = str(int(price) + 18_000 - int(paid))
    one = trade(world, category=category, price=price, credit=credit)
    refund = accepted(one.inspect({**MISMATCHED, "grounds": grounds}))["refund"]
    assert lines(refund) == [("paid", paid), ("shipping_kept", "-18000"), ("trade_in_fee", f"-{fee}")]
    assert refund["amount"] == rupiah(back)
    deposit = one.look()
    assert amount_of(deposit, "fees") == str(18_000 + int(fee))
    assert identity_holds(deposit)
    assert one.executed() == ([back] if back != "0" else [])


def test_where_only_shipping_was_paid_there_is_no_fee_to_take(world: World) -> None:
    one = trade(world, price="1000000", credit="1000000")
    refund = accepted(one.inspect(MISMATCHED))["refund"]
    assert lines(refund) == [("paid", "18000"), ("shipping_kept", "-18000")]
    assert (refund["amount"], refund["status"]) == (rupiah("0"), "settled")
    assert one.executed() == []


NO_BAND: Final = [
    # category  price        fee told at the order, review
    ("phone",   "49999",     None,    "fee-band-undefined"),
    ("phone",   "50000",     "35000", None),
    ("phone",   "30000000",  "50000", None),
    ("phone",   "30000001",  None,    "fee-band-undefined"),
    ("tv",      "1000000",   None,    "fee-band-undefined"),
    ("tv",      "1000001",   "40000", None),
    ("tv",      "99999999",  "100000", None),
    ("tv",      "100000000", None,    "fee-band-undefined"),
]  # fmt: skip
ANY_GROUND: Final = {"phone": "PH_CONDITION_MISMATCH", "tv": "TV_CRT"}


@pytest.mark.parametrize(("category", "price", "fee", "review"), NO_BAND)
def test_a_price_in_no_band_costs_nothing_and_a_person_looks(
    world: World, category: str, price: str, fee: str | None, review: str | None
) -> None:
    one = trade(world, category=category, price=price, credit="1")
    told = one.deposit["trade_in"]["fee_if_mismatched"]
    assert told == (rupiah(fee) if fee is not None else None)
    refund = accepted(one.inspect({**MISMATCHED, "grounds": [ANY_GROUND[category]]}))["refund"]
    assert refund["review"] == review
    codes = [line["code"] for line in refund["lines"]]
    assert codes == ["paid", "shipping_kept"] + ["trade_in_fee"] * (fee is not None)
    assert amount_of(one.look(), "fees") == str(18_000 + int(fee or 0))


def test_where_the_law_gives_shipping_back_it_comes_back(world: World) -> None:
    one = trade(world, market="EU")
    refund = accepted(one.inspect(MISMATCHED))["refund"]
    assert lines(refund) == [("paid", PAID), ("trade_in_fee", "-40000")]
    assert amount_of(one.look(), "fees") == "40000"
    left = accepted(trade(world, market="EU").cancel())
    assert (lines(left["refund"]), amount_of(left, "fees")) == ([("paid", PAID)], "0")


@pytest.mark.parametrize("after", [-1, 0], ids=["inside the window", "at its end"])
def test_a_window_does_not_make_a_mismatch_free(world: World, after: int) -> None:
    """A mismatch costs the same before and after the lock."""
    one = trade(world, **WINDOWED)
    at = instant(one.deposit["window"]["ends_at"]) + after
    refund = accepted(one.inspect(MISMATCHED, asked=at))["refund"]
    assert lines(refund) == [("paid", PAID), ("shipping_kept", "-18000"), ("trade_in_fee", "-40000")]


# What was declared, and other ends.


def test_a_match_changes_nothing_else(world: World) -> None:
    one = trade(world)
    answer = accepted(one.inspect(MATCHED))
    assert (answer["status"], answer["refund"]) == ("matched", None)
    inspection = answer["inspection"]
    assert (inspection["outcome"], inspection["grounds"], inspection["evidence"]) == ("matched", [], [])
    deposit = one.look()
    own = {"version", "updated_at", "trade_in"}
    before = {name: part for name, part in one.deposit.items() if name not in own}
    assert {name: part for name, part in deposit.items() if name not in own} == before
    assert (deposit["trade_in"]["status"], deposit["version"]) == ("matched", one.deposit["version"] + 1)


def test_a_match_may_have_evidence_and_has_no_grounds(world: World) -> None:
    one = trade(world)
    check_refusal(one.inspect({**MATCHED, "grounds": ["PH_CONDITION_MISMATCH"]}), 422, "invalid-ground", "/grounds")
    assert accepted(one.inspect({**MATCHED, "evidence": PHOTO}))["inspection"]["evidence"] == PHOTO


def test_after_a_match_a_cancel_keeps_the_shipping_and_nothing_else(world: World) -> None:
    one = trade(world)
    accepted(one.inspect(MATCHED))
    deposit = accepted(one.cancel())
    assert lines(deposit["refund"]) == [("paid", PAID), ("shipping_kept", "-18000")]
    assert (deposit["refund"]["cause"], deposit["refund"]["review"]) == ("buyer_cancel", None)
    assert (deposit["trade_in"]["status"], amount_of(deposit, "fees")) == ("cancelled", "18000")
    assert one.executed() == [FEE_LESS]
    check_refusal(one.inspect(MISMATCHED), 409, "wrong-state")


@pytest.mark.parametrize("changes", [{}, WINDOWED], ids=["without a window", "after the window"])
def test_before_the_pick_up_a_cancel_keeps_the_shipping_by_rule(world: World, changes: Json) -> None:
    """And does what the preview said to the rupiah."""
    one = trade(world, **changes)
    at = instant(one.deposit["window"]["ends_at"]) if changes else services().clock()
    shown = accepted(
        one.buyer.get(f"{path_of(one.deposit)}/refund-preview?cause=buyer_cancel&at={format_instant(at + HOUR)}")
    )
    world.set_clock(format_instant(at + SECOND))
    deposit = accepted(one.cancel(asked=at))
    assert lines(deposit["refund"]) == [("paid", PAID), ("shipping_kept", "-18000")]
    assert shown["lines"] == deposit["refund"]["lines"]
    assert (shown["amount"], shown["fees"]) == (deposit["refund"]["amount"], deposit["money"]["fees"])
    assert (shown["rule"]["id"], shown["fees"]) == ("id-tukar-tambah/shipping", rupiah("18000"))
    assert one.executed() == [FEE_LESS]


def test_inside_a_window_everything_comes_back(world: World) -> None:
    one = trade(world, **WINDOWED)
    at = instant(one.deposit["window"]["ends_at"]) - 1
    curve = accepted(one.buyer.get(f"{path_of(one.deposit)}/refund-curve"))["points"]
    ends = [(point["to"], point["amount"]["amount"], [line["code"] for line in point["lines"]]) for point in curve]
    assert ends == [
        (one.deposit["window"]["ends_at"], PAID, ["paid"]),
        (None, FEE_LESS, ["paid", "shipping_kept"]),
    ]
    deposit = accepted(one.cancel(asked=at))
    assert lines(deposit["refund"]) == [("paid", PAID)]
    assert amount_of(deposit, "fees") == "0"


@pytest.mark.parametrize("cause", ["withdrawal", "merchant_cancel"])
def test_other_ends_keep_nothing_of_a_trade_in(world: World, cause: str) -> None:
    one = trade(world)
    shown = accepted(one.buyer.get(f"{path_of(one.deposit)}/refund-preview?cause={cause}"))
    assert (shown["amount"], shown["fees"]) == (rupiah(PAID), rupiah("0"))


@pytest.mark.parametrize("inspected", [False, True], ids=["before the inspection", "after a match"])
@pytest.mark.parametrize("by", ["seller", "courier"])
def test_when_others_let_it_fail_everything_comes_back(world: World, by: str, inspected: bool) -> None:
    one = trade(world)
    if inspected:
        accepted(one.inspect(MATCHED))
    answer = accepted(one.fails(by))
    assert (answer["status"], answer["refund"]["cause"]) == ("cancelled", "trade_in_cancel")
    assert lines(answer["refund"]) == [("paid", PAID)]
    assert (answer["inspection"] is not None) == inspected
    deposit = one.look()
    assert (deposit["status"], amount_of(deposit, "fees")) == ("cancelled", "0")
    assert identity_holds(deposit)
    assert one.executed() == [PAID]
    told = next(event for event in events_of(one.merchant, deposit) if event["type"] == "trade_in.cancelled")
    assert (told["data"], told["actor"]["role"]) == ({"by": by}, "merchant")
    check_refusal(one.fails(by), 409, "wrong-state")
    check_refusal(one.inspect(MATCHED), 409, "wrong-state")


@pytest.mark.parametrize("body", [{}, {"by": "buyer"}, {"by": None}, {"by": "courier", "note": "late"}])
def test_a_failure_names_seller_or_courier_and_nothing_else(world: World, body: Json) -> None:
    one = trade(world)
    pointer = "/note" if "note" in body else "/by"
    reply = one.merchant.post(f"{trade_in_path(one.deposit)}/cancel", body)
    check_refusal(reply, 422, "invalid-request", pointer)


# Only once, only then.


@pytest.mark.parametrize("first", [MATCHED, MISMATCHED], ids=["matched", "mismatched"])
@pytest.mark.parametrize("second", [MATCHED, MISMATCHED], ids=["then matched", "then mismatched"])
def test_an_inspection_is_made_once(world: World, first: Json, second: Json) -> None:
    one = trade(world)
    answer = accepted(one.inspect(first))
    told = check_refusal(one.inspect(second), 409, "wrong-state")
    assert told["trade_in"] == first["outcome"]
    assert one.show() == answer
    assert len(refunds_of(one.buyer, one.deposit)) == (first is MISMATCHED)


def test_before_the_payment_and_after_the_end_there_is_nothing_to_inspect(world: World) -> None:
    buyer, merchant, inspector = world.buyer(), world.merchant(), world.inspector()
    deposit = world.ordered(buyer, world.trading(merchant), trade_in=GOOD)
    one = Trade(world, buyer, merchant, inspector, deposit)
    for reply in (one.inspect(MATCHED), one.inspect(MISMATCHED), one.fails("seller")):
        assert check_refusal(reply, 409, "wrong-state")["state"] == "awaiting_payment"
    accepted(one.cancel())
    assert one.show()["status"] == "cancelled"
    for reply in (one.inspect(MATCHED), one.inspect(MISMATCHED), one.fails("seller")):
        assert check_refusal(reply, 409, "wrong-state")["state"] == "cancelled"
    expired = Trade(world, buyer, merchant, inspector, world.ordered(buyer, world.trading(merchant), trade_in=GOOD))
    late = instant(expired.deposit["payment"]["due_at"])
    assert check_refusal(expired.inspect(MATCHED, asked=late), 409, "wrong-state")["state"] == "expired"


def test_once_the_new_goods_are_shipped_there_is_nothing_to_inspect(world: World) -> None:
    one = trade(world)
    shipped = one.merchant.post(f"{path_of(one.deposit)}/shipments", {"lines": [{"line": 1, "quantity": 1}]})
    assert accepted(shipped)["status"] == "completed"
    for reply in (one.inspect(MISMATCHED), one.fails("seller")):
        assert check_refusal(reply, 409, "wrong-state")["state"] == "completed"


def test_while_a_refund_is_open_nothing_is_inspected(world: World) -> None:
    """What was paid too much goes back first."""
    buyer, merchant, inspector = world.buyer(), world.merchant(), world.inspector()
    deposit = world.ordered(buyer, world.trading(merchant), trade_in=GOOD)
    world.pay(deposit, amount=rupiah("2218001"))
    one = Trade(world, buyer, merchant, inspector, deposit)
    for reply in (one.inspect(MATCHED), one.inspect(MISMATCHED)):
        check_refusal(reply, 409, "wrong-state")
    assert one.executed() == ["1"]
    refund = accepted(one.inspect(MISMATCHED))["refund"]
    assert refund["amount"] == rupiah(REFUND)
    assert lines(refund)[:2] == [("paid", "2218001"), ("already_refunded", "-1")]
    assert one.executed() == ["1", REFUND]
    assert identity_holds(one.look())


def test_a_trade_in_leaves_no_room_for_other_goods(world: World) -> None:
    one = trade(world, **WINDOWED)
    assert "changes" not in one.look()["actions"]
    body = {"items": [{"sku": "new", "quantity": 2}]}
    check_refusal(one.buyer.post(f"{path_of(one.deposit)}/changes", body), 409, "wrong-state")


BODIES: Final[list[tuple[str, Json, str]]] = [
    # what                     body                                    pointer
    ("no outcome",             {"grounds": [], "evidence": PHOTO},     "/outcome"),
    ("another outcome",        {**MISMATCHED, "outcome": "broken"},    "/outcome"),
    ("a fee of one's own",     {**MISMATCHED, "fee": rupiah("0")},     "/fee"),
    ("an instant of one's own", {**MISMATCHED, "at": "2026-01-01T00:00:00Z"}, "/at"),
    ("one ground as a text",   {**MISMATCHED, "grounds": "PH_CONDITION_MISMATCH"}, "/grounds"),
    ("empty evidence",         {**MISMATCHED, "evidence": [""]},       "/evidence/0"),
    ("evidence of 201",        {**MISMATCHED, "evidence": ["x" * 201]}, "/evidence/0"),
    ("21 pieces of evidence",  {**MISMATCHED, "evidence": ["x"] * 21}, "/evidence"),
]  # fmt: skip


@pytest.fixture(scope="module")
def waiting(world: World) -> Trade:
    """Refusals change nothing, so one serves all."""
    return trade(world)


@pytest.mark.parametrize(("what", "body", "pointer"), BODIES, ids=[row[0] for row in BODIES])
def test_a_bad_inspection_is_told_where(waiting: Trade, what: str, body: Json, pointer: str) -> None:
    del what
    check_refusal(waiting.inspect(body), 422, "invalid-request", pointer)
    assert waiting.show()["status"] == "awaiting_handover"


def test_what_is_wrong_with_an_inspection_is_told_before_the_state(world: World) -> None:
    one = trade(world)
    accepted(one.cancel())
    check_refusal(one.inspect({**MISMATCHED, "evidence": []}), 422, "evidence-required", "/evidence")
    check_refusal(one.inspect({**MISMATCHED, "grounds": ["TV_CRT"]}), 422, "invalid-ground", "/grounds/0")
    check_refusal(one.inspect(MISMATCHED), 409, "wrong-state")


def test_not_met_is_a_ground_of_phones_only(world: World) -> None:
    one = trade(world, category="fridge")
    check_refusal(one.inspect({**MISMATCHED, "grounds": ["PH_BUYER_NOT_FOUND"]}), 422, "invalid-ground", "/grounds/0")


# Again, and by others.


def test_an_inspection_is_answered_again_byte_for_byte(world: World) -> None:
    """In the language of the first request, before and after the money went."""
    one = trade(world)
    first = one.inspect(MISMATCHED, idempotency_key="i", accept_language="id")
    accepted(first)
    same(first, one.inspect(MISMATCHED, idempotency_key="i", accept_language="zh"))
    assert one.executed() == [REFUND]
    same(first, one.inspect(MISMATCHED, idempotency_key="i"))
    check_refusal(one.inspect(MATCHED, idempotency_key="i"), 422, "idempotency-key-reused")
    assert one.executed() == [REFUND]
    assert one.look()["refund"]["status"] == "succeeded"


def test_a_match_and_a_failure_are_answered_again(world: World) -> None:
    one = trade(world)
    matched = one.inspect(MATCHED, idempotency_key="k")
    accepted(matched)
    failed = one.fails("courier", idempotency_key="k")
    accepted(failed)
    same(matched, one.inspect(MATCHED, idempotency_key="k"))
    same(failed, one.fails("courier", idempotency_key="k"))
    assert one.executed() == [PAID]


def test_an_inspector_changes_only_what_they_saw(world: World) -> None:
    one = trade(world)
    seen = one.inspector.get(trade_in_path(one.deposit)).headers["etag"]
    assert seen == f'"{one.deposit["version"]}-locked"'
    check_refusal(one.inspect(MATCHED, if_match='"1-awaiting_payment"'), 412, "stale-version")
    accepted(one.inspect(MATCHED, if_match=seen))


@pytest.mark.parametrize(
    "tell", ["trd_{0}_0", "trd_{0}_2", "trd_{0}", "trd_{0}_01", "dep_{0}", "ref_{0}_1", "x", "trd_"]
)
def test_a_trade_in_that_is_not_there_is_not_found(waiting: Trade, tell: str) -> None:
    path = "/v1/trade-ins/" + tell.format(waiting.deposit["id"][4:])
    check_refusal(waiting.buyer.get(path), 404, "not-found")
    check_refusal(waiting.inspector.post(f"{path}/inspection", MATCHED), 404, "not-found")
    check_refusal(waiting.merchant.post(f"{path}/cancel", {"by": "seller"}), 404, "not-found")


def test_a_deposit_without_a_trade_in_has_none(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.paid(buyer, world.offer(merchant))
    path = f"/v1/trade-ins/trd_{deposit['id'][4:]}_1"
    check_refusal(buyer.get(path), 404, "not-found")
    check_refusal(world.inspector().post(f"{path}/inspection", MATCHED), 404, "not-found")
    check_refusal(merchant.post(f"{path}/cancel", {"by": "seller"}), 404, "not-found")


# Fees and schedules, for everybody.


def fee_of(client: Client, price: str, category: str = "phone", **headers: Any) -> Reply:
    return client.get(f"/v1/trade-in/fees?schedule=id-tukar-tambah&category={category}&price={price}", **headers)


FEES: Final = [
    # category          price       fee       band
    ("phone",           "50000",    "35000",  "50000-1000000"),
    ("phone",           "1000000",  "35000",  "50000-1000000"),
    ("phone",           "1000001",  "40000",  "1000001-3000000"),
    ("phone",           "3000000",  "40000",  "1000001-3000000"),
    ("phone",           "3000001",  "45000",  "3000001-7000000"),
    ("phone",           "30000000", "50000",  "7000001-30000000"),
    ("tv",              "1000001",  "40000",  "1000001-3000000"),
    ("tv",              "99999999", "100000", "10000001-99999999"),
    ("washing_machine", "100000",   "20000",  "100000-1000000"),
    ("washing_machine", "1000001",  "45000",  "1000001-3000000"),
    ("fridge",          "10000000", "85000",  "6000001-10000000"),
    ("fridge",          "10000001", "100000", "10000001-99999999"),
]  # fmt: skip


@pytest.mark.parametrize(("category", "price", "fee", "band"), FEES)
def test_a_fee_is_told_with_its_band_and_its_rule(world: World, category: str, price: str, fee: str, band: str) -> None:
    told = accepted(fee_of(world.anyone(), price, category))
    lowest, highest = band.split("-")
    assert told["fee"] == rupiah(fee)
    assert told["band"] == {"from": rupiah(lowest), "to": rupiah(highest)}
    assert told["rule"]["id"] == f"id-tukar-tambah/{category}/{band}"


NO_FEE: Final = [
    ("phone", "49999"),
    ("phone", "30000001"),
    ("phone", "0"),
    ("tv", "1000000"),
    ("tv", "100000000"),
    ("washing_machine", "99999"),
    ("fridge", "100000000"),
]


@pytest.mark.parametrize(("category", "price"), NO_FEE)
def test_a_price_in_no_band_has_no_fee(world: World, category: str, price: str) -> None:
    told = check_refusal(fee_of(world.anyone(), price, category), 409, "fee-band-undefined")
    assert (told["category"], told["price"]) == (category, rupiah(price))


BAD_QUESTIONS: Final = [
    # query                                                     pointer
    ("schedule=x&category=phone&price=3000000",                 "/schedule"),
    ("schedule=&category=phone&price=3000000",                  "/schedule"),
    ("schedule=id-tukar-tambah%402025-01-01&category=phone&price=3000000", "/schedule"),
    ("schedule=..%2f..%2fmarkets%2fCN&category=phone&price=1",  "/schedule"),
    ("schedule=id-tukar-tambah&category=car&price=3000000",     "/category"),
    ("schedule=id-tukar-tambah&category=Phone&price=3000000",   "/category"),
    ("schedule=id-tukar-tambah&category=phone&price=1000000.5", "/price"),
    ("schedule=id-tukar-tambah&category=phone&price=1000000.05", "/price"),
    ("schedule=id-tukar-tambah&category=phone&price=-1",        "/price"),
    ("schedule=id-tukar-tambah&category=phone&price=3.000.000", "/price"),
    ("schedule=id-tukar-tambah&category=phone&price=03000000",  "/price"),
    ("schedule=id-tukar-tambah&category=phone&price=3e6",       "/price"),
    ("schedule=id-tukar-tambah&category=phone&price=",          "/price"),
    ("schedule=id-tukar-tambah&category=phone&price=10000000000000", "/price"),
    ("schedule=id-tukar-tambah&category=phone",                 "/price"),
    ("schedule=id-tukar-tambah&price=3000000",                  "/category"),
    ("category=phone&price=3000000",                            "/schedule"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "pointer"), BAD_QUESTIONS)
def test_a_question_that_cannot_be_read_is_told_where(world: World, query: str, pointer: str) -> None:
    check_refusal(world.anyone().get(f"/v1/trade-in/fees?{query}"), 422, "invalid-request", pointer)


def test_an_unknown_parameter_is_refused(world: World) -> None:
    path = "/v1/trade-in/fees?schedule=id-tukar-tambah&category=phone&price=1&currency=IDR"
    check_refusal(world.anyone().get(path), 422, "unknown-parameter", "/currency")
    check_refusal(world.anyone().get("/v1/trade-in/schedules?limit=1"), 422, "unknown-parameter", "/limit")


@pytest.mark.parametrize(("language", "band"), [(row[0], row[2]) for row in TEXTS])
def test_a_fee_is_explained_as_the_reader_writes_amounts(world: World, language: str, band: tuple[str, str]) -> None:
    """The very words that a refund will show."""
    told = accepted(fee_of(world.anyone(), "3000000", accept_language=language))
    assert all(amount in told["rule"]["text"] for amount in band)
    one = trade(world)
    accepted(one.inspect(MISMATCHED))
    assert one.show(accept_language=language)["refund"]["lines"][2]["rule"] == told["rule"]


def test_schedules_are_told_whole(world: World) -> None:
    (schedule,) = accepted(world.anyone().get("/v1/trade-in/schedules"))["data"]
    assert (schedule["id"], schedule["object"], schedule["currency"]) == ("id-tukar-tambah", "fee_schedule", "IDR")
    assert schedule["source"]
    counts = {one["code"]: (len(one["bands"]), len(one["grounds"])) for one in schedule["categories"]}
    assert counts == {"phone": (4, 3), "tv": (6, 6), "washing_machine": (5, 9), "fridge": (5, 5)}
    for category in schedule["categories"]:
        assert category["gaps"] == []
        for ground in category["grounds"]:
            assert (ground["at_fault"], bool(ground["evidence"]), bool(ground["label"])) == ("buyer", True, True)
        for band in category["bands"]:
            told = accepted(fee_of(world.anyone(), band["to"]["amount"], category["code"]))
            assert (told["fee"], told["band"]) == (band["fee"], {"from": band["from"], "to": band["to"]})


def test_labels_are_in_the_readers_language_and_codes_are_not(world: World) -> None:
    told = {
        language: accepted(world.anyone().get("/v1/trade-in/schedules", accept_language=language))["data"][0]
        for language in LANGUAGES
    }
    phones = [schedule["categories"][0] for schedule in told.values()]
    assert [phone["label"] for phone in phones] == ["Phone", "Ponsel", "手机"]
    assert len({str([ground["code"] for ground in phone["grounds"]]) for phone in phones}) == 1
    assert len({phone["grounds"][0]["label"] for phone in phones}) == len(LANGUAGES)


# Offers: checked with a whole schedule, published with the name of one.


def band(lowest: str, highest: str, fee: str, currency: str = "IDR") -> Json:
    amounts = {"from": lowest, "to": highest, "fee": fee}
    return {name: {"amount": amount, "currency": currency} for name, amount in amounts.items()}


def draft(*bands: Json, **changes: Any) -> Json:
    """An offer with a whole schedule of one category."""
    return {
        "title": "Tukar tambah",
        "market": "ID",
        "currency": "IDR",
        "preset": "trade_in_id",
        "items": [{"sku": "new", "name": "New", "category": "phone", "price": rupiah("3000000")}],
        "trade_in": {"schedule": {"categories": [{"code": "phone", "bands": bands}]}, "values": {"old": rupiah("1")}},
        **changes,
    }


def findings(world: World, body: Json, **headers: Any) -> list[Json]:
    found = accepted(world.merchant().post("/v1/offers/check", body, **headers))
    assert found["ok"] == all(one["severity"] == "warning" for one in found["findings"])
    rows: list[Json] = found["findings"]
    return rows


LOW: Final = band("50000", "1000000", "35000")
SENT: Final[list[tuple[str, list[Json], str | None, int, list[str]]]] = [
    # what is wrong          bands                                                  severity  of band  named in the message
    ("nothing",              [LOW, band("1000001", "3000000", "40000")],            None,      0, []),
    ("an equal fee",         [LOW, band("1000001", "3000000", "35000")],            None,      0, []),
    ("a fee of the price",   [band("35000", "1000000", "35000")],                   None,      0, []),
    ("a fee above it",       [band("34999", "1000000", "35000")],                   "error",   0, ["IDR 34,999", "IDR 1,000,000"]),
    ("a rupiah in both",     [LOW, band("1000000", "3000000", "40000")],            "error",   1, ["IDR 3,000,000", "IDR 50,000"]),
    ("a rupiah in none",     [LOW, band("1000002", "3000000", "40000")],            "warning", 1, ["IDR 1,000,001"]),
    ("a wide gap",           [LOW, band("2000000", "3000000", "40000")],            "warning", 1, ["IDR 1,000,001", "IDR 1,999,999"]),
    ("a falling fee",        [LOW, band("1000001", "3000000", "34999")],            "error",   1, ["IDR 1,000,001", "IDR 50,000"]),
    ("a band upside down",   [band("1000000", "50000", "35000")],                   "error",   0, ["IDR 1,000,000", "IDR 50,000"]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "bands", "severity", "place", "named"), SENT, ids=[row[0] for row in SENT])
def test_a_schedule_is_checked_before_it_is_published(
    world: World, what: str, bands: list[Json], severity: str | None, place: int, named: list[str]
) -> None:
    del what
    found = findings(world, draft(*bands))
    assert [one["severity"] for one in found] == [severity] * (severity is not None)
    for one in found:
        assert one["pointer"] == f"/trade_in/schedule/categories/0/bands/{place}"
        assert all(amount in one["message"] for amount in named), one["message"]


def test_findings_name_the_band_as_the_reader_writes_amounts(world: World) -> None:
    body = draft(LOW, band("1000000", "3000000", "40000"))
    told = {language: findings(world, body, accept_language=language)[0]["message"] for language in LANGUAGES}
    assert "Rp1.000.000 (IDR)" in told["id"]
    assert "1,000,000 印尼盾 (IDR)" in told["zh"]
    assert len(set(told.values())) == len(LANGUAGES)


def test_everything_that_is_wrong_is_found_at_once(world: World) -> None:
    """In every category, and beside the schedule."""
    body = draft(LOW, band("999999", "3000000", "34999"), title="")
    more = {"code": "tv", "bands": [band("1", "2", "3"), band("4", "5", "3")]}
    body["trade_in"]["schedule"]["categories"].append(more)
    found = {
        (finding["severity"], finding["pointer"].removeprefix("/trade_in/schedule/categories"))
        for finding in findings(world, body)
    }
    assert found == {
        ("error", "/0/bands/1"),
        ("error", "/1/bands/0"),
        ("warning", "/1/bands/1"),
        ("error", "/title"),
    }


def test_the_published_schedule_is_a_good_one(world: World) -> None:
    """Shaped as the service itself gives it, in any language."""
    for language in LANGUAGES:
        (whole,) = accepted(world.anyone().get("/v1/trade-in/schedules", accept_language=language))["data"]
        assert findings(world, draft(trade_in={"schedule": whole, "values": {"old": rupiah("1")}})) == []


def test_a_schedule_is_in_the_currency_of_its_offer(world: World) -> None:
    yuan = {
        "market": "CN",
        "currency": "CNY",
        "items": [{"sku": "new", "name": "New", "category": "phone", "price": cny("3000")}],
    }
    good = {"categories": [{"code": "phone", "bands": [band("0.01", "10", "0.01", "CNY")]}]}
    assert findings(world, draft(**yuan, trade_in={"schedule": good, "values": {"old": cny("1")}})) == []
    for body in (
        draft(trade_in={"schedule": good, "values": {"old": rupiah("1")}}),
        draft(
            **yuan,
            trade_in={"schedule": {"categories": [{"code": "phone", "bands": [LOW]}]}, "values": {"old": cny("1")}},
        ),
    ):
        found = findings(world, body)
        assert [one["severity"] for one in found] == ["error"]
        assert found[0]["pointer"].startswith("/trade_in")


BAD_SCHEDULES: Final[list[tuple[str, Any, str]]] = [
    # what                   schedule                                                        pointer below it
    ("nothing in it",        {},                                                             "/categories"),
    ("no category",          {"categories": []},                                             "/categories"),
    ("no band",              {"categories": [{"code": "phone", "bands": []}]},               "/categories/0/bands"),
    ("no code",              {"categories": [{"bands": [LOW]}]},                             "/categories/0/code"),
    ("a band without a fee", {"categories": [{"code": "phone", "bands": [{"from": rupiah("1"), "to": rupiah("2")}]}]},
                                                                                             "/categories/0/bands/0/fee"),
    ("half a rupiah",        {"categories": [{"code": "phone", "bands": [band("1", "2.5", "1")]}]},
                                                                                             "/categories/0/bands/0/to"),
    ("a fee as a number",    {"categories": [{"code": "phone", "bands": [{**LOW, "fee": 1}]}]},
                                                                                             "/categories/0/bands/0/fee"),
    ("more than a band has", {"categories": [{"code": "phone", "bands": [{**LOW, "x": 1}]}]},
                                                                                             "/categories/0/bands/0/x"),
    ("a list",               [LOW],                                                          ""),
    ("null",                 None,                                                           ""),
    ("a name of nobody",     "id-tukar-lagi",                                                ""),
]  # fmt: skip


@pytest.mark.parametrize(("what", "schedule", "pointer"), BAD_SCHEDULES, ids=[row[0] for row in BAD_SCHEDULES])
def test_a_schedule_that_cannot_be_read_is_told_where(world: World, what: str, schedule: Any, pointer: str) -> None:
    del what
    found = findings(world, draft(trade_in={"schedule": schedule, "values": {"old": rupiah("1")}}))
    assert [(one["severity"], one["pointer"]) for one in found] == [("error", f"/trade_in/schedule{pointer}")]


FAULTY_OFFERS: Final[list[tuple[str, Any, str]]] = [
    # what                       trade_in                                                                 pointer
    ("a whole schedule",         {"schedule": {"categories": []}, "values": {}},                          "/trade_in/schedule"),
    ("a schedule of nobody",     {"schedule": "x", "values": {}},                                         "/trade_in/schedule"),
    ("no schedule",              {"values": {}},                                                          "/trade_in/schedule"),
    ("no values",                {"schedule": "id-tukar-tambah"},                                         "/trade_in/values"),
    ("a value in yuan",          {"schedule": "id-tukar-tambah", "values": {"old": cny("1")}},            "/trade_in/values/old"),
    ("half a rupiah",            {"schedule": "id-tukar-tambah", "values": {"old": rupiah("0.5")}},       "/trade_in/values/old"),
    ("a version of one's own",   {"schedule": "id-tukar-tambah", "version": "2024-01-01", "values": {}},  "/trade_in/version"),
    ("a fee of one's own",       {"schedule": "id-tukar-tambah", "values": {}, "fee": rupiah("1")},       "/trade_in/fee"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "trade_in", "pointer"), FAULTY_OFFERS, ids=[row[0] for row in FAULTY_OFFERS])
def test_an_offer_names_a_published_schedule_and_its_values(
    world: World, what: str, trade_in: Any, pointer: str
) -> None:
    del what
    told = check_refusal(
        world.merchant().post("/v1/offers", draft(trade_in=trade_in)),
        422,
        "currency-mismatch" if "yuan" in str(trade_in) or "CNY" in str(trade_in) else "invalid-request",
        pointer,
    )
    assert [fault["pointer"] for fault in told["errors"]] == [pointer]

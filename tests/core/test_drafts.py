"""Reading an offer: the body over its preset, and a fault for every field that will not do."""

from typing import Any

import pytest

from chalicelib.core.common.field_errors import build_refusal as refused_for
from chalicelib.core.common.fields import read_money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.policy import market, offer_terms
from chalicelib.core.policy.market import Constraint
from chalicelib.core.policy.terms import Draft
from tests.core.stories import T0, body, money, plain, refused, wire

CAR = body()["items"][0]


def read(sent: dict[str, Any]) -> Draft:
    return offer_terms.read_offer(sent, T0)


def resolve(draft: Draft) -> tuple[Draft, tuple[Constraint, ...]]:
    return offer_terms.merge_market_policy(draft, T0)


def faults(sent: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with an offer, as pointer and reason."""
    with pytest.raises(Refused) as caught:
        read(sent)
    assert caught.value.reason in {Reason.INVALID_REQUEST, Reason.CURRENCY_MISMATCH}
    return [(fault.pointer, fault.why) for fault in caught.value.faults]


# --- The body over its preset ---


def test_objects_are_merged_member_by_member() -> None:
    draft = read(body(lock={"undo": "PT2H"}, window={"length": "PT24H"}))
    assert (draft.lock.undo, draft.lock.review, draft.lock.at) == ("PT2H", "PT10S", "window_end")
    assert draft.window is not None
    assert (draft.window.kind, draft.window.length) == ("elapsed", "PT24H")


def test_lists_are_replaced_whole() -> None:
    draft = read(body(payment={"methods": ["alipay"]}, lock={"remind_before": []}))
    assert (draft.payment.methods, draft.lock.remind_before) == (("alipay",), ())
    assert draft.payment.deposit == money("5000 CNY")


def test_amounts_are_replaced_whole() -> None:
    assert read(body(payment={"deposit": wire("3000 CNY")})).payment.deposit == money("3000 CNY")
    assert faults(body(payment={"deposit": {"amount": "3000"}})) == [("/payment/deposit", "missing")]
    assert faults(body(payment={"deposit": {}})) == [("/payment/deposit", "missing")]


def test_an_explicit_null_wins() -> None:
    draft = read(body(delivery={"within": None}, lock={"at": "payment", "undo": None}, window=None))
    assert (draft.delivery.within, draft.lock.undo, draft.window) == (None, None, None)
    assert faults(body(payment={"deposit": None})) == [("/payment/deposit", "deposit_missing")]
    assert faults(body(refund=None)) == [("/refund", "not_object")]
    assert faults(body(shipping=None)) == [("/shipping", "not_object")]


def test_the_deposit_is_dropped_when_everything_is_taken() -> None:
    full = {"take": "full", "nature": "advance"}
    assert read(body(payment=full)).payment.deposit is None
    assert read(body(payment={**full, "deposit": wire("5 CNY")})).payment.deposit is None


def test_amounts_of_another_currency_are_left_out() -> None:
    item = {**CAR, "price": wire("30000 EUR")}
    abroad = {"currency": "EUR", "market": "EU", "items": [item], "shipping": wire("9 EUR")}
    assert faults(body(**abroad)) == [("/payment/deposit", "deposit_missing")]
    draft = read(body(**abroad, payment={"deposit": wire("500 EUR")}))
    assert (draft.payment.deposit, draft.payment.nature) == (money("500 EUR"), "earnest")


def test_the_presets_currency_is_taken_where_none_is_given() -> None:
    sent = body()
    assert "currency" not in sent
    assert read(sent).currency == "CNY"


def test_shipping_is_nothing_in_the_offers_currency_unless_given() -> None:
    assert read(plain("flash_sale", "IDR")).shipping == money("0 IDR")
    assert read(plain("flash_sale", "IDR", shipping=wire("18000 IDR"))).shipping == money("18000 IDR")


def test_an_offer_without_a_preset_is_filled_from_what_we_recommend() -> None:
    sent = plain("recommended", payment={"deposit": wire("10 CNY")})
    named = read(sent)
    del sent["preset"]
    assert read(sent) == named
    assert named.preset == "recommended"


def test_reading_changes_neither_the_body_nor_the_preset() -> None:
    sent = body(payment={"take": "full", "nature": "advance", "deposit": wire("1 CNY")})
    read(sent)
    assert sent["payment"]["deposit"] == wire("1 CNY")
    assert read(body()).payment.deposit == money("5000 CNY")


def test_there_is_no_preset_of_another_name() -> None:
    with pytest.raises(FileNotFoundError):
        offer_terms.read_preset("su7_2030")
    assert "source" not in offer_terms.read_preset("su7_2024")


# --- Faults: the field and the reason ---

FAULTS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    # what is changed                                                what is said
    ({"market": "XX"},                                               [("/market", "unknown_market")]),
    ({"closes_at": "2024-03-28T14:00:00Z", "opens_at": "2024-03-28T14:00:00.001Z"}, [("/closes_at", "not_later")]),
    ({"closes_at": "2024-03-28T14:00:00Z", "opens_at": "2024-03-28T14:00:00Z"},     [("/closes_at", "not_later")]),
    ({"opens_at": "soon"},                                           [("/opens_at", "instant")]),
    ({"opens_at": "2024-02-30T00:00:00Z"},                           [("/opens_at", "instant")]),
    ({"closes_at": True},                                            [("/closes_at", "instant")]),
    ({"items": [CAR, {**CAR, "sku": "b"}, CAR]},                     [("/items/2/sku", "duplicate")]),
    ({"items": [{**CAR, "price": wire("0 CNY")}]},                   [("/items/0/price", "too_small")]),
    ({"items": []},                                                  [("/items", "too_few")]),
    ({"items": [{**CAR, "sku": f"s{n}"} for n in range(101)]},       [("/items", "too_many")]),
    ({"items": {}},                                                  [("/items", "not_list")]),
    ({"items": [5]},                                                 [("/items/0", "not_object")]),
    ({"items": [{**CAR, "sku": "has space"}]},                       [("/items/0/sku", "pattern")]),
    ({"items": [{**CAR, "category": "Vehicle"}]},                    [("/items/0/category", "pattern")]),
    ({"items": [{**CAR, "stock": 0}]},                               [("/items/0/stock", "too_small")]),
    ({"items": [{**CAR, "stock": 1_000_000_001}]},                   [("/items/0/stock", "too_large")]),
    ({"items": [{**CAR, "stock": 1.0}]},                             [("/items/0/stock", "not_integer")]),
    ({"items": [{**CAR, "stock": True}]},                            [("/items/0/stock", "not_integer")]),
    ({"items": [{**CAR, "made_to_spec": "yes"}]},                    [("/items/0/made_to_spec", "not_boolean")]),
    ({"items": [{**CAR, "price": "5"}]},                             [("/items/0/price", "not_object")]),
    ({"items": [{**CAR, "price": {"amount": 5, "currency": "CNY"}}]}, [("/items/0/price", "amount")]),
    ({"items": [{**CAR, "price": {"amount": "5", "currency": 1}}]},  [("/items/0/price", "currency")]),
    ({"items": [{**CAR, "price": wire("5.001 CNY")}]},               [("/items/0/price", "decimals")]),
    ({"items": [{**CAR, "price": wire("05 CNY")}]},                  [("/items/0/price", "amount")]),
    ({"items": [{**CAR, "price": {"amount": "5"}}]},                 [("/items/0/price", "missing")]),
    ({"items": [{**CAR, "price": {**wire("5 CNY"), "vat": "1"}}]},   [("/items/0/price", "unknown_field")]),
    ({"title": ""},                                                  [("/title", "too_short")]),
    ({"title": "x" * 201},                                           [("/title", "too_long")]),
    ({"title": 5},                                                   [("/title", "not_text")]),
    ({"colour": "red"},                                              [("/colour", "unknown_field")]),
    ({"market_policy": "ID-2026"},                                   [("/market_policy", "unknown_field")]),
    ({"a/b~c": 1},                                                   [("/a~1b~0c", "unknown_field")]),
    ({"lock": {"wait": "PT1H"}},                                     [("/lock/wait", "unknown_field")]),
    ({"lock": {"at": "later"}},                                      [("/lock/at", "choice")]),
    ({"lock": {"undo": "1 hour"}},                                   [("/lock/undo", "duration")]),
    ({"lock": {"undo": 60}},                                         [("/lock/undo", "duration")]),
    ({"transfer": "family"},                                         [("/transfer", "choice")]),
    ({"window": {"kind": "calendar_days"}},                          [("/window", "duration_days")]),
    ({"window": {"kind": "working_days", "length": "PT24H"}},        [("/window", "duration_days")]),
    ({"window": None},                                               [("/window", "window_needed")]),
    ({"lock": {"at": "payment"}},                                    [("/window", "window_not_with_payment")]),
    ({"lock": {"review": None}},                                     [("/lock", "review_needed")]),
    ({"lock": {"intent_ttl": None}},                                 [("/lock", "review_needed")]),
    ({"lock": {"intent_ttl": "PT10S"}},                              [("/lock/intent_ttl", "too_small")]),
    ({"lock": {"review": "PT1H"}},                                   [("/lock/intent_ttl", "too_small")]),
    ({"payment": {"deposit": wire("0 CNY")}},                        [("/payment/deposit", "too_small")]),
    ({"payment": {"deposit": None}},                                 [("/payment/deposit", "deposit_missing")]),
    ({"payment": {"take": "full"}},                                  [("/payment/nature", "earnest_needs_deposit")]),
    ({"payment": {"methods": []}},                                   [("/payment/methods", "too_few")]),
    ({"payment": {"methods": ["card", "cheque"]}},                   [("/payment/methods/1", "choice")]),
    ({"payment": {"methods": ["card", "card"]}},                     [("/payment/methods", "duplicate")]),
    ({"cancellation_reasons": ["OUT_OF_STOCK", "BORED"]},            [("/cancellation_reasons/1", "unknown_reason")]),
    ({"limits": {"per_buyer": 0}},                                   [("/limits/per_buyer", "too_small")]),
    ({"priority": {"reserved": {"su8": 1}}},                         [("/priority/reserved/su8", "unknown_sku")]),
    ({"priority": {"reserved": {"su7-max": 101}}},                   [("/priority/reserved/su7-max", "too_large")]),
    ({"priority": {"reserved": {"su7-max": 0}}},                     [("/priority/reserved/su7-max", "too_small")]),
    ({"trade_in": {"schedule": "moon", "values": {}}},               [("/trade_in/schedule", "unknown_schedule")]),
    ({"expected_peak_per_second": 0},                                [("/expected_peak_per_second", "too_small")]),
    ({"expected_peak_per_second": 100_001},                          [("/expected_peak_per_second", "too_large")]),
    ({"preset": "su7_2030", **dict.fromkeys(("payment", "lock", "after_lock", "balance", "delivery"), 1),
      "limits": 1, "claims": 1, "priority": 1, "refund": 1, "cancellation_reasons": 1, "expected_peak_per_second": "1"},
     [("/preset", "unknown_preset"), ("/currency", "missing"), ("/payment", "not_object"), ("/lock", "not_object"),
      ("/after_lock", "not_object"), ("/balance", "not_object"), ("/delivery", "not_object"), ("/limits", "not_object"),
      ("/claims", "not_object"), ("/cancellation_reasons", "not_list"), ("/priority", "not_object"),
      ("/expected_peak_per_second", "not_integer"), ("/refund", "not_object")]),
    ({"trade_in": {"schedule": "moon", "values": {"x": wire("5 EUR")}}},
     [("/trade_in/values/x", "currency_mismatch"), ("/trade_in/schedule", "unknown_schedule")]),
    ({"trade_in": {"schedule": "id-tukar-tambah", "values": {"x": wire("5 IDR")}, "version": "2025-01-01"}},
     [("/trade_in/values/x", "currency_mismatch"), ("/trade_in/version", "unknown_field"), ("/trade_in/schedule", "currency_mismatch")]),
    ({"trade_in": {"values": {}}},                                   [("/trade_in/schedule", "missing")]),
    ({"trade_in": {"schedule": "id-tukar-tambah"}},                  [("/trade_in/values", "missing")]),
    ({"trade_in": {"schedule": "id-tukar-tambah", "values": {"has space": wire("5 CNY")}}},
     [("/trade_in/values/has space", "pattern")]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), FAULTS, ids=[str(said[0]) for _, said in FAULTS])
def test_a_fault_names_its_field(change: dict[str, Any], said: list[tuple[str, str]]) -> None:
    assert faults(body(**change)) == said


def test_an_intent_lives_longer_than_it_is_read() -> None:
    lock = read(body(lock={"review": "PT10S", "intent_ttl": "PT11S"})).lock
    assert (lock.review, lock.intent_ttl) == ("PT10S", "PT11S")


def test_priority_units_of_an_uncounted_item_have_no_limit() -> None:
    item = {**CAR, "stock": None}
    assert read(body(items=[item], priority={"reserved": {"su7-max": 1000}})).priority.reserved == {"su7-max": 1000}


def test_priority_units_may_be_all_of_the_stock() -> None:
    assert read(body(priority={"reserved": {"su7-max": 100}})).priority.reserved == {"su7-max": 100}


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"shipping": wire("8 EUR")},                     ["/shipping"]),
        ({"payment": {"deposit": wire("8 EUR")}},         ["/payment/deposit"]),
        ({"items": [{**CAR, "price": wire("8 EUR")}]},    ["/items/0/price"]),
        ({"trade_in": {"schedule": "id-tukar-tambah", "values": {}}}, ["/trade_in/schedule"]),
        ({"currency": "EUR", "payment": {"deposit": wire("8 EUR")}}, ["/shipping", "/items/0/price"]),
    ],
)  # fmt: skip
def test_where_nothing_but_currencies_is_wrong_the_problem_says_so(change: dict[str, Any], pointers: list[str]) -> None:
    with refused(Reason.CURRENCY_MISMATCH, *((pointer, "currency_mismatch") for pointer in pointers)):
        read(body(**change))


@pytest.mark.parametrize("version", ["2025-01-01", "2099-01-01", ""])
def test_which_version_of_the_fees_holds_is_not_for_the_merchant_to_say(version: str) -> None:
    trade_in = {"schedule": "id-tukar-tambah", "values": {"old": wire("800000 IDR")}, "version": version}
    assert faults(plain("trade_in_id", "IDR", market="ID", trade_in=trade_in))[0][0] == "/trade_in/version"


def test_an_offer_freezes_the_version_of_the_fees_that_is_published() -> None:
    read_ = read(plain("trade_in_id", "IDR", market="ID", trade_in={"schedule": "id-tukar-tambah", "values": {}}))
    assert read_.trade_in is not None
    assert read_.trade_in.version is None
    resolved, _ = resolve(read_)
    assert resolved.trade_in is not None
    assert (resolved.trade_in.version, resolved.trade_in.name) == ("2025-01-01", "id-tukar-tambah@2025-01-01")


def test_a_mixed_bag_of_faults_is_an_invalid_request() -> None:
    found = (FieldError("/shipping", "currency_mismatch"), FieldError("/title", "missing"))
    assert refused_for(found).reason is Reason.INVALID_REQUEST
    assert refused_for(found[:1]).reason is Reason.CURRENCY_MISMATCH


@pytest.mark.parametrize("preset", [None, 5, [], {}, "su7_2030"])
def test_a_preset_that_is_none_is_said_beside_the_other_faults(preset: object) -> None:
    whole = read(body()).model_dump(mode="json", exclude={"market_policy"})
    found = faults({**whole, "preset": preset})
    assert ("/preset", "unknown_preset") in found
    assert {pointer for pointer, _ in found} == {"/preset"}


def test_what_is_missing_is_named() -> None:
    assert faults({}) == [
        ("/title", "missing"),
        ("/market", "missing"),
        ("/currency", "missing"),
        ("/items", "missing"),
        ("/shipping", "missing"),
    ]


def test_an_unknown_currency_is_a_fault_of_the_currency() -> None:
    item = {**CAR, "price": wire("5 CNY")}
    sent = {"title": "x", "market": "CN", "preset": "flash_sale", "currency": "ABC", "items": [item]}
    assert ("/currency", "currency") in faults(sent)


# --- Warnings stop nothing ---


def warned(**changes: Any) -> list[tuple[str, str]]:
    draft, _ = resolve(read(body(**changes)))
    return [(fault.pointer, fault.why) for fault in offer_terms.find_warnings(draft, T0)]


def car(price: str) -> dict[str, Any]:
    return {**CAR, "price": wire(price)}


BRIEF = {"delivery": {"within": None}}
WARNINGS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({},                                                                 []),
    ({"items": [car("25000 CNY")]},                                      []),
    ({"items": [car("24999.99 CNY")]},                                   [("/payment/deposit", "deposit_above_cap")]),
    ({"items": [car("299900 CNY"), {**car("100 CNY"), "sku": "b"}]},     [("/payment/deposit", "deposit_above_cap")]),
    ({"items": [car("100 CNY")], "after_lock": {"buyer_cancel": "refund"}}, []),
    ({"items": [car("100 CNY")], "market": "EU"},                        []),
    ({"payment": {"methods": ["card", "virtual_account"]}},              [("/payment/methods/1", "method_without_refund")]),
    ({"payment": {"methods": ["cash_on_delivery"]}},                     [("/payment/methods/0", "method_without_refund")]),
    ({"payment": {"methods": ["qris"]}, **BRIEF},                        [("/payment/methods/0", "refund_path_ends_first")]),
    ({"payment": {"methods": ["qris"]}, "window": {"length": "PT167H"}, **BRIEF}, []),
    ({"payment": {"methods": ["gopay"]}, "delivery": {"within": "P37D"}}, []),
    ({"payment": {"methods": ["gopay"]}, "delivery": {"within": "P38D"}}, [("/payment/methods/0", "refund_path_ends_first")]),
    ({"payment": {"methods": ["gopay"]}, "window": None, "lock": {"at": "payment"}, "delivery": {"within": "P44D"}}, []),
    ({"payment": {"methods": ["gopay"]}, "window": None, "lock": {"at": "payment"}, "delivery": {"within": "P45D"}},
     [("/payment/methods/0", "refund_path_ends_first")]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), WARNINGS)
def test_a_warning_names_what_to_think_about_again(changes: dict[str, Any], said: list[tuple[str, str]]) -> None:
    assert warned(**changes) == said


def test_full_payment_can_exceed_no_cap() -> None:
    draft = read(plain("flash_sale", "CNY"))
    assert not offer_terms.exceeds_forfeit_cap(draft, market.find_policy("CN", T0))


def test_money_that_was_read_already_is_kept() -> None:
    assert read_money(money("5 CNY")) == money("5 CNY")


def test_a_route_without_a_known_limit_outlives_every_window() -> None:
    assert offer_terms.outlasts_route(read(body()), None) is False

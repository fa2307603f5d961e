"""The terms a deposit is sold under: the presets cell by cell, and the hash that freezes them."""

import json
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import policies
from chalicelib.core.common.fields import lists_to_tuples, write_money
from chalicelib.core.policy import offer_terms
from chalicelib.core.policy.terms import Terms, compute_terms_hash, to_canonical_json
from tests.core.stories import T0, body, draft, plain, trading, wire

# As the contract's section 2 tables them; "-" is null or none. Money as "amount currency", lists as words.
PRESETS = """
field                     recommended  su7_2024                su7_founders_2024       flash_sale  trade_in_id
payment.take              deposit      deposit                 deposit                 full        full
payment.deposit           given        5000_CNY                20000_CNY               -           -
payment.nature            earnest      earnest                 earnest                 advance     advance
payment.methods           card         card+alipay+wechat_pay  card+alipay+wechat_pay  card+gopay  card+gopay
payment.due_within        PT30M        PT15M                   PT15M                   PT15M       PT1H
window.kind               elapsed      elapsed                 -                       -           -
window.length             PT168H       PT168H                  -                       -           -
lock.at                   window_end   window_end              payment                 payment     payment
lock.early                True         True                    False                   False       False
lock.review               PT10S        PT10S                   -                       -           -
lock.intent_ttl           PT15M        PT15M                   -                       -           -
lock.undo                 PT1H         PT1H                    PT1H                    -           -
lock.remind_before        PT72H+PT24H+PT2H  PT72H+PT24H+PT2H   -                       -           -
after_lock.buyer_cancel   forfeit      forfeit                 forfeit                 refund      refund
limits.per_buyer          -            1                       1                       1           1
limits.per_identity       -            -                       -                       -           -
claims.merchant_response  PT72H        PT72H                   PT72H                   PT72H       PT72H
claims.platform_decision  PT72H        PT72H                   PT72H                   PT72H       PT72H
delivery.within           -            P210D                   P210D                   -           -
refund.deadline           P7D          P7D                     P7D                     P7D         P7D
transfer                  none         none                    none                    none        none
trade_in                  -            -                       -                       -           -
opens_at                  -            -                       -                       -           -
closes_at                 -            -                       -                       -           -
balance.starts            ready        ready                   ready                   ready       ready
balance.due_within        P7D          P7D                     P7D                     P7D         P7D
balance.cure              P7D          P7D                     P7D                     P7D         P7D
priority.reserved         -            -                       -                       -           -
shipping                  0_CNY        0_CNY                   0_CNY                   0_IDR       0_IDR
"""
HEADER, *ROWS = [line.split() for line in PRESETS.strip().splitlines()]
CELLS = [(preset, row[0], cell) for row in ROWS for preset, cell in zip(HEADER[1:], row[1:], strict=True)]
EVERY_REASON = [reason["code"] for reason in policies.read("reasons/2026.toml")["reason"]]


def least(preset: str) -> Terms:
    """What a preset makes of an offer that gives nothing it need not give."""
    currency = "IDR" if preset in {"flash_sale", "trade_in_id"} else "CNY"
    given = {"payment": {"deposit": wire("777 CNY")}} if preset == "recommended" else {}
    return offer_terms.read_offer(plain(preset, currency, **given), T0)


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(value) or "-"
    if isinstance(value, Mapping) or value is None:
        return "-" if not value else str(value)
    return str(value).replace(" ", "_")


def test_every_preset_is_in_the_table() -> None:
    assert set(HEADER[1:]) == set(policies.names("presets"))


@pytest.mark.parametrize(("preset", "field", "cell"), CELLS, ids=[f"{cell[0]} {cell[1]}" for cell in CELLS])
def test_a_preset_says_what_the_contract_tables(preset: str, field: str, cell: str) -> None:
    expected = "777_CNY" if cell == "given" else cell
    terms = least(preset)
    if field.startswith("window.") and terms.window is None:
        assert cell == "-"
        return
    assert shown(attrgetter(field)(terms)) == expected


@pytest.mark.parametrize("preset", HEADER[1:])
def test_a_preset_publishes_every_reason_but_the_vague_one(preset: str) -> None:
    assert list(least(preset).cancellation_reasons) == [code for code in EVERY_REASON if code != "MERCHANT_OTHER"]


def test_what_a_preset_has_not_the_offer_must_give() -> None:
    """The window is null without a window, not half of one."""
    assert least("su7_founders_2024").window is None
    assert least("recommended").currency == "CNY"


# --- The hash ---


def shuffled(value: Any, dice: Any) -> Any:
    if isinstance(value, dict):
        names = list(value)
        dice.shuffle(names)
        return {name: shuffled(value[name], dice) for name in names}
    return [shuffled(part, dice) for part in value] if isinstance(value, list) else value


@given(st.randoms(use_true_random=False))
def test_the_hash_does_not_know_the_order_of_keys(dice: Any) -> None:
    assert compute_terms_hash(draft(shuffled(body(), dice))) == compute_terms_hash(draft(body()))


@pytest.mark.parametrize("stock", [1, 99, None])
def test_stock_is_no_term(stock: int | None) -> None:
    item = {**body()["items"][0], "stock": stock}
    assert compute_terms_hash(draft(body(items=[item]))) == compute_terms_hash(draft(body()))


def test_money_is_hashed_in_its_one_output_form() -> None:
    assert compute_terms_hash(draft(body(shipping=wire("88.00 CNY")))) == compute_terms_hash(draft(body()))


CAR = body()["items"][0]
CHANGES: list[dict[str, Any]] = [
    {"title": "SU7 Ultra"},
    {"market": "EU"},
    {"preset": "recommended", "currency": "CNY", "payment": {"deposit": wire("5000 CNY")}},
    {"opens_at": "2024-03-28T14:00:00Z"},
    {"closes_at": "2024-03-28T14:00:00Z"},
    {"items": [{**CAR, "sku": "su7"}]},
    {"items": [{**CAR, "name": "SU7"}]},
    {"items": [{**CAR, "category": "vehicle"}]},
    {"items": [{**CAR, "price": wire("299900.01 CNY")}]},
    {"items": [{**CAR, "made_to_spec": False}]},
    {"items": [CAR, {**CAR, "sku": "su7"}]},
    {"shipping": wire("88.01 CNY")},
    {"payment": {"take": "full", "nature": "advance"}},
    {"payment": {"deposit": wire("4999.99 CNY")}},
    {"payment": {"nature": "reservation"}},
    {"payment": {"methods": ["alipay", "card", "wechat_pay"]}},
    {"payment": {"due_within": "PT16M"}},
    {"window": {"kind": "calendar_days", "length": "P7D"}},
    {"window": {"length": "PT167H"}},
    {"lock": {"at": "never"}},
    {"lock": {"early": False}},
    {"lock": {"review": "PT11S"}},
    {"lock": {"intent_ttl": "PT16M"}},
    {"lock": {"undo": None}},
    {"lock": {"remind_before": ["PT72H"]}},
    {"after_lock": {"buyer_cancel": "refund"}},
    {"balance": {"due_within": "P8D"}},
    {"balance": {"cure": "P8D"}},
    {"delivery": {"within": None}},
    {"limits": {"per_buyer": 1}},
    {"limits": {"per_buyer": None, "per_identity": 1}},
    {"claims": {"merchant_response": "PT71H"}},
    {"claims": {"platform_decision": "PT71H"}},
    {"cancellation_reasons": ["OUT_OF_STOCK"]},
    {"priority": {"reserved": {"su7-max": 1}}},
    {"expected_peak_per_second": 21},
    {"refund": {"deadline": "P6D"}},
]


def test_any_changed_term_gives_another_hash() -> None:
    hashes = [compute_terms_hash(draft(body(**change))) for change in ({}, *CHANGES)]
    assert len(set(hashes)) == len(hashes)


def test_every_term_that_can_change_yet_is_among_the_changes() -> None:
    changed = {name for change in CHANGES for name in change} | {"market_policy"}
    assert changed == set(Terms.model_fields) - {"transfer", "trade_in"}  # trade-ins are in another currency: below


def test_what_is_said_of_a_trade_in_is_a_term_and_so_is_the_version_of_its_fees() -> None:
    under = trading()
    assert under.trade_in is not None
    versions = [
        under,
        trading(trade_in=None),
        trading(credit="800001 IDR"),
        under.model_copy(update={"trade_in": under.trade_in.model_copy(update={"values": {}})}),
        under.model_copy(update={"trade_in": under.trade_in.model_copy(update={"version": "2025-01-02"})}),
        under.model_copy(update={"trade_in": under.trade_in.model_copy(update={"schedule": "other"})}),
    ]
    assert len({compute_terms_hash(version) for version in versions}) == len(versions)
    assert json.loads(to_canonical_json(under))["trade_in"] == {
        "schedule": "id-tukar-tambah",
        "version": "2025-01-01",
        "values": {"old": wire("800000 IDR")},
    }


def test_the_hash_is_that_of_what_is_stored() -> None:
    terms = draft()
    stored = to_canonical_json(terms)
    assert rfc8785.dumps(json.loads(stored)) == stored
    assert b"stock" not in stored
    again = Terms.model_validate(lists_to_tuples(json.loads(stored)))
    assert (to_canonical_json(again), compute_terms_hash(again)) == (stored, compute_terms_hash(terms))
    assert compute_terms_hash(terms).startswith("sha256:")
    assert json.loads(stored)["shipping"] == write_money(terms.shipping)


def test_an_item_is_found_by_its_sku() -> None:
    terms = draft()
    assert terms.find_item("su7-max") == terms.items[0]
    assert terms.find_item("su7") is None
    assert draft().stock == {"su7-max": 100}

"""The law of a market, merged into an offer: never against the buyer, and always with its source."""

from pathlib import Path
from typing import Any, get_args

import pytest

from chalicelib.core.common.instants import parse_instant
from chalicelib.core.common.refusal import Reason
from chalicelib.core.ending.earnest_money import Default
from chalicelib.core.policy import market, offer_terms, texts
from chalicelib.core.policy.market import Constraint, Market
from chalicelib.core.policy.terms import Draft
from tests.core.stories import T0, body, plain, refused, wire
from tests.publishing import publishing, replaced

NATURE = Constraint("after_lock.buyer_cancel", "nature", "only earnest money can be forfeited")


def resolved(**changes: Any) -> tuple[Draft, list[tuple[str, str]]]:
    """The terms as they are sold, and what was changed: field and rule."""
    draft, constraints = offer_terms.merge_market_policy(offer_terms.read_offer(body(**changes), T0), T0)
    assert all(constraint.source for constraint in constraints)
    return draft, [(constraint.field, constraint.rule) for constraint in constraints]


def item(price: str, sku: str = "one", **more: Any) -> dict[str, Any]:
    return {"sku": sku, "name": "One", "price": wire(price), **more}


CUSTOM, STANDARD = item("299900 CNY", made_to_spec=True), item("299900 CNY", "two")
CANCEL = "after_lock.buyer_cancel"

CASES: list[tuple[dict[str, Any], str, list[tuple[str, str]]]] = [
    # what is offered                                         a cancel after the lock   what was changed
    ({"market": "CN"},                                        "forfeit", []),
    ({"market": "CN", "items": [item("25000 CNY")]},          "forfeit", []),
    ({"market": "CN", "items": [item("24999.99 CNY")]},       "forfeit", [("payment.deposit", "CN-2026/earnest_cap")]),
    ({"market": "ID"},                                        "refund",  [(CANCEL, "ID-2026/no_refund_clause")]),
    ({"market": "EU", "items": [CUSTOM]},                     "forfeit", []),
    ({"market": "EU", "items": [STANDARD]},                   "refund",  [(CANCEL, "EU-2026/made_to_spec_only")]),
    ({"market": "EU", "items": [CUSTOM, STANDARD]},           "forfeit", []),
    ({"market": "EU", "items": [STANDARD], "after_lock": {"buyer_cancel": "refund"}}, "refund", []),
    ({"market": "CN", "items": [item("100 CNY")], "after_lock": {"buyer_cancel": "refund"}}, "refund", []),
    ({"market": "CN", "payment": {"nature": "advance"}},      "refund",  [(CANCEL, "nature")]),
    ({"market": "CN", "payment": {"nature": "reservation"}},  "refund",  [(CANCEL, "nature")]),
    ({"market": "ID", "payment": {"nature": "advance"}},      "refund",  [(CANCEL, "nature")]),
    ({"market": "CN", "payment": {"take": "full", "nature": "advance"}}, "refund", [(CANCEL, "nature")]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "cancel", "changed"), CASES)
def test_a_market_changes_terms_only_in_the_buyers_favour(
    changes: dict[str, Any], cancel: str, changed: list[tuple[str, str]]
) -> None:
    draft, constrained = resolved(**changes)
    assert draft.after_lock.buyer_cancel == cancel
    assert constrained == changed


def test_the_source_of_a_change_is_the_law_itself() -> None:
    for code in ("ID", "EU"):
        _, (constraint,) = offer_terms.merge_market_policy(
            offer_terms.read_offer(body(market=code, items=[STANDARD]), T0), T0
        )
        assert constraint.source == market.find_policy(code, T0).forfeit.source
    _, constraints = offer_terms.merge_market_policy(
        offer_terms.read_offer(body(payment={"nature": "advance"}), T0), T0
    )
    assert constraints == (NATURE,)


@pytest.mark.parametrize(
    ("code", "asked", "promised"),
    [
        ("CN", "P15D",   "P15D"),
        ("CN", "P15DT1S", "P15D"),
        ("CN", "P16D",   "P15D"),
        ("CN", "P7D",    "P7D"),
        ("EU", "P14D",   "P14D"),
        ("EU", "P15D",   "P14D"),
        ("ID", "P7D",    "P7D"),
        ("ID", "PT169H", "P7D"),
        ("ID", "PT168H", "PT168H"),
        ("ID", "P1D",    "P1D"),
    ],
)  # fmt: skip
def test_a_refund_takes_no_longer_than_the_market_allows(code: str, asked: str, promised: str) -> None:
    draft, constrained = resolved(market=code, refund={"deadline": asked}, after_lock={"buyer_cancel": "refund"})
    assert draft.refund.deadline == promised
    rule = ("refund.deadline", f"{code}-2026/refund_deadline")
    assert constrained == ([] if asked == promised else [rule])


def test_two_changes_are_both_told() -> None:
    draft, constrained = resolved(market="ID", refund={"deadline": "P30D"})
    assert (draft.after_lock.buyer_cancel, draft.refund.deadline) == ("refund", "P7D")
    assert [field for field, _ in constrained] == [CANCEL, "refund.deadline"]


def test_the_terms_name_the_policy_they_were_resolved_under() -> None:
    draft, _ = resolved(market="EU")
    assert draft.market_policy == "EU-2026"
    assert draft.policy == market.find_policy("EU", T0)


def test_a_deposit_above_the_cap_is_not_lowered() -> None:
    """The excess always comes back; what is taken is between buyer and merchant."""
    draft, _ = resolved(items=[item("100 CNY")])
    assert draft.payment.deposit is not None
    assert draft.payment.deposit.amount == "5000"


def test_presets_resolve_in_every_market() -> None:
    for code in market.find_policies(T0):
        for name in ("flash_sale", "trade_in_id"):
            draft, constraints = offer_terms.merge_market_policy(
                offer_terms.read_offer(plain(name, "IDR", market=code), T0), T0
            )
            assert (draft.after_lock.buyer_cancel, constraints) == ("refund", ())


# --- The policies themselves ---


def test_the_markets_served_are_those_of_the_files() -> None:
    assert sorted(market.find_policies(T0)) == ["CN", "EU", "ID"]
    assert all(market.find_policy(code, T0).code == code for code in market.find_policies(T0))


def test_a_market_that_is_not_served_is_not_found() -> None:
    with refused(Reason.NOT_FOUND):
        market.find_policy("US", T0)


def test_the_policy_in_force_is_the_one_of_the_date_whenever_it_was_deployed(tmp_path: Path) -> None:
    begins = parse_instant("2027-03-01T00:00:00+08:00")
    with publishing(tmp_path) as publisher:
        later = replaced(publisher.text("markets/CN-2026.toml"), "id", '"CN-2027"')
        publisher.add("markets/CN-2027.toml", replaced(later, "from", "2027-03-01T00:00:00+08:00"))
        for at, expected in ((T0, "CN-2026"), (begins - 1, "CN-2026"), (begins, "CN-2027")):
            assert market.find_policy("CN", at).id == expected
            draft, _ = offer_terms.merge_market_policy(offer_terms.read_offer(body(), at), at)
            assert (draft.market_policy, draft.policy.id) == (expected, expected)


def test_a_market_that_is_left_takes_no_offer_and_keeps_its_law(tmp_path: Path) -> None:
    with publishing(tmp_path) as publisher:
        text = publisher.text("markets/CN-2026.toml")
        last = replaced(replaced(text, "id", '"CN-2027"'), "from", "2027-01-01\nuntil = 2027-06-01")
        publisher.add("markets/CN-2027.toml", last)
        ends = parse_instant("2027-06-01T00:00:00Z")
        assert offer_terms.read_offer(body(), ends - 1).market == "CN"
        with refused(Reason.INVALID_REQUEST, ("/market", "unknown_market")):
            offer_terms.read_offer(body(), ends)
        assert set(market.find_policies(ends)) == {"EU", "ID"}
        assert "CN" in market.list_codes()
        assert market.read_policy("CN-2026").code == market.read_policy("CN-2027").code == "CN"


@pytest.mark.parametrize("law", market.find_policies(T0).values(), ids=lambda law: law.id)
def test_a_policy_says_where_it_comes_from_in_every_language(law: Market) -> None:
    assert all((law.source, law.forfeit.source, law.seller_default.source, law.refund_deadline.source))
    assert law.default.source
    assert law.withdrawal is not None
    assert law.withdrawal.source
    rule = f"{law.id}/{law.forfeit.rule}"
    assert all(texts.read_text("markets", rule, locale=locale) for locale in ("en", "id", "zh"))
    assert law.calendar == (law.time_zone, law.holidays)


@pytest.mark.parametrize(
    ("code", "kept", "percent", "times", "proportional", "excused"),
    [
        ("CN", "always",       20,   2, True, ("both", "force_majeure")),
        ("EU", "made_to_spec", None, 1, True, ("both", "force_majeure")),
        ("ID", "never",        None, 1, True, ("both", "force_majeure")),
    ],
)  # fmt: skip
def test_what_a_default_costs_is_data(
    code: str, kept: str, percent: int | None, times: int, proportional: bool, excused: tuple[str, ...]
) -> None:
    law = market.find_policy(code, T0)
    assert (law.forfeit.allowed, law.forfeit.cap_percent, law.seller_default.multiplier) == (kept, percent, times)
    assert (law.default.proportional, law.default.excused) == (proportional, excused)
    assert set(law.default.excused) < set(get_args(Default))

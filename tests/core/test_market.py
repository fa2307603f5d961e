"""The law of a market, merged into an offer: never against the buyer, and always with its source."""

from typing import Any, get_args

import pytest

from chalicelib.core.common.refusal import Reason
from chalicelib.core.ending.earnest_money import Default
from chalicelib.core.policy import market, offer_terms
from chalicelib.core.policy.market import Constraint, Market
from chalicelib.core.policy.terms import Draft
from tests.core.stories import body, plain, refused, wire

NATURE = Constraint("after_lock.buyer_cancel", "nature", "only earnest money can be forfeited")


def resolved(**changes: Any) -> tuple[Draft, list[tuple[str, str]]]:
    """The terms as they are sold, and what was changed: field and rule."""
    draft, constraints = offer_terms.resolve(offer_terms.read(body(**changes)))
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
        _, (constraint,) = offer_terms.resolve(offer_terms.read(body(market=code, items=[STANDARD])))
        assert constraint.source == market.named(code).forfeit.source
    _, constraints = offer_terms.resolve(offer_terms.read(body(payment={"nature": "advance"})))
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
    assert draft.policy is market.named("EU")


def test_a_deposit_above_the_cap_is_not_lowered() -> None:
    """The excess always comes back; what is taken is between buyer and merchant."""
    draft, _ = resolved(items=[item("100 CNY")])
    assert draft.payment.deposit is not None
    assert draft.payment.deposit.amount == "5000"


def test_presets_resolve_in_every_market() -> None:
    for code in market.current():
        for name in ("flash_sale", "trade_in_id"):
            draft, constraints = offer_terms.resolve(offer_terms.read(plain(name, "IDR", market=code)))
            assert (draft.after_lock.buyer_cancel, constraints) == ("refund", ())


# --- The policies themselves ---


def test_the_markets_served_are_those_of_the_files() -> None:
    assert sorted(market.current()) == ["CN", "EU", "ID"]
    assert all(market.named(code).code == code for code in market.current())


def test_a_market_that_is_not_served_is_not_found() -> None:
    with refused(Reason.NOT_FOUND):
        market.named("US")


def test_the_policy_with_the_highest_id_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    law = market.named("CN")
    published = {"CN-2026": law, "CN-2027": law.model_copy(update={"id": "CN-2027"})}
    monkeypatch.setattr("chalicelib.policies.names", lambda _folder: tuple(published))
    monkeypatch.setattr("chalicelib.core.policy.market.policy", published.__getitem__)
    assert market.current.__wrapped__()["CN"].id == "CN-2027"


@pytest.mark.parametrize("law", market.current().values(), ids=lambda law: law.id)
def test_a_policy_says_where_it_comes_from_in_every_language(law: Market) -> None:
    assert all((law.source, law.forfeit.source, law.seller_default.source, law.refund_deadline.source))
    assert law.default.source
    assert law.withdrawal is not None
    assert law.withdrawal.source
    assert set(law.forfeit.text) == {"en", "id", "zh"}
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
    law = market.named(code)
    assert (law.forfeit.allowed, law.forfeit.cap_percent, law.seller_default.multiplier) == (kept, percent, times)
    assert (law.default.proportional, law.default.excused) == (proportional, excused)
    assert set(law.default.excused) < set(get_args(Default))

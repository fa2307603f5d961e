"""Dated rules: which version an instant meets, what is refused when it is loaded, and that nothing decided before changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from pydantic import ValidationError

from chalicelib.core import journal_replay, proof
from chalicelib.core.claims.answering import AcceptOffer, AddEvidence
from chalicelib.core.common.instants import DAY, HOUR, LAST_INSTANT, MINUTE, duration_ms, format_instant, parse_instant
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deadlines import overdue
from chalicelib.core.delivery.fulfilment import PayBalance
from chalicelib.core.deposit.fold import fold
from chalicelib.core.merchant import cancellation
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.policy import cancellation_reasons, claim_rules, dated, offer_terms, pass_rules, payment_routes
from chalicelib.core.policy.cancellation_reasons import Catalogue
from chalicelib.core.policy.claim_rules import ClaimRules
from chalicelib.core.policy.payment_routes import Routes
from tests.core.stories import (
    CANCEL,
    FIVE,
    LATER,
    PAID,
    SU7,
    T0,
    Story,
    body,
    bought,
    claimed,
    final,
    locked,
    offer,
    paid,
    refused,
    terms,
)
from tests.publishing import Publisher, publishing, replaced

OPENED: Final = PAID + DAY
CHANGES: Final = PAID + 2 * DAY  # the instant from which another version holds
OLD: Final = {"claims": "claims/2026.toml", "routes": "routes/2026-11-22.toml", "reasons": "reasons/2026.toml"}
OUT_OF_STOCK: Final = MerchantCancel("OUT_OF_STOCK", ("stock:1",))


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    with publishing(tmp_path) as found:
        yield found


def later(publisher: Publisher, rule: str, *replacements: tuple[str, str], begins: int = CHANGES) -> None:
    """A version of tomorrow: as today's, from an instant on, with one thing changed in its text."""
    text = replaced(publisher.text(OLD[rule]), "from", format_instant(begins))
    for before, after in replacements:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    publisher.add(f"{rule}/later.toml", text)


def unchanged(story: Story) -> None:
    """The journal means what it meant: the same fold, and every refund of it is what the rules give."""
    assert fold(story.deposit.id, story.events) == story.deposit
    for refund in story.deposit.refunds:
        made = proof.build_proof(story.deposit.id, story.events, refund.n, story.terms)
        assert proof.find_differences(made) == []
        assert not journal_replay.approval_differs(story.deposit.id, story.events, refund.n, story.terms)


# --- The loader ---


@pytest.mark.parametrize(
    ("at", "stands"), [(0, "PT48H"), (CHANGES - 1, "PT48H"), (CHANGES, "P3D"), (LAST_INSTANT, "P3D")]
)
def test_a_version_holds_from_its_instant_until_the_next_one(publisher: Publisher, at: int, stands: str) -> None:
    publisher.change(OLD["claims"], "claims/2027.toml", format_instant(CHANGES), offer_stands='"P3D"')
    assert claim_rules.find_claim_rules(at).offer_stands == stands


def test_before_the_first_version_there_is_no_answer() -> None:
    with pytest.raises(LookupError):
        claim_rules.find_claim_rules(-1)


@pytest.mark.parametrize(
    ("written", "begins"),
    [
        ("2027-03-01", "2027-03-01T00:00:00Z"),
        ("2027-03-01T00:00:00Z", "2027-03-01T00:00:00Z"),
        ("2027-03-01T00:00:00+08:00", "2027-02-28T16:00:00Z"),
    ],
)
def test_a_date_begins_at_midnight_utc_unless_it_names_its_distance(
    publisher: Publisher, written: str, begins: str
) -> None:
    publisher.change(OLD["claims"], "claims/2027.toml", written)
    assert dated.read_series("claims", ClaimRules).latest.from_ == parse_instant(begins)


def test_the_name_of_a_file_does_not_matter(publisher: Publisher) -> None:
    publisher.change(OLD["claims"], "claims/0.toml", format_instant(CHANGES), most_claims="3")
    publisher.change(OLD["claims"], "claims/z.toml", format_instant(CHANGES - DAY), most_claims="5")
    assert [claim_rules.find_claim_rules(at).most_claims for at in (CHANGES - DAY - 1, CHANGES - 1, CHANGES)] == [
        10,
        5,
        3,
    ]


@pytest.mark.parametrize(
    "begins", ["2027-03-01T00:00:00", '"2027-03-01"', "20270301", "12:00:00"], ids=["local", "text", "number", "time"]
)
def test_what_is_no_date_is_not_loaded(publisher: Publisher, begins: str) -> None:
    publisher.change(OLD["claims"], "claims/2027.toml", begins)
    with pytest.raises(ValidationError):
        claim_rules.find_claim_rules(T0)


def test_two_versions_of_one_date_are_not_loaded(publisher: Publisher) -> None:
    publisher.change(OLD["claims"], "claims/2027.toml", "1970-01-01")
    with pytest.raises(ValueError, match="later than the one before"):
        claim_rules.find_claim_rules(T0)


def test_a_series_without_a_beginning_is_not_loaded(publisher: Publisher) -> None:
    publisher.change(OLD["claims"], OLD["claims"], "2020-01-01")
    with pytest.raises(ValueError, match="from 1970-01-01"):
        claim_rules.find_claim_rules(T0)


@pytest.mark.parametrize("name", ["source", "from", "version"])
def test_a_version_says_whence_and_since_when(publisher: Publisher, name: str) -> None:
    lines = publisher.text(OLD["claims"]).splitlines()
    publisher.add("claims/2027.toml", "\n".join(line for line in lines if not line.startswith(f"{name} =")))
    with pytest.raises(ValidationError, match=name):
        claim_rules.find_claim_rules(T0)


def test_an_empty_source_is_none(publisher: Publisher) -> None:
    publisher.change(OLD["claims"], "claims/2027.toml", "2027-01-01", source='""')
    with pytest.raises(ValidationError, match="source"):
        claim_rules.find_claim_rules(T0)


@pytest.mark.parametrize(("rule", "code"), [("reasons", "FORCE_MAJEURE"), ("routes", "ovo")])
def test_a_code_that_is_left_out_is_not_loaded(publisher: Publisher, rule: str, code: str) -> None:
    """It ends with a date: whoever chose it must be read, paid and proved for ever."""
    text = publisher.text(OLD[rule])
    head = f'[[reason]]\ncode = "{code}"' if rule == "reasons" else f"[route.{code}]"
    place = text.index(head)
    publisher.add(
        f"{rule}/later.toml", replaced(text[:place] + text[text.index("\n[", place + 1) :], "from", "2027-01-01")
    )
    with pytest.raises(ValueError, match=f"{code}.*must stay"):
        dated.read_series(rule, Catalogue if rule == "reasons" else Routes)


def test_every_rule_is_loaded_from_the_beginning() -> None:
    for read in (
        claim_rules.find_claim_rules,
        pass_rules.find_pass_rules,
        payment_routes.find_routes,
        cancellation_reasons.find_catalogue,
    ):
        assert read(0) == read(T0)


# --- A figure changes ---


def settled_by_offer(at: int = OPENED) -> Story:
    story = bought(FIVE)
    assert story.claim("short_shipment", at, (2, 1)) == "claim.opened"
    return story


def test_a_claim_figure_that_changes_leaves_settled_claims_and_their_proofs_alone(publisher: Publisher) -> None:
    story = settled_by_offer()
    story.ask(offer(str(story.latest_claim.owed)), OPENED + HOUR)
    story.ask(AcceptOffer(1), OPENED + 2 * HOUR)
    unchanged(story)
    later(publisher, "claims", ('offer_stands = "PT48H"', 'offer_stands = "P3D"'), ('["PT24H", "PT2H"]', '["PT12H"]'))
    unchanged(story)


def test_a_claim_keeps_the_figures_under_which_it_was_opened(publisher: Publisher) -> None:
    later(
        publisher,
        "claims",
        ('offer_stands = "PT48H"', 'offer_stands = "P3D"'),
        ('["PT24H", "PT2H"]', '["PT1H"]'),
        ("most_evidence = 20", "most_evidence = 1"),
    )
    for opened, stands, notices in ((CHANGES - 1, "PT48H", ("PT24H", "PT2H")), (CHANGES, "P3D", ("PT1H",))):
        story = settled_by_offer(opened)
        asked = CHANGES + HOUR
        story.ask(offer(str(story.latest_claim.owed)), asked)
        due = asked + duration_ms(stands)
        assert (story.latest_claim.due_at, story.latest_claim.remind_at) == (
            due,
            tuple(due - duration_ms(before) for before in notices),
        )
        more = AddEvidence(1, "buyer", ("photo:1", "photo:2"))
        assert story.said(more, asked) == ("claim.evidence_added" if opened < CHANGES else "rate-limited")
        story.write(due)
        assert story.latest_claim.remind_at == tuple(
            story.latest_claim.due_at - duration_ms(before) for before in notices if story.latest_claim.due_at
        )
        story.write(due + duration_ms(story.terms.claims.platform_decision))
        assert story.latest_claim.status.value == "granted_by_deadline"
        unchanged(story)


def test_until_when_a_claim_can_be_opened_is_what_held_when_the_time_began(publisher: Publisher) -> None:
    before, after = (bought(FIVE) for _ in range(2))
    before.ask(before.ship(), CHANGES - 1)
    after.ask(after.ship(), CHANGES)
    later(publisher, "claims", ('open_for = "P180D"', 'open_for = "P10D"'))
    assert before.claim("privacy", CHANGES + 100 * DAY) == "claim.opened"
    assert after.claim("privacy", CHANGES + 10 * DAY - 1) == "claim.opened"
    assert after.claim("privacy", CHANGES + 10 * DAY) == "claim-closed"


def test_until_when_a_lock_may_be_a_mistake_is_what_held_at_the_lock(publisher: Publisher) -> None:
    story = locked(at=PAID + 2 * MINUTE)
    later(publisher, "claims", ('mistaken_lock_for = "P7D"', 'mistaken_lock_for = "PT1H"'))
    assert story.claim("mistaken_lock", PAID + 6 * DAY) == "claim.opened"


def test_a_kind_of_claim_that_ended_cannot_be_opened_and_is_decided_on(publisher: Publisher) -> None:
    story = settled_by_offer()
    last = f"\n[kinds_end]\nshort_shipment = {format_instant(CHANGES + DAY)}\n"
    publisher.add("claims/later.toml", replaced(publisher.text(OLD["claims"]), "from", format_instant(CHANGES)) + last)
    with refused(Reason.INVALID_REQUEST, ("/kind", "choice")):
        bought(FIVE).ask(claimed("short_shipment", (2, 1)), CHANGES + DAY)
    assert bought(FIVE).said(claimed("short_shipment", (2, 1)), CHANGES + DAY - 1) == "claim.opened"
    story.ask(offer(str(story.latest_claim.owed)), CHANGES + DAY)
    story.ask(AcceptOffer(1), CHANGES + DAY)
    unchanged(story)


def test_the_time_that_terms_may_give_is_what_holds_when_they_are_published(publisher: Publisher) -> None:
    later(publisher, "claims", ('answer_at_least = "PT24H"', 'answer_at_least = "P5D"'))
    assert offer_terms.read_offer(body(), CHANGES - 1).claims.merchant_response == "PT72H"
    short = (("/claims/merchant_response", "too_small"), ("/claims/platform_decision", "too_small"))
    with refused(Reason.INVALID_REQUEST, *short):
        offer_terms.read_offer(body(), CHANGES)


# --- A remedy changes ---


def test_what_was_approved_under_a_remedy_is_still_what_the_rules_give(publisher: Publisher) -> None:
    before = paid()
    before.ask(OUT_OF_STOCK, CHANGES - 1)
    later(publisher, "reasons", *changed_remedy(publisher, "OUT_OF_STOCK", "seller_default_and_pass", "none"))
    unchanged(before)
    assert [refund.cause for refund in before.deposit.refunds] == ["merchant_cancel", "seller_default_compensation"]
    assert len(before.deposit.passes) == 1
    after = paid()
    after.ask(OUT_OF_STOCK, CHANGES)
    assert [refund.cause for refund in after.deposit.refunds] == ["merchant_cancel"]
    assert after.deposit.passes == ()
    unchanged(after)


def changed_remedy(publisher: Publisher, code: str, before: str, after: str) -> list[tuple[str, str]]:
    text = publisher.text(OLD["reasons"])
    start = text.index(f'code = "{code}"')
    entry = text[start : text.index("buyer_side", start)]
    return [(entry, entry.replace(f'remedy = "{before}"', f'remedy = "{after}"'))]


# --- A code ends ---

ENDS: Final = CHANGES + DAY


def ended_reason(publisher: Publisher) -> None:
    ends = f'code = "OUT_OF_STOCK"\nuntil = {format_instant(ENDS)}'
    later(publisher, "reasons", ('code = "OUT_OF_STOCK"', ends))


def ended_route(publisher: Publisher, method: str = "alipay") -> None:
    later(publisher, "routes", (f"[route.{method}]", f"[route.{method}]\nuntil = {format_instant(ENDS)}"))


def test_a_reason_that_ended_cannot_be_cited_and_can_be_appealed_against(publisher: Publisher) -> None:
    ended_reason(publisher)
    story, late = paid(), paid()
    story.ask(OUT_OF_STOCK, ENDS - 1)
    with refused(Reason.REASON_NOT_PUBLISHED, code="OUT_OF_STOCK"):
        late.ask(OUT_OF_STOCK, ENDS)
    assert "OUT_OF_STOCK" in SU7.cancellation_reasons
    assert story.claim("merchant_cancellation", ENDS + DAY) == "claim.opened"
    assert story.deposit.cancelled is not None
    cited = cancellation.find_cited_reason(story.deposit.cancelled)
    assert cited is not None
    assert cited.code == "OUT_OF_STOCK"
    unchanged(story)


def test_a_reason_that_ended_is_in_no_new_offer(publisher: Publisher) -> None:
    ended_reason(publisher)
    named = body(cancellation_reasons=["FORCE_MAJEURE", "OUT_OF_STOCK"])
    assert offer_terms.read_offer(named, ENDS - 1).cancellation_reasons == ("FORCE_MAJEURE", "OUT_OF_STOCK")
    with refused(Reason.INVALID_REQUEST, ("/cancellation_reasons/1", "unknown_reason")):
        offer_terms.read_offer(named, ENDS)
    kept = offer_terms.read_offer(body(), ENDS).cancellation_reasons
    assert set(SU7.cancellation_reasons) - set(kept) == {"OUT_OF_STOCK"}, "a preset offers it no more"


def test_a_method_that_ended_cannot_be_chosen_and_gives_money_back(publisher: Publisher) -> None:
    ended_route(publisher, "card")
    named = body(payment={"methods": ["alipay", "card"]})
    under = terms(payment={"methods": ["alipay", "card"]})
    assert offer_terms.read_offer(named, ENDS - 1).payment.methods == ("alipay", "card")
    with refused(Reason.INVALID_REQUEST, ("/payment/methods/1", "unknown_method")):
        offer_terms.read_offer(named, ENDS)
    story = paid(under, payment_method="card")
    story.ask(CANCEL, ENDS)
    assert story.refund.method == "card"
    unchanged(story)
    assert under.offers_method("card", ENDS - 1)
    assert not under.offers_method("card", ENDS)


def test_a_balance_is_not_paid_by_a_method_that_ended(publisher: Publisher) -> None:
    under = terms(payment={"methods": ["alipay", "card"]})
    story = final(under)
    story.ask(story.ready(), LATER)
    later(publisher, "routes", ("[route.card]", f"[route.card]\nuntil = {format_instant(LATER)}"))
    with refused(Reason.PAYMENT_METHOD_NOT_OFFERED, ("/payment_method", "unknown_method")):
        story.ask(PayBalance("card"), LATER)
    assert story.said(PayBalance("alipay"), LATER) == "balance.opened"


def test_a_route_is_that_of_the_decision_and_of_the_sending(publisher: Publisher) -> None:
    story = paid()
    story.ask(CANCEL, CHANGES - 1)
    due = overdue(story.deposit, LAST_INSTANT, LAST_INSTANT)
    later(publisher, "routes", changed_window(publisher, "card", 330, 5))
    assert overdue(story.deposit, LAST_INSTANT, LAST_INSTANT) == due, "no deadline has moved"
    assert story.refund.method == "card"
    assert payment_routes.find_route("card", CHANGES - 1).window_days == 330
    assert payment_routes.find_route("card", CHANGES).window_days == 5
    unchanged(story)


def changed_window(publisher: Publisher, method: str, before: int, after: int) -> tuple[str, str]:
    text = publisher.text(OLD["routes"])
    start = text.index(f"[route.{method}]")
    entry = text[start : text.index("settle_days", start)]
    return entry, entry.replace(f"window_days = {before}", f"window_days = {after}")

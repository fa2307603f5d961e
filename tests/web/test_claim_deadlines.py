"""Silence is an answer: decided by the clock, before any job has run and the same after; who answers late is heard, no more."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import HOUR, MINUTE, format_instant
from tests.web.answer_checks import (
    accepted,
    amount_of,
    attend,
    check_refusal,
    events_of,
    identity_holds,
    instant,
    path_of,
    refund_at,
    refunds_of,
    same,
)
from tests.world import Client, Dispute, Json, Reply, World, rupiah

OWED: Final = rupiah("490000")


def due(claim: Json) -> int:
    return instant(claim["due_at"])


def waiting(world: World) -> tuple[Dispute, int]:
    """The merchant has to answer until then."""
    one = world.short()
    return one, due(one.claim)


def in_review(world: World) -> tuple[Dispute, int]:
    """The platform has to."""
    one = world.short()
    return one, due(accepted(one.respond("reject")))


Make = Callable[[World], tuple[Dispute, int]]
SILENT: Final = [pytest.param(waiting, id="merchant"), pytest.param(in_review, id="platform")]


def everything(one: Dispute, asked: int | None = None) -> list[Any]:
    """All that a buyer can see of it, without when it was written down."""
    deposit = accepted(one.buyer.get(path_of(one.deposit), asked=asked))
    assert identity_holds(deposit)
    told = accepted(one.buyer.get(f"{path_of(one.deposit)}/events?limit=100", asked=asked))["data"]
    events = [{name: part for name, part in event.items() if name != "received_at"} for event in told]
    refunds = accepted(one.buyer.get(f"/v1/refunds?deposit={one.deposit['id']}", asked=asked))["data"]
    return [accepted(one.buyer.get(one.path, asked=asked)), deposit, events, refunds]


@pytest.mark.parametrize("make", SILENT)
def test_silence_grants_by_the_clock_without_any_job(own: World, make: Make) -> None:
    one, at = make(own)
    own.set_clock(format_instant(at - MINUTE))
    before = one.seen(asked=at - 1)
    assert before["status"] in {"awaiting_merchant", "in_review"}
    assert (before["due_at"], before["refunds"]) == (format_instant(at), [])
    after = accepted(one.buyer.get(one.path, asked=at))
    assert (after["status"], after["due_at"], after["paid"]) == ("granted_by_deadline", None, OWED)
    last = after["history"][-1]
    assert (last["what"], last["at"], last["by"]) == ("granted_by_deadline", format_instant(at), "clock")
    refund = accepted(one.buyer.get(f"/v1/refunds/{after['refund']}", asked=at))
    assert (refund["cause"], refund["amount"], refund["status"]) == ("claim", OWED, "approved")


@pytest.mark.parametrize("make", SILENT)
def test_a_job_writes_down_what_was_so_already(own: World, make: Make) -> None:
    one, at = make(own)
    own.set_clock(format_instant(at - MINUTE))
    told = everything(one, asked=at)
    own.set_clock(format_instant(at + MINUTE))
    own.run("close_windows")
    assert everything(one, asked=at) == told
    own.run("close_windows")
    assert everything(one, asked=at) == told
    own.run("send_refunds")
    assert [row["amount"] for row in own.books(one.deposit)] == [OWED]
    assert refund_at(one.buyer, {"id": one.seen()["refund"]})["status"] == "succeeded"


@pytest.mark.parametrize("make", SILENT)
def test_whoever_writes_first_writes_it_down(own: World, make: Make) -> None:
    """Any command on the deposit, long after: the decision stands at its own instant."""
    one, at = make(own)
    own.set_clock(format_instant(at + HOUR))
    body = {"deposit": one.deposit["id"], "kind": "privacy", "statement": "And who has my address?"}
    accepted(one.buyer.post("/v1/claims", body), 201)
    types = [event["type"] for event in events_of(one.buyer, one.deposit)]
    assert types.index("claim.granted_by_deadline") < len(types) - 1
    assert types[-1] == "claim.opened"
    assert one.seen()["history"][-1]["at"] == format_instant(at)
    assert [refund["created_at"] for refund in refunds_of(one.buyer, one.deposit)] == [format_instant(at)]


def respond(decision: str, amount: Json | None = None) -> Callable[[World, Dispute, int], Reply]:
    return lambda _world, one, at: one.respond(decision, amount, asked=at)


def rule(decision: str, amount: Json | None = None) -> Callable[[World, Dispute, int], Reply]:
    def ask(world: World, one: Dispute, at: int) -> Reply:
        body = {"decision": decision, "amount": amount, "reason": "Because."}
        return one.say(world.person("platform"), "ruling", body, asked=at)

    return ask


ANSWERS: Final = [
    # who waits  answer                            in time it is   decided as
    (waiting,    respond("accept"),                "accepted",     "accept"),
    (waiting,    respond("reject"),                "in_review",    "reject"),
    (waiting,    respond("offer", OWED),           "offered",      "offer"),
    (in_review,  rule("uphold"),                   "upheld",       "uphold"),
    (in_review,  rule("partly", rupiah("1")),      "partly",       "partly"),
    (in_review,  rule("dismiss"),                  "dismissed",    "dismiss"),
]  # fmt: skip
IDS: Final = [row[3] for row in ANSWERS]
Ask = Callable[[World, Dispute, int], Reply]


@pytest.mark.parametrize(("make", "answer", "status", "decision"), ANSWERS, ids=IDS)
def test_an_answer_counts_up_to_the_last_millisecond(
    own: World, make: Make, answer: Ask, status: str, decision: str
) -> None:
    del decision
    one, at = make(own)
    own.set_clock(format_instant(at - MINUTE))
    assert accepted(answer(own, one, at - 1))["status"] == status
    assert one.seen(asked=at)["status"] == status


@pytest.mark.parametrize("job", [False, True], ids=["no job", "after the job"])
@pytest.mark.parametrize(("make", "answer", "status", "decision"), ANSWERS, ids=IDS)
def test_a_late_answer_is_kept_and_changes_nothing(
    own: World, make: Make, answer: Ask, status: str, decision: str, job: bool
) -> None:
    del status
    one, at = make(own)
    own.set_clock(format_instant(at - MINUTE))
    granted = one.seen(asked=at)
    if job:
        own.set_clock(format_instant(at))
        own.run("close_windows")
    late = accepted(answer(own, one, at))
    told = late["history"][-1]
    assert (told["what"], told["decision"], told["applied"]) == ("answered_late", decision, False)
    assert told["by"] == ("platform" if make is in_review else "merchant")
    assert {**late, "history": late["history"][:-1]} == granted
    attend(one.deposit)
    assert [refund["id"] for refund in refunds_of(one.buyer, one.deposit)] == granted["refunds"]


def test_five_late_answers_are_enough(own: World) -> None:
    one, at = waiting(own)
    own.set_clock(format_instant(at))
    for _ in range(5):
        accepted(one.respond("accept"))
    assert check_refusal(one.respond("accept"), 429, "rate-limited")["most"] == 5
    assert [step["applied"] for step in one.seen()["history"]] == [True, True, *[False] * 5]


def test_a_late_answer_is_answered_again_byte_for_byte(own: World) -> None:
    one, at = waiting(own)
    own.set_clock(format_instant(at))
    first = one.respond("reject", idempotency_key="late")
    accepted(first)
    own.run("close_windows")
    own.run("send_refunds")
    same(first, one.respond("reject", idempotency_key="late"))


def test_nothing_else_can_be_said_to_a_claim_that_silence_has_decided(own: World) -> None:
    one, at = waiting(own)
    own.set_clock(format_instant(at))
    for what in ("accept-offer", "escalate", "withdraw"):
        assert check_refusal(one.buyer_says(what), 409, "claim-closed")["state"] == "granted_by_deadline"
    for who in (one.buyer, one.merchant):
        check_refusal(one.say(who, "evidence", {"evidence": ["photo:1"]}), 409, "claim-closed")


# The buyer's silence.


def test_a_silent_buyer_accepts_nothing_and_the_platform_decides(own: World) -> None:
    one = own.short()
    at = due(accepted(one.respond("offer", rupiah("600000"))))
    own.set_clock(format_instant(at - MINUTE))
    assert one.seen(asked=at - 1)["status"] == "offered"
    before = everything(one, asked=at)
    claim = before[0]
    assert (claim["status"], claim["due_at"]) == ("in_review", format_instant(at + 72 * HOUR))
    assert [(step["what"], step["by"]) for step in claim["history"]][-1] == ("escalated", "clock")
    own.set_clock(format_instant(at))
    own.run("close_windows")
    assert everything(one, asked=at) == before
    check_refusal(one.buyer_says("accept-offer"), 409, "wrong-state")
    assert accepted(rule("uphold")(own, one, at + HOUR))["paid"] == OWED


def test_an_offer_can_be_taken_up_to_the_last_millisecond(own: World) -> None:
    one = own.short()
    at = due(accepted(one.respond("offer", rupiah("600000"))))
    own.set_clock(format_instant(at - MINUTE))
    assert accepted(one.buyer_says("accept-offer", asked=at - 1))["paid"] == rupiah("600000")


def test_two_silences_in_a_row_pay_what_is_owed(own: World) -> None:
    """The buyer's on the offer, then the platform's: seen at once by whoever looks after both."""
    one = own.short()
    at = due(accepted(one.respond("offer", rupiah("600000")))) + 72 * HOUR
    own.set_clock(format_instant(at - MINUTE))
    assert one.seen(asked=at - 1)["status"] == "in_review"
    told = everything(one, asked=at)
    assert [step["what"] for step in told[0]["history"]] == ["opened", "offered", "escalated", "granted_by_deadline"]
    assert told[0]["paid"] == OWED
    own.set_clock(format_instant(at))
    own.run("close_windows")
    assert everything(one, asked=at) == told


# Notices, and what else the clock does.


def test_each_due_time_is_announced_twice(own: World) -> None:
    one, at = waiting(own)

    def notices() -> list[Json]:
        found = events_of(one.buyer, one.deposit)
        return [event for event in found if event["type"] == "claim.reminder"]

    for hours, count in ((24, 1), (2, 2)):
        own.set_clock(format_instant(at - hours * HOUR - MINUTE))
        assert len(notices()) == count - 1
        own.set_clock(format_instant(at - hours * HOUR))
        own.run("close_windows")
        assert len(notices()) == count
    assert [event["at"] for event in notices()] == [format_instant(at - hours * HOUR) for hours in (24, 2)]
    assert [step["what"] for step in one.seen()["history"]] == ["opened"]


def test_two_claims_of_a_deposit_are_decided_each_at_its_own_time(own: World) -> None:
    one, at = waiting(own)
    own.advance("PT1H")
    other = own.disputed(one.buyer, one.merchant, one.deposit, "other", amount=rupiah("8000"))
    later = due(other.claim)
    own.set_clock(format_instant(later + HOUR))
    seen = [one.seen(), other.seen()]
    assert [claim["history"][-1]["at"] for claim in seen] == [format_instant(at), format_instant(later)]
    deposit = accepted(one.buyer.get(path_of(one.deposit)))
    assert (deposit["status"], amount_of(deposit, "refunding")) == ("completed", "498000")
    own.run("close_windows")
    assert [one.seen(), other.seen()] == seen


@pytest.mark.parametrize("kind", ["merchant", "platform"])
def test_the_silent_lose_the_claim_to_the_clock_whoever_looks_first(own: World, kind: str) -> None:
    """A merchant's or the platform's own look shows them the same as the buyer's."""
    one, at = waiting(own)
    own.set_clock(format_instant(at))
    who: Client = one.merchant if kind == "merchant" else own.person("platform")
    assert accepted(who.get(one.path)) == one.seen()
    assert accepted(who.get(one.path))["status"] == "granted_by_deadline"

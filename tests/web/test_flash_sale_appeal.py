"""A flash sale as it should have gone, the second half: cancelled as abnormal, appealed, and first in line next time."""

from typing import Final

from chalicelib.core.common.instants import DAY, HOUR, format_instant
from tests.web.answer_checks import accepted, attend, check_refusal, instant, now_of, path_of, refunds_of
from tests.web.test_flash_sale import available, call_off, cancelled, passes, sale
from tests.world import Client, Dispute, Json, World, rupiah

ABNORMAL: Final = "BOT_AUTOMATION"
SIGNALS: Final = ["timing:2021-01-26", "device:2021-01-26"]


def counts(world: World, offer: Json) -> tuple[int, int, int]:
    """What everybody can see of a sale's cancellations for this reason."""
    told = accepted(world.anyone().get(f"/v1/offers/{offer['id']}/cancellations"))
    [row] = told["data"]
    assert row["reason"] == ABNORMAL
    assert all(told[name] == row[name] for name in ("cancelled", "appealed", "overturned"))
    return row["cancelled"], row["appealed"], row["overturned"]


def appealed(world: World, buyer: Client, deposit: Json) -> Dispute:
    return world.disputed(buyer, world.merchant(), deposit, "merchant_cancellation", evidence=["video:of-me-tapping"])


def test_a_buyer_who_was_called_a_machine_buys_first_in_the_next_sale(own: World) -> None:
    buyer, offer = own.buyer(), sale(own, stock=10, limits={"per_buyer": 1})
    deposit = own.paid(buyer, offer)
    left = available(own, offer)
    cancelled(own, deposit, ABNORMAL, SIGNALS)
    attend(deposit)
    assert [row["amount"] for row in own.books(deposit)] == [rupiah("2017000")]  # every rupiah, shipping too
    assert available(own, offer) == left + 1
    check_refusal(
        buyer.post("/v1/deposits", own.order(offer)), 409, "limit-reached"
    )  # the reason goes on counting the unit
    assert passes(buyer) == []
    assert counts(own, offer) == (1, 0, 0)

    appeal = appealed(own, buyer, deposit)
    assert (appeal.claim["status"], appeal.claim["owed"]) == ("awaiting_merchant", rupiah("0"))
    assert counts(own, offer) == (1, 1, 0)
    own.set_clock(format_instant(instant(appeal.claim["due_at"])))  # 72 hours, and not a word
    granted = appeal.seen()
    assert (granted["status"], granted["paid"], granted["refund"]) == ("granted_by_deadline", rupiah("0"), None)
    own.run("close_windows")
    assert appeal.seen() == granted
    assert counts(own, offer) == (1, 1, 1)
    assert len(refunds_of(buyer, deposit)) == 1
    [held] = passes(buyer)
    assert (held["status"], held["origin"], held["skus"]) == ("granted", deposit["id"], ["poco-m3"])
    assert held["price_cap"] == rupiah("1999000")
    own.ordered(buyer, offer)  # the unit counts against the limit no more

    opens = instant(now_of(own.anyone())) + 3 * DAY
    following = sale(own, stock=2, reserved=2, opens_at=format_instant(opens))
    check_refusal(buyer.post("/v1/deposits", own.order(following)), 409, "offer-not-open")
    first = own.ordered(buyer, following, priority_pass=held["id"])
    own.pay(first)
    assert accepted(buyer.get(path_of(first)))["status"] == "locked"
    assert [(priority_pass["status"], priority_pass["used_for"]) for priority_pass in passes(buyer)] == [
        ("used", first["id"])
    ]
    own.set_clock(format_instant(opens))
    check_refusal(own.buyer().post("/v1/deposits", own.order(following)), 409, "sold-out")


def test_the_pass_that_silence_gave_buys_before_any_job_has_written_it_down(own: World) -> None:
    buyer, offer = own.buyer(), sale(own)
    deposit = own.paid(buyer, offer)
    cancelled(own, deposit, ABNORMAL, SIGNALS)
    appeal = appealed(own, buyer, deposit)
    own.set_clock(format_instant(instant(appeal.claim["due_at"])))
    pass_id = f"pas_{deposit['id'][4:]}_1"
    first = own.ordered(buyer, sale(own), priority_pass=pass_id)
    assert first["priority_pass"] == pass_id
    assert [priority_pass["used_for"] for priority_pass in passes(buyer)] == [first["id"]]
    assert counts(own, offer) == (1, 1, 1)


def test_an_appeal_is_heard_once_and_a_dismissed_one_gives_nothing(own: World) -> None:
    buyer, offer, platform = own.buyer(), sale(own), own.person("platform")
    deposit = own.paid(buyer, offer)
    cancelled(own, deposit, ABNORMAL, SIGNALS)
    accepted(appealed(own, buyer, deposit).buyer_says("withdraw"))
    appeal = appealed(own, buyer, deposit)  # what was taken back may be asked again
    body: Json = {"deposit": deposit["id"], "kind": "merchant_cancellation", "statement": "Twice at once."}
    check_refusal(buyer.post("/v1/claims", body), 409, "funds-in-dispute")
    accepted(appeal.respond("reject", statement="Forty orders in a second."))
    ruling = {"decision": "dismiss", "reason": "The timing record stands."}
    assert accepted(appeal.say(platform, "ruling", ruling))["status"] == "dismissed"
    told = check_refusal(buyer.post("/v1/claims", body), 409, "claim-closed")
    assert told["claim"] == appeal.claim["id"]
    assert counts(own, offer) == (1, 1, 0)
    assert passes(buyer) == []
    check_refusal(buyer.post("/v1/deposits", own.order(offer)), 409, "limit-reached")


def test_an_upheld_appeal_gives_no_second_pass(own: World) -> None:
    """The reason gave one already; that it was wrong is counted all the same."""
    buyer, offer = own.buyer(), sale(own)
    deposit = own.paid(buyer, offer)
    accepted(call_off(own.merchant(), deposit))
    before = passes(buyer)
    assert len(before) == 1
    appeal = appealed(own, buyer, deposit)
    own.advance("PT71H")
    accepted(appeal.respond("accept"))
    assert passes(buyer) == before
    told = accepted(own.anyone().get(f"/v1/offers/{offer['id']}/cancellations"))
    assert (told["cancelled"], told["appealed"], told["overturned"]) == (1, 1, 1)


def test_what_cannot_be_appealed(own: World) -> None:
    """A cancellation of the buyer's own, one that took no money, and one of 180 days ago."""
    buyer, merchant, offer = own.buyer(), own.merchant(), sale(own, limits={"per_buyer": None})
    mine, late = own.paid(buyer, offer), own.paid(buyer, offer)
    accepted(buyer.post(f"{path_of(mine)}/cancel"))
    unpaid = own.ordered(buyer, offer)
    accepted(call_off(merchant, unpaid, "PAYMENT_TIMEOUT"))
    statement = {"kind": "merchant_cancellation", "statement": "No."}
    for deposit in (mine, unpaid):
        check_refusal(buyer.post("/v1/claims", {"deposit": deposit["id"], **statement}), 409, "wrong-state")
    ended = instant(cancelled(own, late, ABNORMAL, SIGNALS)["updated_at"])
    own.set_clock(format_instant(ended + 180 * DAY - HOUR))
    body = {"deposit": late["id"], **statement}
    check_refusal(buyer.post("/v1/claims", body, asked=ended + 180 * DAY), 409, "claim-closed")
    accepted(buyer.post("/v1/claims", body, asked=ended + 180 * DAY - 1), 201)

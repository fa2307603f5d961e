"""The 2024 case, whole: 5,000 yuan, 168 hours, cancelled in time, and every fen comes back."""

from chalicelib.core.common.instants import format_instant, parse_instant
from chalicelib.core.common.money import Money
from tests.web.answer_checks import attend
from tests.world import Json, World


def identity_holds(deposit: Json) -> bool:
    """captured = held + refunding + refunded + forfeited + fees, in fen."""
    minor = {name: Money.parse(one["amount"], one["currency"]).minor for name, one in deposit["money"].items()}
    parts = ("held", "refunding", "refunded", "forfeited", "fees")
    return minor["captured"] == sum(minor[part] for part in parts)


def test_a_cancel_one_millisecond_before_the_end_returns_everything(world: World) -> None:
    buyer = world.buyer()
    shipping = {"amount": "88", "currency": "CNY"}
    offer = world.offer(shipping=shipping)
    ordered = world.ordered(buyer, offer)
    assert identity_holds(ordered)
    world.pay(ordered)
    path = f"/v1/deposits/{ordered['id']}"
    cooling = buyer.get(path).json
    assert cooling["status"] == "cooling_off"
    assert identity_holds(cooling)
    ends_at = parse_instant(cooling["window"]["ends_at"])
    assert ends_at - parse_instant(cooling["window"]["starts_at"]) == 168 * 3_600_000
    world.set_clock(format_instant(ends_at + 5_000))  # the answer is late; the asking was not
    cancelled = buyer.post(f"{path}/cancel", {}, asked=ends_at - 1).json
    assert cancelled["status"] == "cancelled"
    assert cancelled["refund"]["amount"] == {"amount": "5088", "currency": "CNY"}
    assert identity_holds(cancelled)
    attend(ordered)
    refunded = buyer.get(path).json
    assert refunded["refund"]["status"] == "succeeded"
    assert refunded["money"]["refunded"] == {"amount": "5088", "currency": "CNY"}
    assert identity_holds(refunded)
    assert [(row["amount"], row["status"]) for row in world.books(ordered)] == [
        ({"amount": "5088", "currency": "CNY"}, "succeeded")
    ]

"""A sample offer and the lives of sample deposits under it: what the examples of the contract are made of.

Every state is decided by core, so an example cannot drift from what a caller gets.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from chalicelib.core.common.fields import lists_to_tuples
from chalicelib.core.common.ids import child, digest_id
from chalicelib.core.common.instants import duration_ms, parse_instant
from chalicelib.core.common.journal import Caller, RequestContext
from chalicelib.core.common.money import Money
from chalicelib.core.decide import decide
from chalicelib.core.delivery.fulfilment import DeclareDefault, Deliver, PayBalance, Ready, Receive, Ship
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.deposit import fold
from chalicelib.core.deposit import order as orders
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.ending.end import Cancel
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.merchant.question import Ask
from chalicelib.core.paying.provider_answers import CaptureSeen, PaymentSeen
from chalicelib.core.policy import offer_terms
from chalicelib.core.policy.terms import Terms, compute_terms_hash, to_canonical_json
from chalicelib.core.refunding.destination import NameDestination, Reroute, SendRefund
from chalicelib.core.refunding.goodwill import Grant
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.core.selling import offer as offers_
from chalicelib.core.selling import ordering, stock
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.offer import Constrained, Offer, OfferMade
from chalicelib.core.selling.ordering import HandedIn, Order, Ordered
from chalicelib.flows.entries import SYSTEM, to_entries
from chalicelib.flows.offers import Offered
from chalicelib.flows.snapshot import Outcome, take_snapshot
from chalicelib.web.deposits import render as deposits_render
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.offers import render as offers_render
from chalicelib.web.refunds import render as refunds_render

Json = Mapping[str, Any]

OPENED: Final = parse_instant("2026-11-21T09:00:00.000Z")
ORDERED: Final = parse_instant("2026-11-21T14:00:00.000Z")
BUYER: Final = Caller(digest_id("usr", "example", "buyer"), "buyer")
MERCHANT: Final = "mer_example"
SHOP: Final = Caller(digest_id("usr", "example", "shop"), "merchant", MERCHANT)
PLATFORM: Final = Caller(digest_id("usr", "example", "platform"), "platform")
OFFER_ID: Final = digest_id("off", "example", "offer")
DEPOSIT_ID: Final = digest_id("dep", "example", "deposit")
PAYMENT_ID: Final = child("pay", DEPOSIT_ID, 1)
REFUND_ID: Final = child("ref", DEPOSIT_ID, 1)

OFFER_BODY: Final[Json] = {
    "title": "SU7",
    "market": "CN",
    "preset": "su7_2024",
    "items": [
        {
            "sku": "su7-max",
            "name": "SU7 Max",
            "category": "vehicle",
            "price": {"amount": "299900", "currency": "CNY"},
            "stock": 5000,
            "made_to_spec": True,
        }
    ],
    "shipping": {"amount": "88", "currency": "CNY"},
}


class Sale(NamedTuple):
    """An offer and the terms it froze."""

    offer: Offer
    terms: Terms

    def shown(self) -> dict[str, Any]:
        """The offer as anybody reads it."""
        return offers_render.offer(Offered(self.offer, self.terms, self.offer.available, OPENED, DEFAULT))


class Story(NamedTuple):
    """A deposit on its way, with everything its answers are rendered from."""

    deposit: Deposit
    outcome: Outcome
    terms: Terms

    def then(self, command: Command, at: int, by: Caller = BUYER) -> "Story":
        """The story after one more command."""
        return self.after(decide(self.deposit, command, at, self.terms), at, by)

    def after(self, events: tuple[DepositEvent, ...], at: int, by: Caller) -> "Story":
        """The story after these events."""
        deposit = self.deposit
        for event in events:
            deposit = fold.evolve(deposit, event)
        journal = (*self.outcome.journal, *to_entries(events, RequestContext(at, by, at), by))
        return Story(deposit, Outcome(deposit, journal, take_snapshot(deposit, at), DEFAULT, self.terms), self.terms)

    def shown(self) -> Json:
        """The deposit as its buyer reads it."""
        return deposits_render.deposit(self.outcome, BUYER)

    def refunded(self) -> Json:
        """Its last refund."""
        return refunds_render.refund(self.deposit, self.deposit.refunds[-1], DEFAULT)


@cache
def sale(preset: str, *, made_to_spec: bool = True) -> Sale:
    """The sample offer under a preset."""
    items = [{**item, "made_to_spec": made_to_spec} for item in OFFER_BODY["items"]]
    return publish({**OFFER_BODY, "preset": preset, "items": items})


def publish(body: Json) -> Sale:
    """The offer that this body publishes."""
    draft, constraints = offer_terms.merge_market_policy(offer_terms.read_offer(body, OPENED), OPENED)
    made = OfferMade(
        at=OPENED,
        merchant=MERCHANT,
        terms_hash=compute_terms_hash(draft),
        opens_at=draft.opens_at,
        closes_at=draft.closes_at,
        stock=offers_.build_stock(draft),
        batch="example",
        constrained_by=tuple(Constrained(*constraint) for constraint in constraints),
    )
    frozen = Terms.model_validate(lists_to_tuples(json.loads(to_canonical_json(draft))))
    return Sale(offers_.fold(OFFER_ID, [made]), frozen)


def ordered(preset: str = "su7_2024", *, made_to_spec: bool = True) -> Story:
    """A new deposit, awaiting its payment."""
    return _order(sale(preset, made_to_spec=made_to_spec), "su7-max")


def _order(sold: Sale, sku: str, handed_in: HandedIn | None = None) -> Story:
    order = Order(OFFER_ID, (Ordered(sku, 1),), "card", sold.offer.made.terms_hash, trade_in=handed_in)
    placed = ordering.create_deposit(order, sold.offer, sold.terms, BUYER.id, ORDERED)
    created = replace(placed, stock=stock.draw_units(order.items, sold.offer, 0, None, ORDERED))
    first = orders.begin_deposit(DEPOSIT_ID, created)
    journal = to_entries([created], RequestContext(ORDERED, BUYER, ORDERED), BUYER)
    return Story(first, Outcome(first, journal, take_snapshot(first, ORDERED), DEFAULT, sold.terms), sold.terms)


def paid(preset: str = "su7_2024", *, made_to_spec: bool = True) -> Story:
    """Paid two minutes later: cooling off, or locked where the terms lock at payment."""
    before = ordered(preset, made_to_spec=made_to_spec)
    at = ORDERED + duration_ms("PT2M")
    capture = CaptureSeen(f"{PAYMENT_ID}.1", before.deposit.payment.amount, at)
    return before.then(PaymentSeen(1, "succeeded", (capture,)), at, SYSTEM)


def intended() -> Story:
    """An hour later the buyer asks what a lock would mean."""
    return paid().then(OpenIntent(DEFAULT), ORDERED + duration_ms("PT1H"))


def confirmation(story: Story) -> ConfirmLock:
    shown = story.deposit.intents[-1].opened
    return ConfirmLock(child("lki", DEPOSIT_ID, 1), shown.disclosure_hash, shown.acknowledgement)


def locked() -> Story:
    """A minute later the buyer locks it."""
    before = intended()
    return before.then(confirmation(before), before.outcome.at + duration_ms("PT1M"))


def changed() -> Story:
    """The buyer changes the order an hour later, to the same single car."""
    before = paid()
    items = (Ordered("su7-max", 1),)
    return before.then(ChangeItems(items, before.deposit.stock), ORDERED + duration_ms("PT1H"))


def ready() -> Story:
    """Half a year later the car can be inspected."""
    before = locked()
    at = ORDERED + duration_ms("P180D")
    return before.then(Ready((1,), at + duration_ms("P1D"), ("photo:8f14e45f",)), at, SHOP)


def balance_opened() -> Story:
    before = ready()
    return before.then(PayBalance("card"), before.outcome.at + duration_ms("P1D"))


def shipped() -> Story:
    """Paid in full, and on its way."""
    before = balance_opened()
    at = before.outcome.at + duration_ms("PT2M")
    capture = CaptureSeen(f"{child('pay', DEPOSIT_ID, 2)}.1", before.deposit.payment.amount, at)
    return before.then(PaymentSeen(2, "succeeded", (capture,)), at, SYSTEM).then(
        Ship((Units(1, 1),)), at + duration_ms("P1D"), SHOP
    )


def delivered() -> Story:
    before = shipped()
    at = before.outcome.at + duration_ms("P3D")
    return before.then(Deliver((Units(1, 1),), at, ("photo:handover",)), at, SHOP)


def received() -> Story:
    before = shipped()
    return before.then(Receive(), before.outcome.at + duration_ms("P3D"))


def defaulted() -> Story:
    """The balance was not paid, and the time to cure that is over."""
    before = ready()
    return before.then(DeclareDefault(), before.outcome.at + duration_ms("P30D"), SHOP)


TRADED: Final = HandedIn("phone", "iphone-12-128")
TRADE_IN_BODY: Final[Json] = {
    "title": "Tukar tambah ponsel",
    "market": "ID",
    "currency": "IDR",
    "preset": "trade_in_id",
    "items": [
        {
            "sku": "phone-new",
            "name": "Ponsel baru",
            "category": "phone",
            "price": {"amount": "3000000", "currency": "IDR"},
        }
    ],
    "shipping": {"amount": "18000", "currency": "IDR"},
    "trade_in": {
        "schedule": "id-tukar-tambah",
        "values": {"iphone-12-128": {"amount": "800000", "currency": "IDR"}},
    },
}
INSPECTOR: Final = Caller(digest_id("usr", "example", "inspector"), "inspector", MERCHANT)


def traded_in() -> Story:
    """An old phone for a credit, the rest paid."""
    before = _order(publish(TRADE_IN_BODY), "phone-new", TRADED)
    at = ORDERED + duration_ms("PT2M")
    capture = CaptureSeen(f"{PAYMENT_ID}.1", before.deposit.payment.amount, at)
    return before.then(PaymentSeen(1, "succeeded", (capture,)), at, SYSTEM)


def mismatched() -> Story:
    """The device is not what was declared: one fee of its published band is kept."""
    inspection = Inspect("mismatched", ("PH_CONDITION_MISMATCH",), ("photo:8f14e45f",))
    return traded_in().then(inspection, ORDERED + duration_ms("P2D"), INSPECTOR)


def not_handed_over() -> Story:
    """The courier did not come for the old phone."""
    return traded_in().then(CancelTradeIn("courier"), ORDERED + duration_ms("P2D"), SHOP)


def cancelled() -> Story:
    """Cancelled on the third day, inside the window: the whole refund is decided, and nothing moved yet."""
    return paid().then(Cancel(), ORDERED + duration_ms("P3D"))


def returned() -> Story:
    """The same a minute later: the provider has carried the refund out."""
    before = cancelled()
    at = before.outcome.at + duration_ms("PT1M")
    seen = RefundSeen(1, "succeeded", before.deposit.refunds[0].amount, "re_7c1f", at)
    return before.then(SendRefund(1), at, SYSTEM).then(seen, at, SYSTEM)


def granted() -> Story:
    """The merchant gives some of it back, an hour after the payment."""
    before = paid()
    grant = Grant(Money.parse("500", "CNY"), before.deposit.refundable)
    return before.then(grant, ORDERED + duration_ms("PT1H"), SHOP)


def declined() -> Story:
    """The way back is closed: the buyer is asked for an account."""
    before = cancelled()
    at = before.outcome.at + duration_ms("PT1M")
    seen = RefundSeen(1, "declined", before.deposit.refunds[0].amount, "re_7c1f", at, code="card_closed")
    return before.then(SendRefund(1), at, SYSTEM).then(seen, at, SYSTEM)


def named() -> Story:
    before = declined()
    return before.then(NameDestination(1, "example"), before.outcome.at + duration_ms("PT1H"))


def rerouted() -> Story:
    before = declined()
    return before.then(Reroute(1), before.outcome.at + duration_ms("PT1H"), Caller("example", "platform"))


OUT_OF_STOCK: Final = MerchantCancel("OUT_OF_STOCK", ("stock:ledger-2026-11-22",))


def called_off() -> Story:
    """The merchant cannot deliver: everything comes back, earnest money once more, and the buyer is first next time."""
    return paid().then(OUT_OF_STOCK, ORDERED + duration_ms("P1D"), SHOP)


def asked() -> Story:
    """The courier cannot read the address."""
    return paid().then(Ask("address", "example"), ORDERED + duration_ms("P1D"), SHOP)


def page(*rows: Json) -> Json:
    """The only page of a list."""
    return {"data": list(rows), "next_cursor": None}

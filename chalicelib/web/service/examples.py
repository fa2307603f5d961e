"""Examples for the contract: a sample offer and sample deposits, decided by core and rendered as any answer is.

Nothing is typed that the code can work out, so an example cannot drift from what a caller gets.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from msgspec.structs import asdict, replace

from chalicelib.core import proof
from chalicelib.core.claims.answering import (
    AcceptOffer,
    AddEvidence,
    Claiming,
    Escalate,
    Respond,
    RuleClaim,
    WithdrawClaim,
)
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.fields import lists_to_tuples
from chalicelib.core.common.ids import child, digest_id
from chalicelib.core.common.instants import duration_ms, parse_instant
from chalicelib.core.common.journal import Caller, RequestContext
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.delivery.fulfilment import DeclareDefault, Deliver, PayBalance, Ready, Receive, Ship
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.deposit import fold
from chalicelib.core.deposit import order as orders
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimEvent
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.lock import Intent
from chalicelib.core.deposit.payment import CaptureSeen, PaymentSeen
from chalicelib.core.deposit.refund import RefundSeen
from chalicelib.core.ending import entitlement
from chalicelib.core.ending.end import Cancel
from chalicelib.core.ending.withdrawal import ConfirmWithdrawal, Receipt, Sender, StateWithdrawal, confirmed, stated
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent, Unlock
from chalicelib.core.merchant import bulk as bulks
from chalicelib.core.merchant.bulk import BulkApproved, BulkAsked, BulkEvent, BulkWorked, Result, approve_until
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.merchant.question import AnswerQuestion, Ask
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.policy import fees, offer_terms
from chalicelib.core.policy.cancellation_reasons import reasons
from chalicelib.core.policy.terms import Terms, canonical, terms_hash
from chalicelib.core.reconciliation import run as runs
from chalicelib.core.reconciliation.lines import Line, sort_key
from chalicelib.core.reconciliation.run import Break, BreakFound, BreakResolved, Run
from chalicelib.core.reconciliation.tally import Tally
from chalicelib.core.refunding.destination import NameDestination, Reroute, SendRefund
from chalicelib.core.refunding.goodwill import Grant
from chalicelib.core.selling import offer as offers_
from chalicelib.core.selling import ordering, stock
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.offer import Constrained, Offer, OfferMade
from chalicelib.core.selling.ordering import HandedIn, Order, Ordered
from chalicelib.flows.cancellations import BulkView as Called
from chalicelib.flows.claims import ClaimStepView, ClaimView
from chalicelib.flows.entries import SYSTEM, to_entries
from chalicelib.flows.offers import Offered
from chalicelib.flows.questions import QuestionText
from chalicelib.flows.reconciliation.runs import RunView
from chalicelib.flows.snapshot import Outcome, take_snapshot
from chalicelib.web.cancellations import render as cancelled_
from chalicelib.web.claims import render as claims_render
from chalicelib.web.deposits import render as deposits_render
from chalicelib.web.edge import values
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.problems import problem as written
from chalicelib.web.locks import render as locks_render
from chalicelib.web.offers import render as offers_render
from chalicelib.web.passes import render as passes_render
from chalicelib.web.questions import render as questions_render
from chalicelib.web.reconciliation import render as reconciliation_render
from chalicelib.web.refunds import render as refunds_render
from chalicelib.web.tradeins import render as trade_ins_render
from chalicelib.web.withdrawals import render as withdrawals_render

Json = Mapping[str, Any]

BULK: Final = "/v1/offers/{offer_id}/merchant-cancellations"
CLAIM: Final = "/v1/claims/{claim_id}"
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

TOKEN: Final = f"wdt_{DEPOSIT_ID.partition('_')[2]}_0f1e2d3c4b5a6978_2c26b46b68ffc68ff99b453c1d"

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
        return offers_render.offer(Offered(self.offer, self.terms, self.offer.available, OPENED, DEFAULT))


class Story(NamedTuple):
    """A deposit on its way, with everything its answers are rendered from."""

    deposit: Deposit
    outcome: Outcome
    terms: Terms

    def then(self, command: Command, at: int, by: Caller = BUYER) -> "Story":
        """The story after one more command."""
        return self.told(decide(self.deposit, command, at, self.terms), at, by)

    def told(self, events: tuple[DepositEvent, ...], at: int, by: Caller) -> "Story":
        after = self.deposit
        for event in events:
            after = fold.evolve(after, event)
        journal = (*self.outcome.journal, *to_entries(events, RequestContext(at, by, at), by))
        return Story(after, Outcome(after, journal, take_snapshot(after, at), DEFAULT, self.terms), self.terms)

    def shown(self) -> Json:
        return deposits_render.deposit(self.outcome, BUYER)

    def refunded(self) -> Json:
        return refunds_render.refund(self.deposit, self.deposit.refunds[-1], DEFAULT)


@cache
def sale(preset: str, *, made_to_spec: bool = True) -> Sale:
    """The sample offer under a preset."""
    items = [{**item, "made_to_spec": made_to_spec} for item in OFFER_BODY["items"]]
    return _sale({**OFFER_BODY, "preset": preset, "items": items})


def _sale(body: Json) -> Sale:
    draft, constraints = offer_terms.resolve(offer_terms.read(body, OPENED), OPENED)
    made = OfferMade(
        at=OPENED,
        merchant=MERCHANT,
        terms_hash=terms_hash(draft),
        opens_at=draft.opens_at,
        closes_at=draft.closes_at,
        stock=offers_.stock_of(draft),
        batch="example",
        constrained_by=tuple(Constrained(*one) for one in constraints),
    )
    frozen = Terms.model_validate(lists_to_tuples(json.loads(canonical(draft))))
    return Sale(offers_.fold(OFFER_ID, [made]), frozen)


def ordered(preset: str = "su7_2024", *, made_to_spec: bool = True) -> Story:
    """A new deposit, awaiting its payment."""
    return _ordered(sale(preset, made_to_spec=made_to_spec), "su7-max")


def _ordered(found: Sale, sku: str, handed_in: HandedIn | None = None) -> Story:
    order = Order(OFFER_ID, (Ordered(sku, 1),), "card", found.offer.made.terms_hash, trade_in=handed_in)
    placed = ordering.place(order, found.offer, found.terms, BUYER.id, ORDERED)
    created = replace(placed, stock=stock.draw(order.items, found.offer, 0, None, ORDERED))
    first = orders.begin_deposit(DEPOSIT_ID, created)
    journal = to_entries([created], RequestContext(ORDERED, BUYER, ORDERED), BUYER)
    return Story(first, Outcome(first, journal, take_snapshot(first, ORDERED), DEFAULT, found.terms), found.terms)


def paid(preset: str = "su7_2024", *, made_to_spec: bool = True) -> Story:
    """Paid two minutes later: cooling off, or locked where the terms lock at payment."""
    begun = ordered(preset, made_to_spec=made_to_spec)
    at = ORDERED + duration_ms("PT2M")
    capture = CaptureSeen(f"{PAYMENT_ID}.1", begun.deposit.payment.amount, at)
    return begun.then(PaymentSeen(1, "succeeded", (capture,)), at, SYSTEM)


def intended() -> Story:
    """An hour later the buyer asks what a lock would mean."""
    return paid().then(OpenIntent(DEFAULT), ORDERED + duration_ms("PT1H"))


def confirmation(story: Story) -> ConfirmLock:
    shown = story.deposit.intents[-1].shown
    return ConfirmLock(child("lki", DEPOSIT_ID, 1), shown.disclosure_hash, shown.acknowledgement)


def locked() -> Story:
    """A minute later they lock it."""
    begun = intended()
    return begun.then(confirmation(begun), begun.outcome.at + duration_ms("PT1M"))


def changed() -> Story:
    """The buyer thinks again, and stays with one car."""
    begun = paid()
    items = (Ordered("su7-max", 1),)
    return begun.then(ChangeItems(items, begun.deposit.stock), ORDERED + duration_ms("PT1H"))


def ready() -> Story:
    """Half a year later the car can be inspected."""
    begun = locked()
    at = ORDERED + duration_ms("P180D")
    return begun.then(Ready((1,), at + duration_ms("P1D"), ("photo:8f14e45f",)), at, SHOP)


def balance_opened() -> Story:
    begun = ready()
    return begun.then(PayBalance("card"), begun.outcome.at + duration_ms("P1D"))


def shipped() -> Story:
    """Paid in full, and on its way."""
    begun = balance_opened()
    at = begun.outcome.at + duration_ms("PT2M")
    capture = CaptureSeen(f"{child('pay', DEPOSIT_ID, 2)}.1", begun.deposit.payment.amount, at)
    return begun.then(PaymentSeen(2, "succeeded", (capture,)), at, SYSTEM).then(
        Ship((Units(1, 1),)), at + duration_ms("P1D"), SHOP
    )


def delivered() -> Story:
    begun = shipped()
    at = begun.outcome.at + duration_ms("P3D")
    return begun.then(Deliver((Units(1, 1),), at, ("photo:handover",)), at, SHOP)


def received() -> Story:
    begun = shipped()
    return begun.then(Receive(), begun.outcome.at + duration_ms("P3D"))


def defaulted() -> Story:
    """Never paid, told once, time to cure it over."""
    begun = ready()
    return begun.then(DeclareDefault(), begun.outcome.at + duration_ms("P30D"), SHOP)


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
    begun = _ordered(_sale(TRADE_IN_BODY), "phone-new", TRADED)
    at = ORDERED + duration_ms("PT2M")
    capture = CaptureSeen(f"{PAYMENT_ID}.1", begun.deposit.payment.amount, at)
    return begun.then(PaymentSeen(1, "succeeded", (capture,)), at, SYSTEM)


def mismatched() -> Story:
    """Not what was declared: one fee of its published band."""
    found = Inspect("mismatched", ("PH_CONDITION_MISMATCH",), ("photo:8f14e45f",))
    return traded_in().then(found, ORDERED + duration_ms("P2D"), INSPECTOR)


def not_handed_over() -> Story:
    """The courier never came."""
    return traded_in().then(CancelTradeIn("courier"), ORDERED + duration_ms("P2D"), SHOP)


def _trade_in(story: Story) -> Json:
    return trade_ins_render.trade_in_full(story.deposit, DEFAULT)


def _fee() -> Json:
    schedule = fees.in_force(OPENED)["id-tukar-tambah"]
    charge = schedule.charge("phone", Money.parse("3000000", "IDR"))
    band = {"from": values.money(charge.band.lowest), "to": values.money(charge.band.highest)}
    return {"fee": values.money(charge.fee), "band": band, "rule": refunds_render.rule(charge.rule, DEFAULT)}


SENDER: Final = Sender("A. Buyer", "a.buyer@example.org", DEFAULT)


def withdrawn() -> tuple[Json, Json]:
    """The two receipts of a withdrawal from a standard configuration."""
    begun = paid(made_to_spec=False)
    at = ORDERED + duration_ms("P2D")
    first = begun.then(StateWithdrawal(SENDER), at)
    second = first.then(ConfirmWithdrawal(1, SENDER), at + duration_ms("PT1M"))
    receipts = (
        stated(begun.deposit, SENDER, at, begun.terms),
        confirmed(first.deposit, 1, SENDER, second.outcome.at, begun.terms),
    )
    return _receipt(first, receipts[0]), _receipt(second, receipts[1])


def _receipt(story: Story, receipt: Receipt) -> Json:
    return withdrawals_render.withdrawal(story.deposit, story.deposit.withdrawals[0], receipt)


def cancelled() -> Story:
    """Cancelled on the third day, inside the window: the whole refund is decided, and nothing moved yet."""
    return paid().then(Cancel(), ORDERED + duration_ms("P3D"))


def returned() -> Story:
    """The same a minute later: the provider has carried the refund out."""
    begun = cancelled()
    at = begun.outcome.at + duration_ms("PT1M")
    seen = RefundSeen(1, "succeeded", begun.deposit.refunds[0].amount, "re_7c1f", at)
    return begun.then(SendRefund(1), at, SYSTEM).then(seen, at, SYSTEM)


def granted() -> Story:
    """The merchant gives some of it back, an hour after the payment."""
    begun = paid()
    grant = Grant(Money.parse("500", "CNY"), begun.deposit.refundable)
    return begun.then(grant, ORDERED + duration_ms("PT1H"), SHOP)


def declined() -> Story:
    """The way back is closed: the buyer is asked for an account."""
    begun = cancelled()
    at = begun.outcome.at + duration_ms("PT1M")
    seen = RefundSeen(1, "declined", begun.deposit.refunds[0].amount, "re_7c1f", at, code="card_closed")
    return begun.then(SendRefund(1), at, SYSTEM).then(seen, at, SYSTEM)


def named() -> Story:
    begun = declined()
    return begun.then(NameDestination(1, "example"), begun.outcome.at + duration_ms("PT1H"))


def rerouted() -> Story:
    begun = declined()
    return begun.then(Reroute(1), begun.outcome.at + duration_ms("PT1H"), Caller("example", "platform"))


def proved() -> Json:
    story = cancelled()
    events = [entry.event for entry in story.outcome.journal]
    return proof.made(DEPOSIT_ID, events, 1, story.terms)


OUT_OF_STOCK: Final = MerchantCancel("OUT_OF_STOCK", ("stock:ledger-2026-11-22",))


def called_off() -> Story:
    """The merchant cannot deliver: everything comes back, earnest money once more, and the buyer is first next time."""
    return paid().then(OUT_OF_STOCK, ORDERED + duration_ms("P1D"), SHOP)


def asked() -> Story:
    """The courier cannot read the address."""
    return paid().then(Ask("address", "example"), ORDERED + duration_ms("P1D"), SHOP)


def _question(answered: str | None) -> Json:
    begun = asked()
    told = begun.then(AnswerQuestion(1, "example"), begun.outcome.at + duration_ms("PT3H")) if answered else begun
    words = QuestionText("Which entrance is yours?", answered)
    return questions_render.question(told.deposit, told.deposit.questions[0], words, told.outcome.at)


SAID: Final = {
    OpenClaim: "The parcel never came.",
    Respond: "Here is the courier's photograph of the door.",
    RuleClaim: "The photograph shows another door.",
    AddEvidence: "The door in the picture is not mine.",
}


def _claim(*commands: Claiming) -> Json:
    """A buyer says that what was recorded as shipped never came; then what the commands make of it, hour by hour."""
    story, words = shipped(), list[str]()
    first = OpenClaim("short_shipment", "example", (Units(1, 1),), evidence=("photo:2c26b46b",))
    at = story.outcome.at + duration_ms("P20D")
    for n, command in enumerate((first, *commands)):
        by = {Respond: SHOP, RuleClaim: PLATFORM}.get(type(command), BUYER)
        story = story.then(command, at + n * duration_ms("PT1H"), by)
        words.append(SAID.get(type(command), ""))
    steps = [entry for entry in story.outcome.journal if isinstance(entry.event, ClaimEvent)]
    history = (ClaimStepView(entry, word or None) for entry, word in zip(steps, words, strict=True))
    return claims_render.claim(ClaimView(story.outcome, story.deposit.claims[0], tuple(history)))


REJECTED: Final = Respond(1, "reject", statement="example")


def _offered() -> Respond:
    return Respond(1, "offer", shipped().deposit.money.held)


def _bulk(*later: BulkEvent) -> Json:
    colleagues = (DEPOSIT_ID, digest_id("dep", "example", "another"))
    at, bulk_id = ORDERED + duration_ms("P1D"), digest_id("bmc", "example", "bulk")
    began = BulkAsked(
        at,
        OFFER_ID,
        MERCHANT,
        SHOP.id,
        colleagues,
        "OUT_OF_STOCK",
        OUT_OF_STOCK.evidence,
        approve_until=approve_until(at),
    )
    return cancelled_.bulk(Called(bulks.fold(bulk_id, [began, *later]), at, DEFAULT))


def _bulk_done() -> Json:
    at = ORDERED + duration_ms("P1DT1H")
    ended = (
        Result(DEPOSIT_ID, "cancelled"),
        Result(digest_id("dep", "example", "another"), "skipped", "already-cancelled"),
    )
    return _bulk(_approval(), BulkWorked(at, ended))


def _approval() -> BulkApproved:
    return BulkApproved(ORDERED + duration_ms("P1DT1H"), digest_id("usr", "example", "colleague"))


RUN_ID: Final = digest_id("rec", "example", "run")
DAY_BEGAN: Final = parse_instant("2026-11-20T00:00:00.000Z")
DAY_ENDED: Final = parse_instant("2026-11-21T00:00:00.000Z")


def compared() -> tuple[RunView, RunView, Break, Break]:
    """A run that has just begun, the same at its end with one difference, and that difference before and after."""
    begun = runs.fold(RUN_ID, [runs.start(OPENED, DAY_BEGAN, DAY_ENDED)])
    tally = Tally()
    paid_in = Line(sort_key("capture", PAYMENT_ID), f"{PAYMENT_ID}.1", 500_000, "CNY", DAY_BEGAN)
    gone = Line(sort_key("refund", REFUND_ID), "re_7c1f", 500_000, "CNY", DAY_BEGAN)
    tally.match(paid_in)
    tally.differ("amount_mismatch", gone, gone._replace(minor=499_900))
    done = runs.evolve(begun, runs.finish(OPENED + duration_ms("PT1M"), tally))
    found = BreakFound(
        at=OPENED,
        run=RUN_ID,
        kind="amount_mismatch",
        n=1,
        deposit=DEPOSIT_ID,
        refund=REFUND_ID,
        provider_ref=gone.ref,
        ours=gone.money,
        provider=Money(499_900, "CNY"),
    )
    resolved = BreakResolved(ORDERED, "accept_provider")
    break_id = digest_id("brk", RUN_ID, "1")
    return (
        _run(begun, Tally()),
        _run(done, tally),
        runs.fold_break(break_id, [found]),
        runs.fold_break(break_id, [found, resolved]),
    )


def _run(run: Run, tally: Tally) -> RunView:
    return RunView(run, tally, DEFAULT)


@cache
def answers() -> Mapping[tuple[str, str], Mapping[str, Json]]:
    """Examples of what each route answers when all is well, by method and path."""
    offer, founders = sale("su7_2024").shown(), sale("su7_founders_2024").shown()
    unpaid, cooling, ended, done = ordered(), paid(), cancelled(), returned()
    other = unpaid.then(ChangePaymentMethod("alipay"), ORDERED + duration_ms("PT1M"))
    unlocked = paid("su7_founders_2024").then(Unlock(), ORDERED + duration_ms("PT30M"))
    statement, confirmation_ = withdrawn()
    deposit = "/v1/deposits/{deposit_id}"
    begun, compared_, open_, resolved = compared()
    a_run = "/v1/reconciliation-runs/{run_id}"
    return {
        ("POST", "/v1/offers"): {"published": offer},
        ("POST", "/v1/offers/check"): {"fine": {"ok": True, "findings": []}},
        ("GET", "/v1/offers"): {"one page": _page(founders, offer)},
        ("GET", "/v1/offers/{offer_id}"): {"open": offer},
        ("POST", "/v1/offers/{offer_id}/close"): {"closed": _closed()},
        ("POST", "/v1/offers/{offer_id}/stock"): {"ten more": _restocked(10)},
        ("POST", "/v1/deposits"): {"awaiting payment": {**unpaid.shown(), "withdrawal_token": TOKEN}},
        ("GET", "/v1/deposits"): {"one page": _page(ended.shown())},
        ("GET", deposit): {
            "awaiting payment": unpaid.shown(),
            "cooling off": cooling.shown(),
            "locked": locked().shown(),
            "cancelled, money back": done.shown(),
        },
        ("POST", f"{deposit}/cancel"): {"cancelled in the window": ended.shown()},
        ("POST", f"{deposit}/payment-method"): {"another method": other.shown()},
        ("POST", f"{deposit}/changes"): {"changed": changed().shown()},
        ("POST", f"{deposit}/lock-intents"): {"what to show": locks_render.lock_intent(*_intent(intended()))},
        ("POST", f"{deposit}/lock"): {"locked": locked().shown()},
        ("POST", f"{deposit}/unlock"): {"lock taken back": unlocked.shown()},
        ("POST", f"{deposit}/ready"): {"the balance falls due": ready().shown()},
        ("POST", f"{deposit}/balance-payments"): {"to be paid": balance_opened().shown()},
        ("POST", f"{deposit}/shipments"): {"completed": shipped().shown()},
        ("POST", f"{deposit}/deliveries"): {"arrived": delivered().shown()},
        ("POST", f"{deposit}/receipt"): {"arrived": received().shown()},
        ("POST", f"{deposit}/buyer-default"): {"ended": defaulted().shown()},
        ("POST", f"{deposit}/withdrawals"): {"stated": statement},
        ("POST", f"{deposit}/withdrawals/{{withdrawal_id}}/confirm"): {"confirmed": confirmation_},
        ("GET", f"{deposit}/withdrawals/{{withdrawal_id}}"): {"confirmed": confirmation_},
        ("GET", f"{deposit}/refund-preview"): {"inside the window": _preview(cooling)},
        ("GET", f"{deposit}/refund-curve"): {"free until, then": _curve(cooling)},
        ("GET", f"{deposit}/events"): {"the whole history": _history(done)},
        ("GET", "/v1/cancellation-reasons"): {
            "the catalogue": {"data": [cancelled_.reason(one, DEFAULT) for one in reasons(ORDERED).values()]}
        },
        ("POST", f"{deposit}/merchant-cancel"): {"everything back, and more": called_off().shown()},
        ("POST", f"{deposit}/questions"): {"asked": _question(None)},
        ("GET", "/v1/questions"): {"all of a deposit": _page(_question(None))},
        ("GET", "/v1/questions/{question_id}"): {"answered": _question("The blue door, left of the gate.")},
        ("POST", "/v1/questions/{question_id}/answer"): {"answered": _question("The blue door, left of the gate.")},
        ("POST", BULK): {"waits for a second person": _bulk()},
        ("GET", f"{BULK}/{{bulk_id}}"): {"done": _bulk_done()},
        ("POST", f"{BULK}/{{bulk_id}}/approve"): {"running": _bulk(_approval())},
        ("GET", "/v1/offers/{offer_id}/cancellations"): {
            "so far": cancelled_.counts(OFFER_ID, {("cancelled", "OUT_OF_STOCK"): 12}, DEFAULT)
        },
        ("POST", "/v1/claims"): {"computed": _claim()},
        ("GET", "/v1/claims"): {"of a deposit": _page(_claim(REJECTED))},
        ("GET", CLAIM): {"in review": _claim(REJECTED)},
        ("POST", f"{CLAIM}/responses"): {"offered": _claim(_offered()), "rejected": _claim(REJECTED)},
        ("POST", f"{CLAIM}/accept-offer"): {"paid": _claim(_offered(), AcceptOffer(1))},
        ("POST", f"{CLAIM}/escalate"): {"in review": _claim(_offered(), Escalate(1))},
        ("POST", f"{CLAIM}/withdraw"): {"over": _claim(WithdrawClaim(1))},
        ("POST", f"{CLAIM}/evidence"): {"added": _claim(AddEvidence(1, "buyer", ("photo:8f14e45f",), "example"))},
        ("POST", f"{CLAIM}/ruling"): {"for the buyer": _claim(REJECTED, RuleClaim(1, "uphold", "example"))},
        ("GET", "/v1/priority-passes"): {
            "one page": _page(passes_render.priority_pass(called_off().deposit, called_off().deposit.passes[0]))
        },
        ("GET", "/v1/trade-in/fees"): {"a band": _fee()},
        ("GET", "/v1/trade-in/schedules"): {
            "in force": {"data": [trade_ins_render.schedule(one, DEFAULT) for one in fees.in_force(OPENED).values()]}
        },
        ("GET", "/v1/trade-ins/{trade_in_id}"): {"waiting for the hand-over": _trade_in(traded_in())},
        ("POST", "/v1/trade-ins/{trade_in_id}/inspection"): {"not as declared": _trade_in(mismatched())},
        ("POST", "/v1/trade-ins/{trade_in_id}/cancel"): {"everything back": _trade_in(not_handed_over())},
        ("GET", "/v1/refunds/{refund_id}"): {"decided": ended.refunded(), "carried out": done.refunded()},
        ("GET", "/v1/refunds"): {"one page": _page(done.refunded())},
        ("POST", "/v1/refunds"): {"goodwill": granted().refunded()},
        ("POST", "/v1/refunds/{refund_id}/destination"): {"an account": named().refunded()},
        ("POST", "/v1/refunds/{refund_id}/reroute"): {"to be named": rerouted().refunded()},
        ("GET", "/v1/refunds/{refund_id}/proof"): {"a cancel inside the window": proved()},
        ("POST", "/v1/refund-proofs/verify"): {"it holds": {"valid": True, "differences": []}},
        ("POST", "/v1/reconciliation-runs"): {"begun": reconciliation_render.run(begun)},
        ("GET", "/v1/reconciliation-runs"): {"one page": _page(reconciliation_render.run(compared_))},
        ("GET", a_run): {
            "running": reconciliation_render.run(begun),
            "one difference": reconciliation_render.run(compared_),
        },
        ("GET", f"{a_run}/breaks"): {"one page": _page(reconciliation_render.difference(open_, None))},
        ("POST", "/v1/breaks/{break_id}/resolve"): {"resolved": reconciliation_render.difference(resolved, None)},
    }


@cache
def bodies() -> Mapping[tuple[str, str], Json]:
    """An example of what to send to each route that reads a body."""
    order = {
        "offer": OFFER_ID,
        "items": [{"sku": "su7-max", "quantity": 1}],
        "payment_method": "card",
        "terms_hash": sale("su7_2024").offer.made.terms_hash,
    }
    return {
        ("POST", "/v1/offers"): OFFER_BODY,
        ("POST", "/v1/offers/check"): OFFER_BODY,
        ("POST", "/v1/offers/{offer_id}/close"): {},
        ("POST", "/v1/offers/{offer_id}/stock"): {"sku": "su7-max", "change": 10},
        ("POST", "/v1/deposits"): order,
        ("POST", "/v1/deposits/{deposit_id}/cancel"): {"note": None},
        ("POST", "/v1/deposits/{deposit_id}/payment-method"): {"payment_method": "alipay"},
        ("POST", "/v1/deposits/{deposit_id}/changes"): {"items": [{"sku": "su7-max", "quantity": 1}]},
        ("POST", "/v1/deposits/{deposit_id}/lock-intents"): {},
        ("POST", "/v1/deposits/{deposit_id}/lock"): asdict(confirmation(intended())),
        ("POST", "/v1/deposits/{deposit_id}/unlock"): {},
        ("POST", "/v1/deposits/{deposit_id}/ready"): {
            "lines": [1],
            "inspect_at": "2027-05-21T10:00:00.000Z",
            "evidence": ["photo:8f14e45f"],
        },
        ("POST", "/v1/deposits/{deposit_id}/balance-payments"): {"payment_method": "card"},
        ("POST", "/v1/deposits/{deposit_id}/shipments"): {"lines": [{"line": 1, "quantity": 1}]},
        ("POST", "/v1/deposits/{deposit_id}/deliveries"): {
            "lines": [1],
            "delivered_at": "2027-05-27T10:00:00.000Z",
            "evidence": ["photo:handover"],
        },
        ("POST", "/v1/deposits/{deposit_id}/receipt"): {},
        ("POST", "/v1/deposits/{deposit_id}/buyer-default"): {},
        ("POST", "/v1/deposits/{deposit_id}/withdrawals"): {"name": SENDER.name, "reach": SENDER.reach},
        ("POST", "/v1/deposits/{deposit_id}/withdrawals/{withdrawal_id}/confirm"): {},
        ("POST", "/v1/trade-ins/{trade_in_id}/inspection"): {
            "outcome": "mismatched",
            "grounds": ["PH_CONDITION_MISMATCH"],
            "evidence": ["photo:8f14e45f"],
        },
        ("POST", "/v1/trade-ins/{trade_in_id}/cancel"): {"by": "courier"},
        ("POST", "/v1/deposits/{deposit_id}/merchant-cancel"): {
            "reason": "OUT_OF_STOCK",
            "evidence": ["stock:ledger-2026-11-22"],
            "note": None,
        },
        ("POST", "/v1/deposits/{deposit_id}/questions"): {"kind": "address", "text": "Which entrance is yours?"},
        ("POST", "/v1/questions/{question_id}/answer"): {"text": "The blue door, left of the gate."},
        ("POST", f"{BULK}/{{bulk_id}}/approve"): {},
        ("POST", "/v1/claims"): {
            "deposit": DEPOSIT_ID,
            "kind": "short_shipment",
            "statement": SAID[OpenClaim],
            "lines": [{"line": 1, "quantity": 1}],
            "evidence": ["photo:2c26b46b"],
        },
        ("POST", f"{CLAIM}/responses"): {"decision": "reject", "statement": SAID[Respond]},
        ("POST", f"{CLAIM}/accept-offer"): {},
        ("POST", f"{CLAIM}/escalate"): {},
        ("POST", f"{CLAIM}/withdraw"): {},
        ("POST", f"{CLAIM}/evidence"): {"evidence": ["photo:8f14e45f"], "statement": SAID[AddEvidence]},
        ("POST", f"{CLAIM}/ruling"): {"decision": "uphold", "reason": SAID[RuleClaim]},
        ("POST", BULK): {
            "deposits": [DEPOSIT_ID],
            "reason": "OUT_OF_STOCK",
            "evidence": ["stock:ledger-2026-11-22"],
            "note": None,
        },
        ("POST", "/v1/refunds"): {
            "deposit": DEPOSIT_ID,
            "amount": {"amount": "500", "currency": "CNY"},
            "expected_refundable": {"amount": "5088", "currency": "CNY"},
            "note": None,
        },
        ("POST", "/v1/refunds/{refund_id}/destination"): {
            "kind": "bank_account",
            "holder": "A. Buyer",
            "bank": "BCA",
            "account": "1234567890",
            "consent": True,
        },
        ("POST", "/v1/refunds/{refund_id}/reroute"): {"kind": "payout", "note": None},
        ("POST", "/v1/refund-proofs/verify"): proved(),
        ("POST", "/v1/reconciliation-runs"): {
            "from": "2026-11-20T00:00:00.000Z",
            "to": "2026-11-21T00:00:00.000Z",
        },
        ("POST", "/v1/breaks/{break_id}/resolve"): {"action": "accept_provider", "note": None},
        ("POST", "/v1/provider-events/{provider}"): {"type": "payment.updated", "data": {"id": PAYMENT_ID}},
        ("POST", "/sandbox/tokens"): {"role": "buyer"},
        ("POST", "/sandbox/clock"): {"advance": "PT168H"},
        ("POST", "/sandbox/payments/{payment_id}"): {"outcome": "succeeded"},
        ("POST", "/sandbox/faults"): {"on": "refund", "fault": "timeout_after", "times": 1},
    }


def problem(reason: Reason) -> Json:
    """A refusal as it is answered, with the facts it comes with."""
    facts, faults = FACTS.get(reason, {}), FAULTS.get(reason, ())
    refused = Refused(reason, faults, **facts)
    _, _, body = written(refused, locale=DEFAULT, instance=f"/v1/deposits/{DEPOSIT_ID}", request_id="5f0c2a9e")
    found: Json = json.loads(body)
    return found


FACTS: Final[Mapping[Reason, Json]] = {
    Reason.RATE_LIMITED: {"retry_after": 12},
    Reason.BUSY: {"retry_after": 1},
    Reason.STALE_VERSION: {"etag": '"2-cooling_off"'},
    Reason.OFFER_NOT_OPEN: {"state": "scheduled", "opens_at": ORDERED},
    Reason.LIMIT_REACHED: {"per_buyer": 1},
    Reason.WRONG_STATE: {"state": "expired"},
    Reason.PASS_NOT_VALID: {"state": "used"},
    Reason.REASON_NOT_PUBLISHED: {"code": "MERCHANT_OTHER"},
    Reason.APPROVAL_REQUIRED: {"code": "MERCHANT_OTHER"},
    Reason.FEE_BAND_UNDEFINED: {"category": "phone", "price": Money.parse("49999", "IDR")},
    Reason.REFUND_EXCEEDS_REFUNDABLE: {"refundable": Money.parse("5088", "CNY")},
    Reason.FUNDS_IN_DISPUTE: {"refundable": Money.parse("0", "CNY")},
    Reason.UNDO_CLOSED: {"undo_until": ORDERED},
    Reason.LOCK_INTENT_EXPIRED: {"expires_at": ORDERED},
    Reason.LOCK_REVIEW_PENDING: {"confirmable_at": ORDERED},
    Reason.LOCK_ACKNOWLEDGEMENT_MISMATCH: {"acknowledgement": "LOCK 5000 CNY"},
}
FAULTS: Final[Mapping[Reason, tuple[FieldError, ...]]] = {
    Reason.INVALID_REQUEST: (FieldError("/items/0/sku", "unknown_sku"),),
    Reason.INVALID_GROUND: (FieldError("/grounds/0", "unknown_ground"),),
    Reason.EVIDENCE_REQUIRED: (FieldError("/evidence", "missing"),),
    Reason.CONSENT_REQUIRED: (FieldError("/consent", "consent_needed"),),
    Reason.UNKNOWN_PARAMETER: (FieldError("/colour", "unknown_field"),),
    Reason.CURRENCY_MISMATCH: (FieldError("/shipping", "currency_mismatch"),),
    Reason.PAYMENT_METHOD_NOT_OFFERED: (FieldError("/payment_method", "unknown_method"),),
}


def _page(*rows: Json) -> Json:
    return {"data": list(rows), "next_cursor": None}


def _left(offer: Offer) -> dict[str, list[int]]:
    return {one.sku: [one.units] for one in offer.available}


def _intent(story: Story) -> tuple[Deposit, Intent]:
    return story.deposit, story.deposit.intents[-1]


def _closed() -> Json:
    found = sale("su7_2024")
    event = offers_.close(found.offer, ORDERED, _left(found.offer))
    return Sale(offers_.evolve(found.offer, event), found.terms).shown()


def _restocked(change: int) -> Json:
    found = sale("su7_2024")
    event = offers_.restock(found.offer, "su7-max", change, ORDERED, _left(found.offer))
    return Sale(offers_.evolve(found.offer, event), found.terms).shown()


def _preview(story: Story) -> Json:
    at = story.outcome.at
    return deposits_render.preview(
        entitlement.compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, at),
        Cause.BUYER_CANCEL,
        at,
        DEFAULT,
    )


def _curve(story: Story) -> Json:
    steps = entitlement.curve(story.deposit, story.terms, story.outcome.at)
    return {"points": [deposits_render.curve_point(step, DEFAULT) for step in steps]}


def _history(story: Story) -> Json:
    rows = [deposits_render.event(story.deposit.id, n, entry) for n, entry in enumerate(story.outcome.journal, start=1)]
    return _page(*rows)

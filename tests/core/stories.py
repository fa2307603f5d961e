"""What the tests of the rules begin with: terms as offers make them, and deposits as their journals tell them.

Instants: T0 ordered, PAID, ASKED for a lock, LOCKED by the buyer, END of the window, LATER when every lock is final.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from chalicelib.core.claims.answering import AcceptOffer, Escalate, Respond, RuleClaim, WithdrawClaim
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND, parse_instant
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import overdue
from chalicelib.core.decide import decide
from chalicelib.core.delivery.fulfilment import PayBalance, Ready, Ship
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.deposit.claim import Claim
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import (
    ClaimAccepted,
    ClaimAnsweredLate,
    ClaimDismissed,
    ClaimEscalated,
    ClaimEvidenceAdded,
    ClaimGranted,
    ClaimOffered,
    ClaimOpened,
    ClaimPartlyUpheld,
    ClaimRejected,
    ClaimReminded,
    ClaimReversed,
    ClaimUpheld,
    ClaimWithdrawn,
)
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.order import begin_deposit
from chalicelib.core.deposit.refund import Refund
from chalicelib.core.ending.end import Cancel
from chalicelib.core.ending.withdrawal import ConfirmWithdrawal, Sender, StateWithdrawal
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent, Unlock
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.merchant.question import Ask
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.paying.provider_answers import CaptureSeen, DisputeSeen, PaymentSeen
from chalicelib.core.policy import offer_terms
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.core.policy.terms import Draft, Terms, compute_terms_hash
from chalicelib.core.refunding.destination import SendRefund
from chalicelib.core.refunding.goodwill import Grant
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.core.refunding.settling import RecordNotFound, RecordUnknownOutcome
from chalicelib.core.selling import offer as offers
from chalicelib.core.selling import ordering
from chalicelib.core.selling.offer import Offer, OfferMade
from chalicelib.core.selling.ordering import HandedIn, Order, Ordered

# The launch evening of 2024 in Shanghai. A deposit is ordered then and paid a minute later, unless a test says else.
T0: Final = parse_instant("2024-03-28T22:00:00+08:00")
DUE: Final = T0 + 15 * MINUTE
PAID: Final = T0 + MINUTE
END: Final = PAID + 168 * HOUR
UNDO: Final = PAID + HOUR
DEPOSIT_ID: Final = "dep_" + "0" * 26
GRACE: Final = 60 * SECOND
# A buyer who locks asks to see what it means an hour into the window, reads for a minute and confirms.
ASKED: Final = PAID + HOUR
LOCKED: Final = ASKED + MINUTE
LATER: Final = END + DAY  # a day after the window: the lock is final, however it came about

INTENT: Final = OpenIntent("en")
SENDER: Final = Sender("Ana", "ana@example.org", "en")
STATE: Final = StateWithdrawal(SENDER)
CONFIRM_WITHDRAWAL: Final = ConfirmWithdrawal(1, SENDER)
BALANCE_BY_CARD: Final = PayBalance("card")
CANCEL: Final = Cancel()
UNLOCK: Final = Unlock()
# What an inspector or the merchant says of an old phone.
MATCHES: Final = Inspect("matched", (), ())
DIFFERS: Final = Inspect("mismatched", ("PH_CONDITION_MISMATCH",), ("photo:1",))
BY_SELLER, BY_COURIER = CancelTradeIn("seller"), CancelTradeIn("courier")
PAY_BY_ALIPAY: Final = ChangePaymentMethod("alipay")
# The merchant asks for an address, or has nothing to deliver.
ASK: Final = Ask("address", "sha256:asked")
OUT_OF_STOCK: Final = MerchantCancel("OUT_OF_STOCK", ("stock:1",))

Json = dict[str, Any]


def money(text: str) -> Money:
    """``5000 CNY`` as people write it."""
    amount, currency = text.split()
    return Money.parse(amount, currency)


def wire(text: str) -> Json:
    amount, currency = text.split()
    return {"amount": amount, "currency": currency}


def body(**changes: Any) -> Json:
    """An offer as a merchant sends it: the 2024 programme with 88 yuan of shipping, unless changed."""
    car = {"sku": "su7-max", "name": "SU7 Max", "price": wire("299900 CNY"), "made_to_spec": True, "stock": 100}
    return {
        "title": "SU7",
        "market": "CN",
        "preset": "su7_2024",
        "items": [car],
        "shipping": wire("88 CNY"),
        "limits": {"per_buyer": None},
        **changes,
    }


def plain(preset: str, currency: str = "CNY", **changes: Any) -> Json:
    """The least that an offer of a preset needs."""
    one = {"sku": "one", "name": "One", "price": wire(f"1000 {currency}")}
    return {"title": "Offer", "market": "CN", "currency": currency, "preset": preset, "items": [one], **changes}


def draft(sent: Mapping[str, Any] | None = None) -> Draft:
    return offer_terms.merge_market_policy(offer_terms.read_offer(body() if sent is None else sent, T0), T0)[0]


def terms(**changes: Any) -> Terms:
    return draft(body(**changes))


SU7: Final = terms()
FOUNDERS: Final = terms(preset="su7_founders_2024")
FLASH_SALE: Final = terms(preset="flash_sale", currency="CNY")
NEVER: Final = terms(lock={"at": "never"})
NO_WAY_BACK: Final = terms(payment={"methods": ["virtual_account", "card"]})
# A week to think, which the Indonesian trade-in does not have by itself.
A_WEEK: Final[Json] = {
    "window": {"kind": "elapsed", "length": "PT168H"},
    "lock": {"at": "window_end", "early": True, "review": "PT10S", "intent_ttl": "PT15M", "undo": "PT1H"},
}


def trading(
    price: str = "3000000 IDR", credit: str = "800000 IDR", shipping: str = "18000 IDR", **changes: Any
) -> Terms:
    """The Indonesian trade-in with one new thing, a phone unless changed, and one old model that is worth ``credit``."""
    new = {"sku": "new", "name": "New", "category": changes.pop("category", "phone"), "price": wire(price)}
    old = {"schedule": changes.pop("schedule", "id-tukar-tambah"), "values": {"old": wire(credit)}}
    offered = {"market": "ID", "items": [new], "shipping": wire(shipping), "trade_in": old, **changes}
    return draft(plain("trade_in_id", price.split()[1], **offered))


def offer_of(under: Terms, **changes: Any) -> Offer:
    """The offer that has these terms; open at once and without counted stock unless changed."""
    made = {"at": T0, "merchant": "mer_shop", "opens_at": None, "closes_at": None, "stock": (), "batch": "b"}
    return offers.fold("off_" + "0" * 26, [OfferMade(**{**made, "terms_hash": compute_terms_hash(under), **changes})])


def order_of(under: Terms, *items: tuple[str, int], **changes: Any) -> Order:
    lines = tuple(Ordered(*item) for item in items) or (Ordered(under.items[0].sku, 1),)
    fields = {"payment_method": under.payment.methods[0], "terms_hash": compute_terms_hash(under), **changes}
    return Order(offer="off_" + "0" * 26, items=lines, **fields)


@dataclass
class Story:
    """A deposit and how it came about. Every step goes through the rules, as a request or a job would take it."""

    terms: Terms
    deposit: Deposit
    events: list[DepositEvent] = field(default_factory=list)

    @property
    def latest_claim(self) -> Claim:
        return self.deposit.claims[-1]

    @property
    def refund(self) -> Refund:
        assert self.deposit.refund is not None
        return self.deposit.refund

    def tell(self, *events: DepositEvent) -> "Story":
        for event in events:
            self.deposit = evolve(self.deposit, event)
            self.events.append(event)
        return self

    def ask(self, command: Command, at: int) -> tuple[DepositEvent, ...]:
        decided = decide(self.deposit, command, at, self.terms)
        self.tell(*decided)
        return decided

    def said(self, command: Command, at: int) -> str:
        """The types of the events that follow, or the reason of a refusal; "nothing" when there is nothing new."""
        try:
            return " ".join(event.TYPE for event in self.ask(command, at)) or "nothing"
        except Refused as refused:
            return refused.reason.value

    def write(self, at: int, grace: int = 0) -> "Story":
        """What close_windows does: every deadline that has passed is written down."""
        return self.tell(*overdue(self.deposit, at, at - grace, at - grace))

    def confirm(self, **changes: str) -> ConfirmLock:
        """The confirmation of the latest intent: its id, its hash and its words, unless changed."""
        latest = self.deposit.intents[-1]
        named = {
            "intent": child("lki", self.deposit.id, latest.n),
            "disclosure_hash": latest.opened.disclosure_hash,
            "acknowledgement": latest.opened.acknowledgement,
        }
        return ConfirmLock(**{**named, **changes})

    def ready(self, *lines: int, inspect_at: int = LATER + DAY) -> Ready:
        """The merchant's word that these lines (all of them) can be inspected."""
        return Ready(lines or tuple(range(1, len(self.deposit.lines) + 1)), inspect_at, ("photo:1",))

    def ship(self, *units: tuple[int, int]) -> Ship:
        """These (line, quantity), or everything that is left."""
        lines = zip(self.deposit.lines, self.deposit.progress, strict=True)
        left = ((n, one.count_to_ship(line.quantity)) for n, (line, one) in enumerate(lines, start=1))
        return Ship(tuple(Units(*one) for one in units or left if one[1]))

    def pay(self, amount: str | None = None, at: int = PAID, **seen: Any) -> str:
        """The provider reports a capture of ``amount`` (what is due) for the current payment."""
        return self.said(self.captured(amount, at, **seen), seen.get("seen_at", at))

    def captured(
        self, amount: str | None = None, at: int = PAID, *, payment: int | None = None, ref: str = "", seen_at: int = 0
    ) -> PaymentSeen:
        assert not seen_at or seen_at >= at
        n = self.deposit.payment.n if payment is None else payment
        took = self.deposit.payments[n - 1].amount if amount is None else money(amount)
        name = ref or f"cap_{len(self.deposit.captures) + 1}"
        return PaymentSeen(n, "succeeded", (CaptureSeen(name, took, at),))

    def dispute(self, status: Any, at: int, amount: str | None = None, **named: str) -> str:
        """The provider tells of a chargeback against a capture: the first one and all of it, unless said."""
        return self.said(self.disputed(status, amount, **named), at)

    def disputed(
        self, status: Any, amount: str | None = None, *, ref: str = "dp_1", capture: str = "cap_1"
    ) -> PaymentSeen:
        taken = self.deposit.find_capture(capture)
        disputes = (DisputeSeen(ref, capture, taken.amount if amount is None else money(amount), status),)
        return PaymentSeen(taken.payment, "succeeded", disputes=disputes)

    def claim(self, kind: ClaimKind, at: int, *units: tuple[int, int], amount: str | None = None) -> str:
        """The buyer opens a claim, about these (line, quantity) or this amount."""
        return self.said(claimed(kind, *units, amount=amount), at)

    def grant(self, amount: str, at: int, expected: Money | None = None) -> str:
        """Goodwill of the merchant, who has just looked at what is refundable, unless said."""
        return self.said(Grant(money(amount), self.deposit.refundable if expected is None else expected), at)


def ordered(under: Terms = SU7, *items: tuple[str, int], **changes: Any) -> Story:
    created = ordering.create_deposit(order_of(under, *items, **changes), offer_of(under), under, "usr_" + "0" * 26, T0)
    return Story(under, begin_deposit(DEPOSIT_ID, created), [created])


def paid(under: Terms = SU7, *items: tuple[str, int], **changes: Any) -> Story:
    story = ordered(under, *items, **changes)
    story.pay()
    return story


def locked(under: Terms = SU7, *items: tuple[str, int], at: int = LOCKED, **changes: Any) -> Story:
    """Paid, and locked by the buyer at ``at``, a minute after the intent; the undo is open from then on."""
    story = paid(under, *items, **changes)
    story.ask(INTENT, at - MINUTE)
    story.ask(story.confirm(), at)
    return story


def final(under: Terms = SU7, *items: tuple[str, int], **changes: Any) -> Story:
    """Paid, the window over, and everything that the clock had to say by ``LATER`` written down."""
    return paid(under, *items, **changes).write(LATER)


def settled(under: Terms = SU7, *items: tuple[str, int], at: int = LATER, **changes: Any) -> Story:
    """Final, and fully paid: the balance, where there is one, was asked for and arrived at ``at``."""
    story = final(under, *items, **changes)
    if story.deposit.balance:
        story.ask(BALANCE_BY_CARD, at)
        story.pay(at=at)
    return story


def completed(under: Terms = SU7, *items: tuple[str, int], at: int = LATER, **changes: Any) -> Story:
    """Fully paid, and everything shipped at ``at``."""
    story = settled(under, *items, at=at, **changes)
    story.ask(story.ship(), at)
    return story


def handed_in(under: Terms, model: str = "old") -> Json:
    """What an order adds when an old device is handed in: ``paid(under, **handed_in(under))``."""
    return {"trade_in": HandedIn(under.items[0].category, model)}


def traded(under: Terms) -> Story:
    """Paid, less the credit of the old device, which has not been looked at yet."""
    return paid(under, **handed_in(under))


def cancelled(under: Terms = SU7, at: int = PAID + DAY) -> Story:
    story = paid(under)
    story.ask(CANCEL, at)
    return story


# --- Claims ---

ACCEPT: Final = Respond(1, "accept")
REJECT: Final = Respond(1, "reject", statement="sha256:no")
TAKE: Final = AcceptOffer(1)
ESCALATE: Final = Escalate(1)
TAKE_BACK: Final = WithdrawClaim(1)
UPHOLD: Final = RuleClaim(1, "uphold", "sha256:why")
DISMISS: Final = RuleClaim(1, "dismiss", "sha256:why")


def claimed(kind: ClaimKind, *units: tuple[int, int], amount: str | None = None, **more: Any) -> OpenClaim:
    asked = money(amount) if amount is not None else None
    return OpenClaim(kind, "sha256:said", tuple(Units(*one) for one in units), asked, **more)


def offer(amount: str, n: int = 1) -> Respond:
    return Respond(n, "offer", money(amount))


def partly(amount: str, n: int = 1) -> RuleClaim:
    return RuleClaim(n, "partly", "sha256:why", money(amount))


def shop(*prices: int, shipping: int = 0, **changes: Any) -> Terms:
    """An Indonesian flash sale, paid in full and locked by paying: lines ``a``, ``b`` and so on at these prices."""
    items = [
        {"sku": sku, "name": sku, "price": wire(f"{price} IDR")} for sku, price in zip("abcdefgh", prices, strict=False)
    ]
    offered = {"market": "ID", "items": items, "shipping": wire(f"{shipping} IDR"), "limits": {"per_buyer": None}}
    return draft(plain("flash_sale", "IDR", **{**offered, **changes}))


def bought(under: Terms, *quantities: int) -> Story:
    """One of each thing, unless said."""
    units = quantities or (1,) * len(under.items)
    return paid(under, *((item.sku, many) for item, many in zip(under.items, units, strict=True)))


# The published case (domain facts, section 5.1), with what its parcel costs.
FIVE: Final = shop(75_000, 75_000, 60_000, 45_000, 45_000, shipping=15_000)

_PAID: Final = money("1 CNY")
# One of each event of a claim, as of the first one of a deposit of 5,088 yuan.
CLAIM_EVENTS: Final[tuple[DepositEvent, ...]] = (
    ClaimOpened(PAID, 1, "other", _PAID, False, "sha256:said", END, "PT72H", "P7D", amount=_PAID),
    ClaimEvidenceAdded(PAID, 1, "buyer", ("photo:1",)),
    ClaimOffered(PAID, 1, _PAID, END),
    ClaimRejected(PAID, 1, END, "sha256:no"),
    ClaimEscalated(PAID, 1, "buyer", END),
    ClaimAccepted(PAID, 1, "merchant", _PAID, (1,)),
    ClaimUpheld(PAID, 1, _PAID, "sha256:why", (1,)),
    ClaimPartlyUpheld(PAID, 1, _PAID, "sha256:why", (1,)),
    ClaimDismissed(PAID, 1, "sha256:why"),
    ClaimWithdrawn(PAID, 1),
    ClaimGranted(END, 1, "merchant", _PAID, (1,)),
    ClaimAnsweredLate(END, 1, "merchant", "accept"),
    ClaimReminded(PAID, 1, END),
    ClaimReversed(PAID, 1, money("0 CNY"), money("0 CNY")),
)


def refund_news(story: Story, status: Any, at: int, *, amount: Money | None = None, **known: Any) -> RefundSeen:
    fields = {"provider_ref": "re_1", **known}
    return RefundSeen(story.refund.n, status, amount or story.refund.amount, at=at, **fields)


SEND: Final = SendRefund(1)
LOSE: Final = RecordUnknownOutcome(1)
MISS: Final = RecordNotFound(1)


@contextmanager
def refused(reason: Reason, *faults: tuple[str, str], **facts: object) -> Iterator[None]:
    """That it is refused for this reason, with exactly these faults and facts."""
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.reason is reason
    assert caught.value.faults == faults
    assert caught.value.facts == facts

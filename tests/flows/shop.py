"""The flows over one table, with a clock that a test moves by hand and a provider that does as it is told."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Self

import pytest
from msgspec.structs import replace

from chalicelib.core.claims.answering import Claiming, Respond
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.ids import child, digest_id
from chalicelib.core.common.journal import Caller, Key, RequestContext
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.events.lock import LockIntentOpened
from chalicelib.core.deposit.payment import CaptureSeen, PaymentSeen
from chalicelib.core.deposit.refund import RefundSeen
from chalicelib.core.ending.end import Cancel
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.selling.ordering import Order, Ordered
from chalicelib.flows.cancellations import Cancellations
from chalicelib.flows.changes import Changes
from chalicelib.flows.claims import Claims, ClaimView
from chalicelib.flows.commit import Commits
from chalicelib.flows.defaults import Defaults
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.deposits import DepositDesk
from chalicelib.flows.offers import Catalogue, Offered
from chalicelib.flows.orders import Orders
from chalicelib.flows.passes import Passes
from chalicelib.flows.payees import Payees
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.provider import Declined, NotFound, Session, Unknown
from chalicelib.flows.questions import Questions
from chalicelib.flows.refunds import Refunds
from chalicelib.flows.retry import Timing
from chalicelib.flows.snapshot import Outcome
from chalicelib.flows.stock_cache import StockCache, StockSeen
from chalicelib.flows.withdrawals import Withdrawals
from chalicelib.store.bulks import BulkStore
from chalicelib.store.deposits import DepositStore
from chalicelib.store.keys import KeyStore
from chalicelib.store.offers import OfferStore
from chalicelib.store.tallies import TallyStore
from chalicelib.store.texts import TextStore
from chalicelib.store.vault import Vault
from chalicelib.wiring import machine_clock, pause
from tests.conftest import Tables
from tests.store.builders import STAFF, T0
from tests.store.faults import Line, line

GRACE: Final = 60_000
MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 86_400_000
PRICE: Final = Money(29_990_000, "CNY")
EARNEST: Final = Money(500_000, "CNY")
SKU: Final = "su7-max"
SECRET: Final = "correct horse battery staple 0001"
STATEMENT: Final = "It never came."
_numbers: Final = count(1)


@dataclass
class Clock:
    """Milliseconds, moved by the test; a sleep takes the longest it may."""

    now: int = T0
    pauses: list[int] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now

    def pause(self, losses: int) -> None:
        self.pauses.append(losses)
        self.now += 400

    def timing(self) -> Timing:
        return Timing(self, self.pause, GRACE)


REAL: Final = Timing(machine_clock, pause, GRACE)


@dataclass
class Teller:
    """A provider with nothing but what the test told it. ``asked`` lists what it was asked."""

    payments: dict[str, PaymentSeen | Unknown] = field(default_factory=dict)
    refunds: dict[str, RefundSeen | Unknown] = field(default_factory=dict)
    holders: dict[str, str | NotFound | Unknown] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    name: str = "teller"
    key_retention_ms: int = DAY

    def open_session(self, payment_id: str, amount: Money, method: str) -> Session | Declined | Unknown:
        raise NotImplementedError(payment_id, amount, method)

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown:
        self.asked.append(payment_id)
        return self.payments.get(payment_id, NotFound())

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        self.asked.append(f"{key} of {payment_id}, {capture}, {amount.minor}")
        return self.refunds.get(key, Unknown())

    def pay_out(self, key: str, amount: Money, payee: Payee) -> RefundSeen | Unknown:
        self.asked.append(f"{key} to {payee.holder}, {payee.bank} {payee.account}, {amount.minor}")
        return self.refunds.get(key, Unknown())

    def find_refund(self, key: str) -> RefundSeen | NotFound | Unknown:
        self.asked.append(key)
        return self.refunds.get(key, NotFound())

    def holder_of(self, bank: str, account: str) -> str | NotFound | Unknown:
        return self.holders.get(f"{bank} {account}", "")


class Shop:
    """One container: its own caches and hints, over tables that it shares with others."""

    def __init__(self, tables: Tables, timing: Timing) -> None:
        self.timing = timing
        self.store = DepositStore(tables.client, tables.name, timing.grace_ms)
        self.offers = OfferStore(tables.client, tables.name)
        self.catalogue = Catalogue(self.offers, timing)
        self.stock_cache = StockCache()
        self.vault = Vault((SECRET,))
        self.texts = TextStore(tables.client, tables.name, timing.pause)
        self.commits = Commits(self.store, self.offers, timing)
        self.passes = Passes(self.commits)
        self.orders = Orders(
            self.store, self.offers, self.catalogue, timing, self.stock_cache, self.passes, self.vault.token_key
        )
        self.questions = Questions(self.commits, self.texts, self.vault)
        bulks, tallies = BulkStore(tables.client, tables.name), TallyStore(tables.client, tables.name)
        self.cancellations = Cancellations(self.commits, bulks, tallies, self.vault, timing.now)
        self.changes = Changes(self.commits, self.catalogue, self.stock_cache)
        self.withdrawals = Withdrawals(self.commits, self.texts, self.vault)
        self.desk = DepositDesk(self.commits)
        self.payees = Payees(self.texts, self.vault)
        self.keys = KeyStore(tables.client, tables.name)
        self.claims = Claims(self.commits, self.keys, self.texts, self.vault)
        self.served_by(Teller())

    def served_by(self, provider: "Teller") -> None:
        """This provider, from now on."""
        self.provider = provider
        self.deposit_worker = DepositWorker(self.commits, provider, self.payees, self.timing.now)
        self.refunds = Refunds(self.commits, self.deposit_worker, self.payees, self.keys)
        self.defaults = Defaults(self.desk, self.deposit_worker)

    def asked(
        self, by: Caller, what: str = "", key_text: str | None = None, body: str = "", **changes: Any
    ) -> RequestContext:
        """A request as the edge stamps it; without a key it is a read."""
        key = Key(digest(by.id, what, key_text), digest(body)) if key_text is not None else None
        now = self.timing.now()
        return replace(RequestContext(now, by, now, key=key, key_text=key_text or ""), **changes)

    def publish(
        self, units: int | None = 37, per_buyer: int | None = None, key_text: str | None = None, **changes: Any
    ) -> Offered:
        """An offer of the 2024 programme."""
        item = {"sku": SKU, "name": "SU7 Max", "price": {"amount": "299900", "currency": "CNY"}, "stock": units}
        limits = {"per_buyer": per_buyer, "per_identity": None}
        body = {"title": "SU7", "market": "CN", "preset": "su7_2024", "items": [item], "limits": limits, **changes}
        asked = self.asked(STAFF, "publish", key_text or fresh_key(), f"{body}")
        return self.catalogue.publish(body, asked)

    def sees(self, offered: Offered, left: Sequence[int], sku: str = SKU) -> None:
        """This container has looked at the shards just now, and found these units."""
        self.stock_cache.seen[offered.offer.id] = StockSeen(self.timing.now(), {sku: left}, {sku: list(left)})

    def warm(self, offered: Offered) -> Offered:
        """The offer and its terms are in this container's caches."""
        self.catalogue.recent(offered.offer.id)
        self.offers.terms(offered.offer.made.terms_hash)
        return offered

    def order(
        self,
        offered: Offered,
        by: Caller,
        key_text: str | None = None,
        quantity: int = 1,
        method: str = "card",
        priority_pass: str | None = None,
        **changes: Any,
    ) -> Outcome:
        """The buyer orders; the same key is the same tap."""
        terms_hash = offered.offer.made.terms_hash
        order = Order(offered.offer.id, (Ordered(SKU, quantity),), method, terms_hash, priority_pass)
        body = f"{offered.offer.id} {quantity} {priority_pass}"
        return self.orders.create(order, self.asked(by, "order", key_text or fresh_key(), body, **changes))

    def command(
        self, deposit_id: str, command: Command, by: Caller, key_text: str | None = None, **changes: Any
    ) -> Outcome:
        asked = self.asked(by, f"{type(command).__name__} {deposit_id}", key_text or fresh_key(), f"{command}")
        return self.desk.command(deposit_id, command, replace(asked, **changes))

    def cancel(self, deposit_id: str, by: Caller, key_text: str | None = None, **changes: Any) -> Outcome:
        return self.command(deposit_id, Cancel(), by, key_text, **changes)

    def merchant_cancel(
        self, deposit_id: str, reason: str = "OUT_OF_STOCK", key_text: str | None = None, by: Caller = STAFF
    ) -> Outcome:
        """The merchant cancels for a published reason, with a record or two of it."""
        asked = self.asked(by, f"merchant-cancel {deposit_id}", key_text or fresh_key(), reason)
        return self.cancellations.cancel(deposit_id, reason, ("record:1", "record:2"), None, asked)

    def granted(self, by: Caller, **terms: Any) -> str:
        """A buyer's pass, from an order that was not paid yet when the merchant cancelled it."""
        deposit_id = self.order(self.publish(units=None, **terms), by).deposit.id
        self.merchant_cancel(deposit_id)
        return child("pas", deposit_id, 1)

    def show(
        self, deposit_id: str, by: Caller, key_text: str | None = None, language: str = "en", **changes: Any
    ) -> LockIntentOpened:
        """The buyer is shown what a lock would mean."""
        return self.command(deposit_id, OpenIntent(language), by, key_text, **changes).deposit.intents[-1].shown

    def lock(
        self, deposit_id: str, by: Caller, shown: LockIntentOpened, key_text: str | None = None, **changes: Any
    ) -> Outcome:
        """The buyer has read what was shown, and types the words."""
        intent = child("lki", deposit_id, shown.intent)
        typed = ConfirmLock(intent, shown.disclosure_hash, shown.acknowledgement)
        return self.command(deposit_id, typed, by, key_text, **changes)

    def change_items(
        self, deposit_id: str, by: Caller, *items: tuple[str, int], key_text: str | None = None, **changes: Any
    ) -> Outcome:
        """The buyer wants these instead."""
        asked = self.asked(by, f"change {deposit_id}", key_text or fresh_key(), f"{items}", **changes)
        return self.changes.change(deposit_id, [Ordered(*item) for item in items], asked)

    def pay(
        self, deposit_id: str, at: int | None = None, amount: Money = EARNEST, payment: int = 1, ref: str = "cap"
    ) -> Outcome:
        """The provider says that the whole amount was captured at an instant."""
        seen = captured(self.timing.now() if at is None else at, amount, payment, ref)
        return self.deposit_worker.settle(deposit_id, seen, "t")

    def claim(
        self,
        deposit_id: str,
        by: Caller,
        *lines: tuple[int, int],
        amount: Money | None = None,
        key_text: str | None = None,
        **changes: Any,
    ) -> ClaimView:
        """The buyer claims units that did not come, or an amount; the deposit stands in the body, as over HTTP."""
        kind: Any = "short_shipment" if lines else "other"
        units = tuple(Units(*one) for one in lines)
        command = OpenClaim(kind, self.claims.digest(STATEMENT) or "", units, amount)
        asked = self.asked(by, "claim", key_text or fresh_key(), f"{deposit_id} {command}", **changes)
        return self.claims.open(deposit_id, command, STATEMENT, asked)

    def say(
        self,
        claim_id: str,
        command: Claiming,
        by: Caller,
        key_text: str | None = None,
        words: str | None = None,
        **changes: Any,
    ) -> ClaimView:
        """Anything that is said to a claim."""
        asked = self.asked(by, f"{type(command).__name__} {claim_id}", key_text or fresh_key(), f"{command}", **changes)
        return self.claims.execute(claim_id, command, words, asked)

    def respond(self, claim_id: str, decision: Any, amount: Money | None = None, **options: Any) -> ClaimView:
        """The merchant's answer; a rejection has words."""
        words = STATEMENT if decision == "reject" else None
        command = Respond(int(claim_id.rpartition("_")[2]), decision, amount, self.claims.digest(words))
        return self.say(claim_id, command, STAFF, words=words, **options)

    def load(self, deposit_id: str) -> Stored[Any]:
        return self.commits.load(deposit_id).stored

    def types(self, deposit_id: str) -> list[str]:
        """The public names of what is written in a journal."""
        return [one.event.TYPE for one in self.load(deposit_id).journal]


class Stand(Shop):
    """A shop on a clock moved by hand. Its own wire can be tampered with, its twin's cannot."""

    def __init__(self, table: Tables, own: Tables, wire: Line) -> None:
        self.clock = Clock()
        super().__init__(own, self.clock.timing())
        self.twin = Shop(table, self.clock.timing())
        self.table = table
        self._wire = wire

    @classmethod
    @contextmanager
    def over(cls, table: Tables, attempts: int = 1) -> Iterator[Self]:
        with line(table, attempts=attempts) as (own, wire):
            yield cls(table, own, wire)

    @property
    def wire(self) -> Line:
        """The wire, its trips counted from here."""
        self._wire.trips.clear()
        return self._wire


def captured(at: int, amount: Money = EARNEST, payment: int = 1, ref: str = "cap") -> PaymentSeen:
    return PaymentSeen(payment, "succeeded", (CaptureSeen(f"{ref}_{payment}", amount, at),))


def person() -> Caller:
    """A buyer nobody met before."""
    return Caller(digest_id("usr", f"buyer {next(_numbers)}"), "buyer")


def fresh_key() -> str:
    return f"key-{next(_numbers)}"


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()[:8]


def answer(outcome: Outcome) -> tuple[Deposit, object, int, str]:
    """What an answer is rendered from: equal here is equal on the wire."""
    return outcome.deposit, outcome.journal, outcome.at, outcome.locale


def refused(act: Callable[[], object]) -> Refused:
    """The refusal that must come."""
    with pytest.raises(Refused) as caught:
        act()
    return caught.value


def insisting(act: Callable[[], Outcome], most: int = 20) -> Outcome | Reason:
    """What a patient client ends up with: busy and lost answers are asked again, with the same key."""
    for _ in range(most):
        try:
            return act()
        except Refused as refused:
            if refused.reason is not Reason.BUSY:
                return refused.reason
    raise AssertionError("busy for ever")

"""The flows of a container over one table, a clock that the test moves, and a provider whose answers the test sets."""

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
from chalicelib.core.ending.end import Cancel
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent
from chalicelib.core.paying.provider_answers import CaptureSeen, PaymentSeen
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen
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
from tests.store.faults import FaultInjector, inject_faults

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
    """Milliseconds, moved by the test. A pause takes 400 ms, the longest possible."""

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
class ScriptedProvider:
    """A provider that gives the answers that the test has set. ``calls`` lists the calls it got."""

    payments: dict[str, PaymentSeen | Unknown] = field(default_factory=dict)
    refunds: dict[str, RefundSeen | Unknown] = field(default_factory=dict)
    holders: dict[str, str | NotFound | Unknown] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    name: str = "teller"
    key_retention_ms: int = DAY

    def open_session(self, payment_id: str, amount: Money, method: str) -> Session | Declined | Unknown:
        raise NotImplementedError(payment_id, amount, method)

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown:
        self.calls.append(payment_id)
        return self.payments.get(payment_id, NotFound())

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        self.calls.append(f"{key} of {payment_id}, {capture}, {amount.minor}")
        return self.refunds.get(key, Unknown())

    def pay_out(self, key: str, amount: Money, payee: Payee) -> RefundSeen | Unknown:
        self.calls.append(f"{key} to {payee.holder}, {payee.bank} {payee.account}, {amount.minor}")
        return self.refunds.get(key, Unknown())

    def find_refund(self, key: str) -> RefundSeen | NotFound | Unknown:
        self.calls.append(key)
        return self.refunds.get(key, NotFound())

    def holder_of(self, bank: str, account: str) -> str | NotFound | Unknown:
        return self.holders.get(f"{bank} {account}", "")


class Shop:
    """The flows of one container: its own caches, over tables that it shares with other containers."""

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
        self.use_provider(ScriptedProvider())

    def use_provider(self, provider: "ScriptedProvider") -> None:
        """Use this provider from now on."""
        self.provider = provider
        self.deposit_worker = DepositWorker(self.commits, provider, self.payees, self.timing.now)
        self.refunds = Refunds(self.commits, self.deposit_worker, self.payees, self.keys)
        self.defaults = Defaults(self.desk, self.deposit_worker)

    def request_context(
        self, by: Caller, what: str = "", key_text: str | None = None, body: str = "", **changes: Any
    ) -> RequestContext:
        """The context of a request as the edge makes it; without a key it is a read."""
        key = Key(digest(by.id, what, key_text), digest(body)) if key_text is not None else None
        now = self.timing.now()
        return replace(RequestContext(now, by, now, key=key, key_text=key_text or ""), **changes)

    def publish(
        self, units: int | None = 37, per_buyer: int | None = None, key_text: str | None = None, **changes: Any
    ) -> Offered:
        """Publish an offer of the 2024 programme."""
        item = {"sku": SKU, "name": "SU7 Max", "price": {"amount": "299900", "currency": "CNY"}, "stock": units}
        limits = {"per_buyer": per_buyer, "per_identity": None}
        body = {"title": "SU7", "market": "CN", "preset": "su7_2024", "items": [item], "limits": limits, **changes}
        asked = self.request_context(STAFF, "publish", key_text or fresh_key(), f"{body}")
        return self.catalogue.publish(body, asked)

    def set_seen_stock(self, offered: Offered, left: Sequence[int], sku: str = SKU) -> None:
        """Put these units per shard into the stock cache, as read now."""
        self.stock_cache.seen[offered.offer.id] = StockSeen(self.timing.now(), {sku: left}, {sku: list(left)})

    def fill_caches(self, offered: Offered) -> Offered:
        """Load an offer and its terms into this container's caches."""
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
        """The buyer orders; the same key is the same request."""
        terms_hash = offered.offer.made.terms_hash
        order = Order(offered.offer.id, (Ordered(SKU, quantity),), method, terms_hash, priority_pass)
        body = f"{offered.offer.id} {quantity} {priority_pass}"
        return self.orders.create(order, self.request_context(by, "order", key_text or fresh_key(), body, **changes))

    def command(
        self, deposit_id: str, command: Command, by: Caller, key_text: str | None = None, **changes: Any
    ) -> Outcome:
        asked = self.request_context(
            by, f"{type(command).__name__} {deposit_id}", key_text or fresh_key(), f"{command}"
        )
        return self.desk.command(deposit_id, command, replace(asked, **changes))

    def cancel(self, deposit_id: str, by: Caller, key_text: str | None = None, **changes: Any) -> Outcome:
        return self.command(deposit_id, Cancel(), by, key_text, **changes)

    def merchant_cancel(
        self, deposit_id: str, reason: str = "OUT_OF_STOCK", key_text: str | None = None, by: Caller = STAFF
    ) -> Outcome:
        """The merchant cancels for a published reason, with two pieces of evidence."""
        asked = self.request_context(by, f"merchant-cancel {deposit_id}", key_text or fresh_key(), reason)
        return self.cancellations.cancel(deposit_id, reason, ("record:1", "record:2"), None, asked)

    def create_pass(self, by: Caller, **terms: Any) -> str:
        """The id of a pass that the buyer has from an unpaid order that the merchant cancelled."""
        deposit_id = self.order(self.publish(units=None, **terms), by).deposit.id
        self.merchant_cancel(deposit_id)
        return child("pas", deposit_id, 1)

    def open_intent(
        self, deposit_id: str, by: Caller, key_text: str | None = None, language: str = "en", **changes: Any
    ) -> LockIntentOpened:
        """The buyer opens a lock intent and gets its disclosure."""
        return self.command(deposit_id, OpenIntent(language), by, key_text, **changes).deposit.intents[-1].opened

    def lock(
        self, deposit_id: str, by: Caller, shown: LockIntentOpened, key_text: str | None = None, **changes: Any
    ) -> Outcome:
        """The buyer confirms a lock with the words of its disclosure."""
        intent = child("lki", deposit_id, shown.intent)
        typed = ConfirmLock(intent, shown.disclosure_hash, shown.acknowledgement)
        return self.command(deposit_id, typed, by, key_text, **changes)

    def change_items(
        self, deposit_id: str, by: Caller, *items: tuple[str, int], key_text: str | None = None, **changes: Any
    ) -> Outcome:
        """The buyer changes the goods to these items."""
        asked = self.request_context(by, f"change {deposit_id}", key_text or fresh_key(), f"{items}", **changes)
        return self.changes.change(deposit_id, [Ordered(*item) for item in items], asked)

    def pay(
        self, deposit_id: str, at: int | None = None, amount: Money = EARNEST, payment: int = 1, ref: str = "cap"
    ) -> Outcome:
        """Settle a capture of the amount at an instant."""
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
        """The buyer claims units that were not shipped, or an amount. The request's body names the deposit, as over HTTP."""
        kind: Any = "short_shipment" if lines else "other"
        units = tuple(Units(*line) for line in lines)
        command = OpenClaim(kind, self.claims.digest(STATEMENT) or "", units, amount)
        asked = self.request_context(by, "claim", key_text or fresh_key(), f"{deposit_id} {command}", **changes)
        return self.claims.open(deposit_id, command, STATEMENT, asked)

    def run_claim_command(
        self,
        claim_id: str,
        command: Claiming,
        by: Caller,
        key_text: str | None = None,
        words: str | None = None,
        **changes: Any,
    ) -> ClaimView:
        """Run any command on a claim."""
        asked = self.request_context(
            by, f"{type(command).__name__} {claim_id}", key_text or fresh_key(), f"{command}", **changes
        )
        return self.claims.execute(claim_id, command, words, asked)

    def respond(self, claim_id: str, decision: Any, amount: Money | None = None, **options: Any) -> ClaimView:
        """The merchant answers a claim; a rejection has a statement."""
        words = STATEMENT if decision == "reject" else None
        command = Respond(int(claim_id.rpartition("_")[2]), decision, amount, self.claims.digest(words))
        return self.run_claim_command(claim_id, command, STAFF, words=words, **options)

    def load(self, deposit_id: str) -> Stored[Any]:
        return self.commits.load(deposit_id).stored

    def event_types(self, deposit_id: str) -> list[str]:
        """The public names of the events of a journal."""
        return [entry.event.TYPE for entry in self.load(deposit_id).journal]


class FaultyShop(Shop):
    """A shop on a clock moved by the test. Its client injects faults, that of ``second_shop`` does not."""

    def __init__(self, table: Tables, own: Tables, faults: FaultInjector) -> None:
        self.clock = Clock()
        super().__init__(own, self.clock.timing())
        self.second_shop = Shop(table, self.clock.timing())
        self.table = table
        self._faults = faults

    @classmethod
    @contextmanager
    def open(cls, table: Tables, attempts: int = 1) -> Iterator[Self]:
        with inject_faults(table, attempts=attempts) as (own, faults):
            yield cls(table, own, faults)

    @property
    def faults(self) -> FaultInjector:
        """The faults, its trips counted from here."""
        self._faults.trips.clear()
        return self._faults


def captured(at: int, amount: Money = EARNEST, payment: int = 1, ref: str = "cap") -> PaymentSeen:
    return PaymentSeen(payment, "succeeded", (CaptureSeen(f"{ref}_{payment}", amount, at),))


def new_buyer() -> Caller:
    """A buyer without any orders."""
    return Caller(digest_id("usr", f"buyer {next(_numbers)}"), "buyer")


def fresh_key() -> str:
    return f"key-{next(_numbers)}"


def digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()[:8]


def rendered_state(outcome: Outcome) -> tuple[Deposit, object, int, str]:
    """All that an answer is rendered from: equal values give equal answers."""
    return outcome.deposit, outcome.journal, outcome.at, outcome.locale


def catch_refusal(act: Callable[[], object]) -> Refused:
    """The refusal that the call must raise."""
    with pytest.raises(Refused) as caught:
        act()
    return caught.value


def retry_while_busy(act: Callable[[], Outcome], most: int = 20) -> Outcome | Reason:
    """The outcome or refusal after retries: BUSY is retried with the same key."""
    for _ in range(most):
        try:
            return act()
        except Refused as refused:
            if refused.reason is not Reason.BUSY:
                return refused.reason
    raise AssertionError("busy for ever")

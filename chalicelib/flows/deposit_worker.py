"""Do what is due at one deposit: ask the provider before it expires, write deadlines, send and follow its refunds.

One worker at a time holds the lease. An unknown outcome is a state, not a failure: what may have been executed is queried,
and sent again only under the same key and while the provider still remembers that key.
"""

from typing import Final, TypeVar

from msgspec import Struct

from chalicelib.core import journal_replay
from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.journal import Caller, Entry, RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import expires, find_awaited_balance, look_at, next_due
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.refund import RefundSent
from chalicelib.core.deposit.refund import Refund, RefundStatus, refund_key
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.paying.schedule import compute_first_query_at as payment_look_at
from chalicelib.core.refunding import destination
from chalicelib.core.refunding.destination import Payee, SendRefund
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.core.refunding.settling import FlagProofMismatch, RecordNotFound, RecordUnknownOutcome
from chalicelib.flows.commit import Commits
from chalicelib.flows.images import Image
from chalicelib.flows.payees import Payees
from chalicelib.flows.ports.provider import NotFound, Provider, Unknown
from chalicelib.flows.ports.store import Clock
from chalicelib.flows.snapshot import Outcome
from chalicelib.flows.throttle import back_off

# A query, a call and its answer fit into it; a later worker finds the lease expired and queries again.
LEASE_MS: Final = 60_000
# When more time than this passed since the send began, the call is left to the next worker, which may have begun its query.
MAX_SEND_AGE_MS: Final = 30_000

# The provider knows nothing of these: they wait for an instant or for a person.
WAITING: Final = frozenset({RefundStatus.APPROVED, RefundStatus.REQUIRES_ACTION, RefundStatus.RETURNED})
# No query of these ends in a call that moves money, so they need no lease.
NEVER_SENT_AGAIN: Final = WAITING | {RefundStatus.SUCCEEDED}


class DepositWorker(Struct, frozen=True):
    """What jobs and provider events do with a deposit. ``role`` is the author of what they write."""

    commits: Commits
    provider: Provider
    payees: Payees
    clock: Clock
    role: str = "service"

    def process_due(self, deposit_id: str, owner: str) -> bool:
        """Do what is due; whether anything was. Leased and VersionConflict: another worker is at it."""
        image = self.commits.load(deposit_id)
        due = image.stored.due
        if due is None or due > self.clock():
            return False
        # Refunds first: the provider is asked once more before a missed promise is handed to a person.
        image = self._process_refunds(image, owner)
        image = self._process_payments(image, owner)
        expire = expires(image.deposit, self.clock() - self.commits.timing.grace_ms)
        if expire:
            settled = self._settle_before_expiry(image, owner)
            if settled is None:
                return True
            image = settled
        self.commits.run(deposit_id, self._request(owner), lambda _deposit, _terms: (), expire=expire, image=image)
        return True

    def handle_provider_event(self, subject: str, owner: str) -> bool:
        """Query the payment or refund that an event names, and settle the answer. False when we do not know it.

        The event itself is only a hint. Refused(BUSY) when the provider cannot be asked now: it sends the event again.
        """
        payment, refund = parse_child("pay", subject), parse_child("ref", subject)
        named = payment or refund
        if named is None:
            return False
        try:
            image = self.commits.load(f"dep_{named[0]}")
        except Refused as refused:
            if refused.reason is not Reason.NOT_FOUND:
                raise
            return False
        deposit = image.deposit
        if named[1] > len(deposit.payments if payment else deposit.refunds):
            return False
        seen = self.query_payment(subject) if payment else self.query_refund(deposit, named[1])
        if isinstance(seen, NotFound):
            return False
        self.settle(deposit.id, seen, owner, image)
        return True

    def query_payment(self, payment_id: str) -> PaymentSeen | NotFound:
        """What the provider knows of a payment. Refused(BUSY) when it gives no answer."""
        return _refuse_unknown(self.provider.find_payment(payment_id))

    def query_refund(self, deposit: Deposit, n: int) -> RefundSeen | NotFound:
        """What the provider knows of a refund under its present key. Refused(BUSY) when it gives no answer."""
        return _refuse_unknown(self.provider.find_refund(refund_key(deposit.id, deposit.refunds[n - 1])))

    def settle(
        self, deposit_id: str, seen: PaymentSeen | RefundSeen, owner: str, image: Image | None = None
    ) -> Outcome:
        """Write what is new in a provider's answer, in one append. Every answer takes this way, whoever asked."""
        return self._run(image if image is not None else self.commits.load(deposit_id), seen, owner)

    def may_have_forgotten(self, refund: Refund) -> bool:
        """Whether the provider may no longer know the key that the refund was sent under."""
        return refund.sent_at is not None and self.clock() - refund.sent_at >= self.provider.key_retention_ms - HOUR

    def settle_balance(self, deposit_id: str, owner: str) -> None:
        """Query the awaited balance payment and settle the answer. Refused(BUSY) when the provider gives none."""
        image = self.commits.load(deposit_id)
        payment = find_awaited_balance(image.deposit)
        if payment is None:
            return
        seen = self.query_payment(child("pay", deposit_id, payment.n))
        if isinstance(seen, PaymentSeen):
            self.settle(deposit_id, seen, owner, image)

    def push_back(self, deposit_id: str, owner: str) -> int:
        """After a failure: make it due later, each time longer. How often it has failed by now."""
        stored = self.commits.load(deposit_id).stored
        failures = stored.failures + 1
        now = self.clock()
        self.commits.deposits.touch(stored, back_off(now, failures), owner=owner, until=now, now=now, failures=failures)
        return failures

    # Payments.

    def _settle_before_expiry(self, image: Image, owner: str) -> Image | None:
        """Whether the payment arrived in time after all. None without an answer: then the deposit does not expire yet."""
        now, stored = self.clock(), image.stored
        seen = self.provider.find_payment(child("pay", image.id, image.deposit.payment.n))
        if isinstance(seen, Unknown):
            self.commits.deposits.touch(
                stored, now + LEASE_MS, owner=owner, until=now, now=now, failures=stored.failures
            )
            return None
        return self._record(image, seen, owner) if isinstance(seen, PaymentSeen) else image

    def _process_payments(self, image: Image, owner: str) -> Image:
        """Query an opened balance and open chargebacks: their events may have been lost."""
        now, deposit = self.clock(), image.deposit
        waiting = find_awaited_balance(deposit)
        due = [waiting.n] if waiting is not None and payment_look_at(waiting) <= now else []
        due += [row.payment for row in deposit.disputes if row.status == "open" and row.opened_at + DAY <= now]
        if due:
            self._take_lease(image, owner, now)
        for n in sorted(set(due)):
            seen = self.provider.find_payment(child("pay", deposit.id, n))
            if isinstance(seen, PaymentSeen):
                image = self._record(image, seen, owner)
        return image

    # Refunds. The steps of one: record_sent, call_provider, record_answer; query_unknown where an answer is missing.

    def _process_refunds(self, image: Image, owner: str) -> Image:
        now, deposit = self.clock(), image.deposit
        due = [refund for refund in deposit.refunds if (at := look_at(deposit, refund)) is not None and at <= now]
        unsent = [
            row
            for row in due
            if row.status is RefundStatus.APPROVED and destination.find_send_steps(deposit, row.n, now)
        ]
        sendable = [row for row in due if row.status not in NEVER_SENT_AGAIN]
        if sendable:
            self._take_lease(image, owner, now)
        current = image
        for refund in due:
            process = self._send if refund in unsent else self._query_unknown
            current = process(current, refund, owner)
        if len(due) > len(unsent) and not sendable and current.stored.version == image.stored.version:
            # Put off only when the queries brought nothing new: what is new and could not be written stays due.
            self._take_lease(image, owner, now)
        return current

    def _take_lease(self, image: Image, owner: str, now: int) -> None:
        due = next_due(image.deposit, now, self.commits.timing.grace_ms)
        later = due if due is not None else now + LEASE_MS
        failures = image.stored.failures
        self.commits.deposits.touch(image.stored, later, owner=owner, until=now + LEASE_MS, now=now, failures=failures)

    def _send(self, image: Image, refund: Refund, owner: str) -> Image:
        """Send an approved refund, unless its proof gives another amount when it is decided again."""
        began = self.commits.timing.now()
        events, terms = [entry.event for entry in image.stored.journal], self.commits.terms(image.deposit)
        if journal_replay.approval_differs(image.id, events, refund.n, terms):
            return self._record(image, FlagProofMismatch(refund.n), owner)
        payee = self._payee(image.id, refund)
        outcome = self._record_sent(image, refund, owner)
        if _sent_by(outcome, refund.n, owner) and self.commits.timing.now() - began < MAX_SEND_AGE_MS:
            return self._call_provider(outcome.image, outcome.deposit.refunds[refund.n - 1], payee, owner)
        return outcome.image

    def _payee(self, deposit_id: str, refund: Refund) -> Payee | None:
        """Read before ``sent`` is written: an account that cannot be read is not paid, and another can be named."""
        return self.payees.read(deposit_id, refund.n, refund.destination) if refund.destination is not None else None

    def _record_sent(self, image: Image, refund: Refund, owner: str) -> Outcome:
        """``sent`` stands in the journal before the first call, and only its author makes that call."""
        return self._run(image, SendRefund(refund.n), owner)

    def _call_provider(self, image: Image, refund: Refund, payee: Payee | None, owner: str) -> Image:
        return self._record_answer(image, refund, self._answer(image, refund, payee), owner)

    def _answer(self, image: Image, refund: Refund, payee: Payee | None) -> RefundSeen | Unknown:
        if payee is not None:
            return self.provider.pay_out(refund_key(image.id, refund), refund.amount, payee)
        payment_id = child("pay", image.id, refund.payment)
        return self.provider.refund(refund_key(image.id, refund), payment_id, refund.capture, refund.amount)

    def _record_answer(self, image: Image, refund: Refund, answer: RefundSeen | Unknown, owner: str) -> Image:
        if isinstance(answer, Unknown) or (answer.status != "declined" and answer.amount != refund.amount):
            # An answer with another amount cannot be trusted: the refund is queried later.
            return self._record(image, RecordUnknownOutcome(refund.n, refund.route_no), owner)
        return self._record(image, answer, owner)

    def _query_unknown(self, image: Image, refund: Refund, owner: str) -> Image:
        if refund.status in WAITING:
            return image
        seen = self.provider.find_refund(refund_key(image.id, refund))
        if isinstance(seen, RefundSeen):
            return self._record(image, seen, owner)
        if isinstance(seen, Unknown) or refund.status is RefundStatus.SUCCEEDED:
            return image
        if self.may_have_forgotten(refund):
            return self._record(image, RecordNotFound(refund.n, refund.route_no), owner)
        # Sent again under the same key; not at all while the buyer's bank may take the money back itself.
        if image.deposit.is_disputed(refund.capture):
            return image
        return self._call_provider(image, refund, self._payee(image.id, refund), owner)

    # Writing.

    def _record(self, image: Image, command: Command, owner: str) -> Image:
        return self._run(image, command, owner).image

    def _run(self, image: Image, command: Command, owner: str) -> Outcome:
        return self.commits.execute(image.id, command, self._request(owner), image=image)

    def _request(self, owner: str) -> RequestContext:
        return RequestContext(self.clock(), Caller(owner, self.role), self.commits.timing.now())


def _sent_by(outcome: Outcome, n: int, owner: str) -> bool:
    """Whether this worker wrote the latest ``sent``, also when the answer of that write was lost."""
    sent = [entry for entry in outcome.journal if _is_sent(entry, n)]
    is_open = outcome.deposit.refunds[n - 1].status is RefundStatus.SENT
    return is_open and bool(sent) and sent[-1].by.id == owner


def _is_sent(entry: Entry[DepositEvent], n: int) -> bool:
    return isinstance(entry.event, RefundSent) and entry.event.refund == n


SeenT = TypeVar("SeenT", PaymentSeen, RefundSeen)


def _refuse_unknown(seen: SeenT | NotFound | Unknown) -> SeenT | NotFound:
    if isinstance(seen, Unknown):
        raise Refused(Reason.BUSY, retry_after=1)
    return seen

"""Do what is due at one deposit: look before it expires, write what is overdue, send and look after its refunds.

One worker at a time. "No answer" is a state, never a failure: what may have been executed is looked up, and sent again
only under the same key while the provider still remembers it.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec import Struct

from chalicelib.core import journal_replay
from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.journal import Caller, Entry, RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import find_awaited_balance, look_at, next_due, overdue
from chalicelib.core.decide import decide
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.ending import Expired
from chalicelib.core.deposit.events.refund import RefundSent
from chalicelib.core.deposit.refund import Refund, RefundStatus, refund_key
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.paying.schedule import compute_first_query_at as payment_look_at
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding import destination
from chalicelib.core.refunding.destination import Payee, SendRefund
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.core.refunding.settling import FlagProofMismatch, RecordNotFound, RecordUnknownOutcome
from chalicelib.flows.commit import Commits, Outcome
from chalicelib.flows.effects import fold_stored
from chalicelib.flows.payees import Payees
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.provider import NotFound, Provider, Unknown
from chalicelib.flows.ports.store import Clock
from chalicelib.flows.throttle import back_off

# A look, a call and its answer fit into it; whoever comes later finds the lease past and looks again.
LEASE_MS: Final = 60_000
# After this long the provider call that follows ``sent`` is left to the next worker: it may have begun its look.
FRESH_MS: Final = 30_000

# Nothing to ask the provider about: they wait for an instant or for a person.
WAITING: Final = frozenset({RefundStatus.APPROVED, RefundStatus.REQUIRES_ACTION, RefundStatus.RETURNED})
# No look at these ends in a call that moves money, so they need no lease.
NEVER_SENT_AGAIN: Final = WAITING | {RefundStatus.SUCCEEDED}

Journal = Stored[DepositEvent]


class DepositWorker(Struct, frozen=True):
    """A job's or a provider event's way to a deposit."""

    commits: Commits
    provider: Provider
    payees: Payees
    clock: Clock
    role: str = "service"

    def attend(self, deposit_id: str, owner: str) -> bool:
        """Do what is due; whether anything was. Leased and Overtaken mean that another worker is at it."""
        stored = self.commits.load(deposit_id)
        if stored.due is None or stored.due > self.clock():
            return False
        # Refunds first: a last look comes before a missed promise is handed to a person.
        stored = self._look_after_refunds(stored, owner)
        stored = self._look_after_payments(stored, owner)
        expire = self._about_to_expire(stored)
        if expire:
            looked = self._looked_before_expiry(stored, owner)
            if looked is None:
                return True
            stored = looked
        self.commits.run(deposit_id, self._asked(owner), lambda _deposit, _terms: (), expire=expire, stored=stored)
        return True

    def hear(self, subject: str, owner: str) -> bool:
        """A provider's event is a hint: ask the provider for the state and settle that. Whether we knew the subject.

        Refused(BUSY) when the provider cannot be asked now: it will tell us again.
        """
        payment, refund = parse_child("pay", subject), parse_child("ref", subject)
        named = payment or refund
        if named is None:
            return False
        try:
            stored = self.commits.load(f"dep_{named[0]}")
        except Refused as refused:
            if refused.reason is not Reason.NOT_FOUND:
                raise
            return False
        deposit = fold_stored(stored)
        if named[1] > len(deposit.payments if payment else deposit.refunds):
            return False
        seen = self.seen_payment(subject) if payment else self.seen_refund(deposit, named[1])
        if isinstance(seen, NotFound):
            return False
        self.settle(deposit.id, seen, owner, stored)
        return True

    def seen_payment(self, payment_id: str) -> PaymentSeen | NotFound:
        """What the provider says of a payment; Refused(BUSY) when it says nothing."""
        return _said(self.provider.find_payment(payment_id))

    def seen_refund(self, deposit: Deposit, n: int) -> RefundSeen | NotFound:
        """What the provider says of a refund on its present way; Refused(BUSY) when it says nothing."""
        return _said(self.provider.find_refund(refund_key(deposit.id, deposit.refunds[n - 1])))

    def settle(
        self, deposit_id: str, seen: PaymentSeen | RefundSeen, owner: str, stored: Journal | None = None
    ) -> Outcome:
        """The one way in for answers, events, jobs and reconciliation: what is new becomes events, in one append."""
        return self._run(stored if stored is not None else self.commits.load(deposit_id), seen, owner)

    def forgotten(self, refund: Refund) -> bool:
        """Whether the provider may have forgotten the key that the refund was sent under."""
        return refund.sent_at is not None and self.clock() - refund.sent_at >= self.provider.key_retention_ms - HOUR

    def look_for_balance(self, deposit_id: str, owner: str) -> None:
        """Before a default is declared: whether the balance arrived after all. Refused(BUSY) when nobody can say."""
        stored = self.commits.load(deposit_id)
        waiting = find_awaited_balance(fold_stored(stored))
        if waiting is None:
            return
        seen = self.seen_payment(child("pay", deposit_id, waiting.n))
        if isinstance(seen, PaymentSeen):
            self.settle(deposit_id, seen, owner, stored)

    def push_back(self, deposit_id: str, owner: str) -> int:
        """After a failure: come back later and later. How often it has failed by now."""
        stored = self.commits.load(deposit_id)
        failures = stored.failures + 1
        now = self.clock()
        self.commits.deposits.touch(stored, back_off(now, failures), owner=owner, until=now, now=now, failures=failures)
        return failures

    def _about_to_expire(self, stored: Journal) -> bool:
        now = self.clock()
        ripe = overdue(fold_stored(stored), now, now - self.commits.timing.grace_ms)
        return any(isinstance(event, Expired) for event in ripe)

    def _looked_before_expiry(self, stored: Journal, owner: str) -> Journal | None:
        """Ask whether the current payment arrived in time after all; without an answer (None) it does not expire."""
        now = self.clock()
        seen = self.provider.find_payment(child("pay", stored.id, fold_stored(stored).payment.n))
        if isinstance(seen, Unknown):
            self.commits.deposits.touch(
                stored, now + LEASE_MS, owner=owner, until=now, now=now, failures=stored.failures
            )
            return None
        return self._after(stored, seen, owner) if isinstance(seen, PaymentSeen) else stored

    def _look_after_payments(self, stored: Journal, owner: str) -> Journal:
        """A balance that was opened and a chargeback that is open are asked about: their events may have been lost."""
        now, deposit = self.clock(), fold_stored(stored)
        waiting = find_awaited_balance(deposit)
        due = [waiting.n] if waiting is not None and payment_look_at(waiting) <= now else []
        due += [one.payment for one in deposit.disputes if one.status == "open" and one.opened_at + DAY <= now]
        if due:
            self._take_lease(stored, deposit, owner, now)
        for n in sorted(set(due)):
            seen = self.provider.find_payment(child("pay", deposit.id, n))
            if isinstance(seen, PaymentSeen):
                stored = self._after(stored, seen, owner)
        return stored

    def _look_after_refunds(self, stored: Journal, owner: str) -> Journal:
        now, deposit = self.clock(), fold_stored(stored)
        due = [refund for refund in deposit.refunds if (at := look_at(deposit, refund)) is not None and at <= now]
        unsent = [
            one
            for one in due
            if one.status is RefundStatus.APPROVED and destination.find_send_steps(deposit, one.n, now)
        ]
        sendable = [one for one in due if one.status not in NEVER_SENT_AGAIN]
        if sendable:
            self._take_lease(stored, deposit, owner, now)
        looked = stored
        for refund in due:
            look = self._send if refund in unsent else self._look
            looked = look(looked, refund, owner)
        if len(due) > len(unsent) and not sendable and looked.journal == stored.journal:
            # Only a look that learned nothing is put off: what was learned and could not be written stays due.
            self._take_lease(stored, deposit, owner, now)
        return looked

    def _take_lease(self, stored: Journal, deposit: Deposit, owner: str, now: int) -> None:
        due = next_due(deposit, now, self.commits.timing.grace_ms)
        later = due if due is not None else now + LEASE_MS
        self.commits.deposits.touch(stored, later, owner=owner, until=now + LEASE_MS, now=now, failures=stored.failures)

    def _send(self, stored: Journal, refund: Refund, owner: str) -> Journal:
        """``sent`` stands in the journal before the first call, and whoever wrote it makes the call.

        What the rules do not give when they are asked again is not sent.
        """
        began = self.commits.timing.now()
        journal, terms = [entry.event for entry in stored.journal], self.commits.terms(fold_stored(stored))
        if journal_replay.approval_differs(stored.id, journal, refund.n, terms):
            return self._after(stored, FlagProofMismatch(refund.n), owner)
        payee = self._payee(stored.id, refund)
        outcome = self._run(stored, SendRefund(refund.n), owner)
        stored = Stored(stored.id, outcome.journal)
        if _sent_by(outcome, refund.n, owner) and self.commits.timing.now() - began < FRESH_MS:
            return self._ask(stored, outcome.deposit, outcome.deposit.refunds[refund.n - 1], payee, owner)
        return stored

    def _payee(self, deposit_id: str, refund: Refund) -> Payee | None:
        """Opened before ``sent`` is written: what cannot be opened is not sent, and another account can be named."""
        return self.payees.of(deposit_id, refund.n, refund.destination) if refund.destination is not None else None

    def _ask(self, stored: Journal, deposit: Deposit, refund: Refund, payee: Payee | None, owner: str) -> Journal:
        answer = self._called(deposit, refund, payee)
        if isinstance(answer, Unknown) or (answer.status != "declined" and answer.amount != refund.amount):
            # An amount that is not ours makes the answer unreadable: the books will tell.
            return self._after(stored, RecordUnknownOutcome(refund.n, refund.route_no), owner)
        return self._after(stored, answer, owner)

    def _called(self, deposit: Deposit, refund: Refund, payee: Payee | None) -> RefundSeen | Unknown:
        if payee is not None:
            return self.provider.pay_out(refund_key(deposit.id, refund), refund.amount, payee)
        payment_id = child("pay", deposit.id, refund.payment)
        return self.provider.refund(refund_key(deposit.id, refund), payment_id, refund.capture, refund.amount)

    def _look(self, stored: Journal, refund: Refund, owner: str) -> Journal:
        if refund.status in WAITING:
            return stored
        deposit = fold_stored(stored)
        seen = self.provider.find_refund(refund_key(deposit.id, refund))
        if isinstance(seen, RefundSeen):
            return self._after(stored, seen, owner)
        if isinstance(seen, Unknown) or refund.status is RefundStatus.SUCCEEDED:
            return stored
        if self.forgotten(refund):
            return self._after(stored, RecordNotFound(refund.n, refund.route_no), owner)
        # The same key, never a new one; and nothing new while the buyer's bank may take the money back itself.
        if deposit.is_disputed(refund.capture):
            return stored
        return self._ask(stored, deposit, refund, self._payee(deposit.id, refund), owner)

    def _after(self, stored: Journal, command: Command, owner: str) -> Journal:
        return Stored(stored.id, self._run(stored, command, owner).journal)

    def _run(self, stored: Journal, command: Command, owner: str) -> Outcome:
        asked = self._asked(owner)

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            return decide(deposit, command, asked.at, terms)

        return self.commits.run(stored.id, asked, decision, stored=stored)

    def _asked(self, owner: str) -> RequestContext:
        return RequestContext(self.clock(), Caller(owner, self.role), self.commits.timing.now())


def _sent_by(outcome: Outcome, n: int, owner: str) -> bool:
    """Also when our own answer was lost on the way: the event carries its writer."""
    sent = [entry for entry in outcome.journal if _is_sent(entry, n)]
    still = outcome.deposit.refunds[n - 1].status is RefundStatus.SENT
    return still and bool(sent) and sent[-1].by.id == owner


def _is_sent(entry: Entry[DepositEvent], n: int) -> bool:
    return isinstance(entry.event, RefundSent) and entry.event.refund == n


T = TypeVar("T", PaymentSeen, RefundSeen)


def _said(seen: T | NotFound | Unknown) -> T | NotFound:
    if isinstance(seen, Unknown):
        raise Refused(Reason.BUSY, retry_after=1)
    return seen

"""Do what is due at one deposit: look before it expires, write what is overdue, send and look after its refunds.

One worker at a time. "No answer" is a state, never a failure: what may have been executed is looked up, and sent again
only under the same key while the provider still remembers it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chalicelib.core.decide import Command, LoseAnswer, MissRefund, SendRefund, decide
from chalicelib.core.deposit import Deposit, awaited, next_due, overdue
from chalicelib.core.events import DepositEvent, Expired, RefundSent
from chalicelib.core.ids import child, parse_child
from chalicelib.core.instants import HOUR
from chalicelib.core.journal import Asked, Caller
from chalicelib.core.payment import PaymentSeen, look_at
from chalicelib.core.refund import Refund, RefundSeen, RefundStatus, due_at
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.terms import Terms
from chalicelib.flows.commit import Commits, Outcome, fold
from chalicelib.flows.ports import Clock, NotFound, Provider, Stored, Unknown

# A look, a call and its answer fit into it; whoever comes later finds the lease past and looks again.
LEASE: Final = 60_000
# After this long the provider call that follows ``sent`` is left to the next worker: it may have begun its look.
FRESH: Final = 30_000


@dataclass(frozen=True, slots=True)
class Attendant:
    """A job's or a provider event's way to a deposit."""

    commits: Commits
    provider: Provider
    clock: Clock
    role: str = "service"

    def attend(self, deposit_id: str, owner: str) -> bool:
        """Do what is due; whether anything was. Leased and Overtaken mean that another worker is at it."""
        stored = self.commits.load(deposit_id)
        if stored.due is None or stored.due > self.clock():
            return False
        # Refunds first: a last look comes before a missed promise is handed to a person.
        if self._look_after_refunds(stored, owner):
            stored = self.commits.load(deposit_id)
        if self._look_after_balance(stored, owner):
            stored = self.commits.load(deposit_id)
        expire = self._about_to_expire(stored)
        if expire and not self._looked_before_expiry(stored, owner):
            return True
        self.commits.run(deposit_id, self._asked(owner), lambda _deposit, _terms: (), expire=expire)
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
            deposit = fold(self.commits.load(f"dep_{named[0]}"))
        except Refused as refused:
            if refused.reason is not Reason.NOT_FOUND:
                raise
            return False
        if named[1] > len(deposit.payments if payment else deposit.refunds):
            return False
        seen = self.provider.find_payment(subject) if payment else self.provider.find_refund(subject)
        if isinstance(seen, Unknown):
            raise Refused(Reason.BUSY, retry_after=1)
        if isinstance(seen, NotFound):
            return False
        self.settle(deposit.id, seen, owner)
        return True

    def settle(self, deposit_id: str, seen: PaymentSeen | RefundSeen, owner: str) -> Outcome:
        """The one way in for answers, events and jobs: what is new in ``seen`` becomes events, in one append."""
        return self._run(deposit_id, seen, owner)

    def look_for_balance(self, deposit_id: str, owner: str) -> None:
        """Before a default is declared: whether the balance arrived after all. Refused(BUSY) when nobody can say."""
        deposit = fold(self.commits.load(deposit_id))
        waiting = awaited(deposit)
        if waiting is None:
            return
        seen = self.provider.find_payment(child("pay", deposit_id, waiting.n))
        if isinstance(seen, Unknown):
            raise Refused(Reason.BUSY, retry_after=1)
        if isinstance(seen, PaymentSeen):
            self.settle(deposit_id, seen, owner)

    def push_back(self, deposit_id: str, owner: str) -> int:
        """After a failure: come back later and later. How often it has failed by now."""
        stored = self.commits.load(deposit_id)
        failures = stored.failures + 1
        now = self.clock()
        self.commits.deposits.touch(
            stored, now + 1_000 * 2 ** min(failures, 12), owner=owner, until=now, now=now, failures=failures
        )
        return failures

    def _about_to_expire(self, stored: Stored[DepositEvent]) -> bool:
        now = self.clock()
        ripe = overdue(fold(stored), now, now - self.commits.timing.grace_ms)
        return any(isinstance(event, Expired) for event in ripe)

    def _looked_before_expiry(self, stored: Stored[DepositEvent], owner: str) -> bool:
        """Ask whether the current payment arrived in time after all; without an answer the deposit does not expire."""
        now = self.clock()
        seen = self.provider.find_payment(child("pay", stored.id, fold(stored).payment.n))
        if isinstance(seen, Unknown):
            self.commits.deposits.touch(stored, now + LEASE, owner=owner, until=now, now=now)
            return False
        if isinstance(seen, PaymentSeen):
            self.settle(stored.id, seen, owner)
        return True

    def _look_after_balance(self, stored: Stored[DepositEvent], owner: str) -> bool:
        """A balance payment that was opened is looked for: its event may have been lost on the way."""
        now, deposit = self.clock(), fold(stored)
        waiting = awaited(deposit)
        if waiting is None or look_at(waiting) > now:
            return False
        self._take_lease(stored, deposit, owner, now)
        seen = self.provider.find_payment(child("pay", deposit.id, waiting.n))
        if isinstance(seen, PaymentSeen):
            self.settle(deposit.id, seen, owner)
        return True

    def _look_after_refunds(self, stored: Stored[DepositEvent], owner: str) -> bool:
        """Whether anything was due, so that the journal may have grown."""
        now = self.clock()
        deposit = fold(stored)
        due = [refund for refund in deposit.refunds if (at := due_at(refund)) is not None and at <= now]
        waiting = [refund for refund in due if refund.status is not RefundStatus.APPROVED]
        if waiting:
            self._take_lease(stored, deposit, owner, now)
        for refund in due:
            if refund.status is RefundStatus.APPROVED:
                self._send(deposit, refund, owner)
            else:
                self._look(deposit, refund, owner)
        return bool(due)

    def _take_lease(self, stored: Stored[DepositEvent], deposit: Deposit, owner: str, now: int) -> None:
        due = next_due(deposit, now, self.commits.timing.grace_ms)
        later = due if due is not None else now + LEASE
        self.commits.deposits.touch(stored, later, owner=owner, until=now + LEASE, now=now)

    def _send(self, deposit: Deposit, refund: Refund, owner: str) -> None:
        """``sent`` stands in the journal before the first call, and whoever wrote it makes the call."""
        began = self.commits.timing.now()
        outcome = self._run(deposit.id, SendRefund(refund.n), owner)
        if self._sent_by(outcome, refund.n, owner) and self.commits.timing.now() - began < FRESH:
            self._ask(outcome.deposit, refund, owner)

    def _sent_by(self, outcome: Outcome, n: int, owner: str) -> bool:
        """Also when our own answer was lost on the way: the event carries its writer."""
        return any(
            isinstance(entry.event, RefundSent) and entry.event.refund == n and entry.by.id == owner
            for entry in outcome.journal
        )

    def _ask(self, deposit: Deposit, refund: Refund, owner: str) -> None:
        answer = self.provider.refund(
            child("ref", deposit.id, refund.n), child("pay", deposit.id, refund.payment), refund.capture, refund.amount
        )
        if isinstance(answer, Unknown) or (answer.status != "declined" and answer.amount != refund.amount):
            # An amount that is not ours makes the answer unreadable: the books will tell.
            self._run(deposit.id, LoseAnswer(refund.n), owner)
        else:
            self.settle(deposit.id, answer, owner)

    def _look(self, deposit: Deposit, refund: Refund, owner: str) -> None:
        if refund.status in {RefundStatus.REQUIRES_ACTION, RefundStatus.RETURNED}:
            return
        seen = self.provider.find_refund(child("ref", deposit.id, refund.n))
        if isinstance(seen, RefundSeen):
            self.settle(deposit.id, seen, owner)
        elif isinstance(seen, NotFound) and refund.status is not RefundStatus.SUCCEEDED:
            self._send_again_or_ask_a_person(deposit, refund, owner)

    def _send_again_or_ask_a_person(self, deposit: Deposit, refund: Refund, owner: str) -> None:
        """The same key as long as the provider surely remembers it; never a new one."""
        assert refund.sent_at is not None, "only what was sent is looked for"
        if self.clock() - refund.sent_at < self.provider.key_retention_ms - HOUR:
            self._ask(deposit, refund, owner)
        else:
            self._run(deposit.id, MissRefund(refund.n), owner)

    def _run(self, deposit_id: str, command: Command, owner: str) -> Outcome:
        asked = self._asked(owner)

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            return decide(deposit, command, asked.at, terms)

        return self.commits.run(deposit_id, asked, decision)

    def _asked(self, owner: str) -> Asked:
        return Asked(self.clock(), Caller(owner, self.role), self.commits.timing.now())

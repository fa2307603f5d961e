"""A model of refunds, accounts and chargebacks from events, the provider's books and the requests' bodies.

Days, hours and cool-downs come from sales.py, written by hand.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chalicelib.core.common.ids import child
from chalicelib.core.common.money import Money
from chalicelib.core.decide import decide
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.payment import ChargebackLost, ChargebackOpened, ChargebackWon
from chalicelib.core.deposit.events.refund import (
    RefundApproved,
    RefundCovered,
    RefundDeclined,
    RefundDestinationNamed,
    RefundReviewNeeded,
    RefundSent,
)
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.refund import Refund, RefundStatus, parse_refund_key, refund_key
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen, derive_steps
from tests.simulator.cancellation_invariants import ON_TOP
from tests.simulator.deposit_invariants import SKEW
from tests.simulator.provider import Call, SimulatedProvider
from tests.simulator.sales import COOL_DOWN, REFUND_ROUTES

# A job that read before a chargeback was known may ask as long as it lives.
MAX_JOB = 300_000
SentBodies = dict[str, Any]
NO_TERMS: Any = None  # what is known already asks for none


@dataclass
class RefundInvariants:
    """``see`` takes each event with the deposit before it, ``asked`` every request for money that reaches the provider."""

    violated: Callable[[str, str], None]
    now: Callable[[], int]
    states: dict[str, Deposit]
    provider: SimulatedProvider | None = None
    claimed: Callable[[str], int] = lambda _pk: 0  # what open claims are about
    undisputed: set[str] = field(default_factory=set)  # payments of which a bank's word was lost
    bodies: dict[tuple[str, int], list[SentBodies]] = field(default_factory=dict)
    wishes: dict[str, Call] = field(default_factory=dict)
    disputed: dict[str, int] = field(default_factory=dict)  # captures, and since when we know
    payable: dict[str, tuple[str, list[Payee], int]] = field(default_factory=dict)
    granted: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    covered: dict[tuple[str, int], int] = field(default_factory=dict)  # refunds that no provider paid
    excess: Counter[str] = field(default_factory=Counter)
    lost: dict[tuple[str, int], int] = field(default_factory=dict)  # of a dispute, what is not explained yet
    first_sent: dict[str, tuple[Deposit, int]] = field(default_factory=dict)

    def observe(self, pk: str, before: Deposit, event: DepositEvent, asked: int) -> None:
        match event:
            case RefundSent():
                self._sent(pk, before, event)
            case RefundApproved():
                self._approved(pk, before, event, asked)
            case RefundDestinationNamed():
                self._named(pk, before, event, asked)
            case RefundReviewNeeded() if event.why == "proof_differs":
                self.violated("P1", f"{pk} doubts a refund of its own: {event}")
            case ChargebackOpened() | ChargebackWon() | ChargebackLost() | RefundCovered():
                self._charged_back(pk, before, event)
            case _:
                pass

    # What was decided.

    def _approved(self, pk: str, before: Deposit, event: RefundApproved, asked: int) -> None:
        if event.cause == ON_TOP:
            return
        against = sum(refund.amount.minor for refund in before.refunds if refund.capture == event.capture)
        captured = self._captured(event.capture)
        if against + event.amount.minor > captured.minor:
            self.violated("P3", f"{pk} owes {against} and {event.amount} against {event.capture}, {captured} came")
        if event.cause != "goodwill":
            return
        if event.capture in self.disputed:
            self.violated("P3", f"{pk} gives {event.amount} of {event.capture}, which is in dispute")
        free, spent = self.granted.get((pk, asked), (self._refundable(before), 0))
        spent += event.amount.minor
        self.granted[pk, asked] = free, spent
        bodies = [one for one in self.bodies.get(("/v1/refunds", asked), []) if one["deposit"] == pk]
        wanted = [body for body in bodies if _minor(body["expected_refundable"]) == free]
        if not any(spent <= _minor(body["amount"]) for body in wanted):
            self.violated("P3", f"{pk} gave {spent} of {free} for {bodies}")

    def _refundable(self, deposit: Deposit) -> int:
        """Held, and neither in dispute nor spoken for by a claim; what was kept at the end speaks for claims first."""
        kept = deposit.money.forfeited.minor + deposit.money.fees.minor
        free = deposit.money.held.minor - max(self.claimed(deposit.id) - kept, 0)
        for capture in deposit.captures:
            if capture.counts and capture.capture in self.disputed:
                gone = sum(refund.amount.minor for refund in deposit.refunds if refund.capture == capture.capture)
                free -= capture.amount.minor - gone
        return max(free, 0)

    def _named(self, pk: str, before: Deposit, event: RefundDestinationNamed, asked: int) -> None:
        """The first account at once, another one after the cool-down, the same one again not sooner than before."""
        refund_id = child("ref", pk, event.refund)
        bodies = self.bodies.get((f"/v1/refunds/{refund_id}/destination", asked), [])
        payees = [Payee(one["holder"], one["bank"], one["account"]) for one in bodies if one["consent"]]
        if not payees:
            self.violated("P9", f"{event} of {refund_id}, which nobody named with consent")
        digest, known, usable = self.payable.get(refund_id, ("", [], 0))
        changed = digest not in {"", event.digest}
        if len(payees) == 1 and len(known) == 1 and (payees != known) != changed:
            self.violated("P2", f"{event} of {refund_id}: another account looks the same, or the same another")
        due = asked + COOL_DOWN if changed else max(asked, usable)
        if event.payable_from != due:
            self.violated("P2", f"{event} of {refund_id} may be paid from {event.payable_from}, not {due}")
        if before.refunds[event.refund - 1].route_no >= event.destination:
            self.violated("P2", f"{event} of {refund_id} is no new way")
        self.payable[refund_id] = event.digest, payees, due

    def _charged_back(
        self, pk: str, before: Deposit, event: ChargebackOpened | ChargebackWon | ChargebackLost | RefundCovered
    ) -> None:
        """Only what a bank did, and every unit of it is explained."""
        if isinstance(event, RefundCovered):
            self._covered(pk, before, event)
            return
        if isinstance(event, ChargebackOpened):
            self.disputed[event.capture] = self.now()
            ref, capture = event.ref, event.capture
        else:
            dispute = before.disputes[event.dispute - 1]
            ref, capture = dispute.ref, dispute.capture
            self.disputed.pop(capture, None)
        if isinstance(event, ChargebackLost):
            over = event.excess.minor if event.excess is not None else 0
            self.lost[pk, event.dispute] = before.disputes[event.dispute - 1].amount.minor - over
            self.excess[capture] += over
        theirs = next((one for one in self._disputes() if one.ref == ref), None)
        ended = {ChargebackWon: "won", ChargebackLost: "lost"}.get(type(event))
        if theirs is None or (ended is not None and theirs.status != ended):
            self.violated("P3", f"{pk} {event}, the bank says {theirs}")

    def _covered(self, pk: str, before: Deposit, event: RefundCovered) -> None:
        """By what the bank gave: first by what explains its decision, later out of what was in excess then."""
        refund = before.refunds[event.refund - 1]
        amount = refund.amount.minor
        self.covered[pk, event.refund] = amount
        explained = min(amount, self.lost[pk, event.dispute])
        self.lost[pk, event.dispute] -= explained
        self.excess[refund.capture] -= amount - explained
        if self.excess[refund.capture] < 0:
            self.violated("P3", f"{pk} {event}: the bank gave {-self.excess[refund.capture]} less")

    # What is sent.

    def _sent(self, pk: str, before: Deposit, event: RefundSent) -> None:
        refund = before.refunds[event.refund - 1]
        refund_id = child("ref", pk, refund.n)
        if refund.capture in self.disputed:
            self.violated("P3", f"{refund_id} is sent although {refund.capture} is in dispute")
        if (pk, refund.n) in self.covered:
            self.violated("P3", f"{refund_id} is sent although a bank paid it")
        if refund.destination is not None:
            if event.at < self.payable[refund_id][2]:
                self.violated("P2", f"{refund_id} is sent before {self.payable[refund_id][2]}")
            return
        if refund.cause == ON_TOP:
            self.violated("P2", f"{refund_id} is sent to no account")
            return
        back, captured = REFUND_ROUTES[refund.method], before.find_capture(refund.capture)
        open_still = back.days is None or event.at < captured.at + back.days * 24 * 3_600_000
        whole = back.partial or refund.amount == captured.amount
        if not (back.to_source and open_still and whole) or back.quiet_at(event.at):
            self.violated(
                "P7", f"{refund_id} is sent at {event.at} back to {refund.method}, which does not take it then"
            )

    def check_call(self, call: Call) -> None:
        """A key names one wish for ever; accounts are paid as named, and not too soon; nothing moves in a dispute."""
        wish = self.wishes.setdefault(call.key, call)
        if wish != call:
            self.violated(
                "P2", f"{call.key} meant {wish.amount} to {wish.capture}, now {call.amount} to {call.capture}"
            )
        parsed = parse_refund_key(call.key)
        assert parsed is not None, call.key
        pk = f"dep_{parsed[0]}"
        refund, refund_id = self.states[pk].refunds[parsed[1] - 1], call.key.partition(".")[0]
        since = self.disputed.get(refund.capture)
        if since is not None and self.now() - since > MAX_JOB:
            self.violated("P3", f"{call.key} is asked for, {refund.capture} is in dispute since {since}")
        if (pk, refund.n) in self.covered:
            self.violated("P3", f"{call.key} is asked for although a bank paid it")
        if call.payee is not None:
            _, payees, due = self.payable.get(refund_id, ("", [], 0))
            if call.payee not in payees:
                self.violated("P2", f"{call.key} goes to another account than the one that was named")
            if self.now() < due - SKEW:
                self.violated("P2", f"{call.key} is paid {due - self.now()} ms too soon")

    # In the end.

    def check_finished(self) -> None:
        for (pk, dispute), left in self.lost.items():
            if left:
                self.violated("P3", f"{pk}: {left} of dispute {dispute} is explained by nothing")
        self._books()
        for pk, state in self.states.items():
            self._old_news(pk, state)
        self._in_any_order()

    def _books(self) -> None:
        """What went back of each capture by refunds, payouts and banks: never more than came, but for a named excess."""
        assert self.provider is not None, "set before the history begins"
        gone: Counter[str] = Counter()
        for row in self.provider.refunds:
            if row.status in {"pending", "succeeded"}:
                gone[self._capture_of(row.key)] += row.amount.minor
        for payment_id, payment in self.provider.payments.items():
            known = {one.ref: one.status for one in self._known_disputes(payment_id)}
            for dispute in payment.disputes:
                if known.get(dispute.ref) == dispute.status:
                    gone[dispute.capture] += dispute.amount.minor if dispute.status == "lost" else 0
                elif dispute.ref in known or payment_id not in self.undisputed:
                    self.violated("P7", f"the bank says {dispute}, here it is {known.get(dispute.ref)}")
            for capture in payment.captures:
                if gone[capture.ref] > capture.amount.minor + self.excess[capture.ref]:
                    told = f"{gone[capture.ref]} of {capture.amount}, named as excess {self.excess[capture.ref]}"
                    self.violated("P3", f"{capture.ref} gave back {told}")

    def _known_disputes(self, payment_id: str) -> Iterator[Any]:
        body = payment_id.split("_")[1]
        state = self.states.get(f"dep_{body}")
        yield from state.disputes if state is not None else ()

    def _old_news(self, pk: str, state: Deposit) -> None:
        """P11: all that was ever heard, once more and in any order, changes nothing."""
        assert self.provider is not None, "set before the history begins"
        random = Random(pk)
        captures = {capture.capture for capture in state.captures}
        disputes = {dispute.ref for dispute in state.disputes}
        for payment in state.payments:
            for seen in _some(random, self.provider.payment_answers.get(child("pay", pk, payment.n), [])):
                known = {capture.ref for capture in seen.captures} <= captures and {
                    dispute.ref for dispute in seen.disputes
                } <= disputes
                if seen.captures and known and decide(state, seen, self.now(), NO_TERMS):
                    self.violated("P11", f"{pk} changes by old news: {seen}")
        for refund in state.refunds:
            for way in range(refund.route_no + 1):
                sent = refund_key(pk, refund) if way == refund.route_no else _way(pk, refund.n, way)
                for seen in _some(random, self.provider.refund_answers.get(sent, [])):
                    steps = tuple(derive_steps(refund, seen))
                    if steps and not _declined_again(refund, steps):
                        self.violated("P11", f"{pk} changes by old news: {seen}")

    def record_state(self, pk: str, state: Deposit, event: DepositEvent) -> None:
        """Where a refund stands when it is first sent on a way: its news may come in any order from there."""
        if isinstance(event, RefundSent):
            self.first_sent[refund_key(pk, state.refunds[event.refund - 1])] = state, event.refund

    def _in_any_order(self) -> None:
        """From ``sent`` on, any order and number of news gives the same."""
        assert self.provider is not None, "set before the history begins"
        for sent, (state, n) in self.first_sent.items():
            heard = list(dict.fromkeys(self.provider.refund_answers.get(sent, [])))
            if len(heard) > 1:
                random = Random(sent)
                orders = [heard, random.sample(heard, len(heard)) + random.sample(heard, len(heard))]
                ends = {_end(state, n, order) for order in orders}
                if len(ends) > 1:
                    self.violated("P11", f"{sent} ends as {ends} by the order of {heard}")

    def _capture_of(self, sent: str) -> str:
        parsed = parse_refund_key(sent)
        assert parsed is not None, sent
        return self.states[f"dep_{parsed[0]}"].refunds[parsed[1] - 1].capture

    def _captured(self, ref: str) -> Money:
        """The provider's word on what it took."""
        assert self.provider is not None, "set before the history begins"
        captures = (capture for paid in self.provider.payments.values() for capture in paid.captures)
        return next(capture.amount for capture in captures if capture.ref == ref)

    def _disputes(self) -> Iterator[Any]:
        assert self.provider is not None, "set before the history begins"
        for paid in self.provider.payments.values():
            yield from paid.disputes


def _declined_again(refund: Refund, steps: tuple[Any, ...]) -> bool:
    """Known, and told to those who own core/refund.py: a person's refund asks for an account again at old news of a no."""
    return refund.status is RefundStatus.MANUAL_REVIEW and isinstance(steps[0], RefundDeclined)


def _end(state: Deposit, n: int, order: list[RefundSeen]) -> tuple[str, str | None, int]:
    """Where a refund stands after these news."""
    for seen in order:
        for event in derive_steps(state.refunds[n - 1], seen):
            state = evolve(state, event)
    refund = state.refunds[n - 1]
    return refund.status.value, refund.provider_ref, len(refund.movements)


def _some(random: Random, heard: list[Any]) -> list[Any]:
    """Each news once, in an order of its own."""
    distinct = list(dict.fromkeys(heard))
    return random.sample(distinct, len(distinct))


def _way(pk: str, n: int, way: int) -> str:
    refund_id = child("ref", pk, n)
    return f"{refund_id}.{way}" if way else refund_id


def _minor(amount: dict[str, str]) -> int:
    return Money.parse(amount["amount"], amount["currency"]).minor

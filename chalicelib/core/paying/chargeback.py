"""Chargebacks: the buyer's bank may take money back that is also being refunded. It must move only once.

While the bank decides, the money held of that capture cannot be given away, and approved refunds against it are not sent.
When it decides for the buyer, its money first covers refunds that were owed and not sent; the rest is taken from what is
held.
"""

from collections.abc import Iterator

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.dispute import Dispute
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.payment import ChargebackLost, ChargebackOpened, ChargebackWon
from chalicelib.core.deposit.events.refund import RefundCovered, RefundLine, RefundReviewNeeded
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.refund import TRANSITIONS, RefundStatus
from chalicelib.core.ending import end
from chalicelib.core.ending.entitlement import Leg
from chalicelib.core.paying.provider_answers import DisputeSeen
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding.covering import find_covered_refunds, list_refunds_against
from chalicelib.core.refunding.destination import build_retry


def record_dispute(deposit: Deposit, payment: int, seen: DisputeSeen, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The events for what is new in the provider's record of a chargeback; none for duplicates."""
    if not any(captured.capture == seen.capture for captured in deposit.captures):
        return  # the capture is not recorded yet; the provider is asked again later
    known = next((dispute for dispute in deposit.disputes if dispute.ref == seen.ref), None)
    if known is None:
        amount = _compute_disputed_amount(deposit, seen)
        opened = ChargebackOpened(at, len(deposit.disputes) + 1, seen.ref, payment, seen.capture, amount)
        yield opened
        deposit = evolve(deposit, opened)
        known = deposit.disputes[-1]
    if known.status != "open" or seen.status == "open":
        return
    if seen.status == "won":
        yield from _record_won(deposit, known, at, terms)
    else:
        yield from _record_lost(deposit, known, at, terms)


def _record_won(deposit: Deposit, dispute: Dispute, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The merchant keeps the money. Refunds whose promised date passed while they waited for the bank are sent again."""
    yield ChargebackWon(at, dispute.n)
    for refund in list_refunds_against(deposit, dispute):
        missed_promise = refund.status is RefundStatus.MANUAL_REVIEW and refund.review == "promise_missed"
        if missed_promise and refund.sent_at is None and refund.destination_kind != "payout":
            yield build_retry(refund, at, terms)


def _record_lost(deposit: Deposit, dispute: Dispute, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The bank paid the buyer: it covers refunds that were not sent, the rest is taken from what is held."""
    covered, uncovered = find_covered_refunds(deposit, dispute)
    held = min(uncovered, _compute_held_amount(deposit, dispute))
    excess = uncovered - held
    yield ChargebackLost(at, dispute.n, excess or None)
    for refund in covered:
        yield RefundCovered(at, refund.n, dispute.n)
    if held:
        n = len(deposit.refunds) + 1
        leg = Leg(dispute.payment, dispute.capture, (RefundLine(LineCode.PAID, held),))
        approved = next(end.approve_refund(deposit, n, Cause.CHARGEBACK, leg, at, terms.refund.deadline))
        yield approved
        yield RefundCovered(at, n, dispute.n)
    for refund in list_refunds_against(deposit, dispute):
        may_pay_twice = excess and refund.open and refund not in covered
        if may_pay_twice and (refund.status, RefundReviewNeeded) in TRANSITIONS:
            yield RefundReviewNeeded(at, refund.n, "double_exposure")


def _compute_disputed_amount(deposit: Deposit, seen: DisputeSeen) -> Money:
    """The disputed amount; the whole capture where the bank names another currency."""
    captured = deposit.find_capture(seen.capture).amount
    return seen.amount if seen.amount.currency == captured.currency else captured


def _compute_held_amount(deposit: Deposit, dispute: Dispute) -> Money:
    """What is still held of the capture; 0 for a capture in another currency, which is always returned."""
    captured = deposit.find_capture(dispute.capture)
    if captured.amount.currency != deposit.currency:
        return Money.zero(captured.amount.currency)
    return min(deposit.compute_unrefunded(captured), deposit.money.held)

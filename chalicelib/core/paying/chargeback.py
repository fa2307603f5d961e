"""Chargebacks against refunds: the buyer's bank takes money back while we may be giving it back, and it moves once.

While the bank decides, what is held of that capture cannot be given away, and what is approved is not sent. When it
decides for the buyer, its money covers what was owed and not sent; what is left comes out of what is held.
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
    """What is new in what the provider says of a chargeback; duplicates and old news give nothing."""
    if not any(one.capture == seen.capture for one in deposit.captures):
        return  # its capture is not known yet; the provider is asked again
    known = next((one for one in deposit.disputes if one.ref == seen.ref), None)
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
    """Nothing moved. What waited for the bank until its promise passed goes its way again."""
    yield ChargebackWon(at, dispute.n)
    for refund in list_refunds_against(deposit, dispute):
        waited = refund.status is RefundStatus.MANUAL_REVIEW and refund.review == "promise_missed"
        if waited and refund.sent_at is None and refund.destination_kind != "payout":
            yield build_retry(refund, at, terms)


def _record_lost(deposit: Deposit, dispute: Dispute, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The bank gave the buyer the money: first for what was owed and not sent, then out of what is held."""
    covered, left = find_covered_refunds(deposit, dispute)
    held = min(left, _compute_held_amount(deposit, dispute))
    excess = left - held
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
        twice = excess and refund.open and refund not in covered
        if twice and (refund.status, RefundReviewNeeded) in TRANSITIONS:
            yield RefundReviewNeeded(at, refund.n, "double_exposure")


def _compute_disputed_amount(deposit: Deposit, seen: DisputeSeen) -> Money:
    """A bank that disputes in its own currency disputes the whole capture."""
    captured = deposit.find_capture(seen.capture).amount
    return seen.amount if seen.amount.currency == captured.currency else captured


def _compute_held_amount(deposit: Deposit, dispute: Dispute) -> Money:
    """What of the capture is still held; captures in another currency never are."""
    captured = deposit.find_capture(dispute.capture)
    if captured.amount.currency != deposit.currency:
        return Money.zero(captured.amount.currency)
    return min(deposit.compute_unrefunded(captured), deposit.money.held)

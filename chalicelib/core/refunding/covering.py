"""Refunds that the money of a lost chargeback covers: the bank has paid the buyer already."""

from collections.abc import Iterator

from chalicelib.core.common.money import Money, total
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.dispute import Dispute
from chalicelib.core.deposit.events.refund import RefundCovered
from chalicelib.core.deposit.refund import TRANSITIONS, Refund


def cover_refunds(deposit: Deposit, at: int) -> Iterator[RefundCovered]:
    """Covers refunds that were returned or declined after the bank had paid the buyer, so that they are not sent again."""
    for dispute in deposit.disputes:
        if dispute.status == "lost":
            yield from (RefundCovered(at, refund.n, dispute.n) for refund in find_covered_refunds(deposit, dispute)[0])


def list_refunds_against(deposit: Deposit, dispute: Dispute) -> tuple[Refund, ...]:
    """The refunds against the disputed capture."""
    return tuple(refund for refund in deposit.refunds if refund.capture == dispute.capture)


def find_covered_refunds(deposit: Deposit, dispute: Dispute) -> tuple[list[Refund], Money]:
    """The refunds that the bank's money covers in full, and what is left of it. A refund that may still execute is not covered."""
    covered: list[Refund] = []
    used = (refund.amount for refund in deposit.refunds if refund.covered_by == dispute.n)
    left = dispute.amount - total(used, dispute.amount.currency)
    for refund in list_refunds_against(deposit, dispute):
        if refund.cannot_execute_any_more and (refund.status, RefundCovered) in TRANSITIONS and refund.amount <= left:
            covered.append(refund)
            left -= refund.amount
    return covered, left

"""Matching the lines of both sides, and naming what does not match."""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.common.instants import DAY
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.refund import UNANSWERED, Refund, RefundStatus
from chalicelib.core.reconciliation.lines import BreakKind, Line

Pair = tuple[Line | None, Line | None]


def pair_lines(ours: Iterator[Line], theirs: Iterator[Line]) -> Iterator[Pair]:
    """Both sides side by side, ascending; what stands on one side only has None beside it."""
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None and other is not None:
        left, right = (mine[0], mine[1]), (other[0], other[1])
        if left == right:
            yield mine, other
            mine, other = next(ours, None), next(theirs, None)
        elif left < right:
            yield mine, None
            mine = next(ours, None)
        else:
            yield None, other
            other = next(theirs, None)
    while mine is not None:
        yield mine, None
        mine = next(ours, None)
    while other is not None:
        yield None, other
        other = next(theirs, None)


def is_in_transit(line: Line, at: int, settle_days: int | None) -> bool:
    """Whether our line is too young to be missed."""
    days = settle_days if settle_days is not None else line.days
    return line.at + days * DAY > at


def classify_unmatched(deposit: Deposit | None, line: Line) -> BreakKind:
    """What a report's line means that our journal does not have, after it was asked for in vain."""
    if deposit is None:
        return "unknown_here"
    if line.kind == "c":
        return "late_payment" if line.n <= len(deposit.payments) else "unknown_here"
    if line.n > len(deposit.refunds):
        return "unknown_here"
    refund = deposit.refunds[line.n - 1]
    if line.kind == "x":
        return "returned_after_success"
    return "duplicate" if any(move.kind == "refund" for move in refund.movements) else "status_mismatch"


# A refund that nobody has heard of for so long, though somebody should have looked.
STALE_AFTER_MS: Final = 2 * DAY


def classify_overdue(refund: Refund, at: int) -> BreakKind | None:
    """Whether a refund that is still open broke its promise, or stands still."""
    if not refund.open:
        return None
    if refund.promised_by <= at:
        return "promise_missed"
    stands = refund.status in {*UNANSWERED, RefundStatus.MANUAL_REVIEW}
    return "stale" if stands and refund.changed_at + STALE_AFTER_MS <= at else None

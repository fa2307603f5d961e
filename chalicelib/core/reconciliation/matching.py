"""Pairs the lines of both sides, and classifies those without a partner."""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.common.instants import DAY
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.refund import UNANSWERED, Refund, RefundStatus
from chalicelib.core.reconciliation.lines import BreakKind, Line

Pair = tuple[Line | None, Line | None]


def pair_lines(ours: Iterator[Line], theirs: Iterator[Line]) -> Iterator[Pair]:
    """Pairs of equal lines from two ascending sides; a line that only one side has is paired with None."""
    our_line, their_line = next(ours, None), next(theirs, None)
    while our_line is not None and their_line is not None:
        left, right = (our_line[0], our_line[1]), (their_line[0], their_line[1])
        if left == right:
            yield our_line, their_line
            our_line, their_line = next(ours, None), next(theirs, None)
        elif left < right:
            yield our_line, None
            our_line = next(ours, None)
        else:
            yield None, their_line
            their_line = next(theirs, None)
    while our_line is not None:
        yield our_line, None
        our_line = next(ours, None)
    while their_line is not None:
        yield None, their_line
        their_line = next(theirs, None)


def is_in_transit(line: Line, at: int, settle_days: int | None) -> bool:
    """Whether our line is too recent to be in a report. ``settle_days`` overrides the days of the line."""
    days = settle_days if settle_days is not None else line.days
    return line.at + days * DAY > at


def classify_unmatched(deposit: Deposit | None, line: Line) -> BreakKind:
    """The kind of break of a report's line that our journal lacks, also after a query at the provider."""
    if deposit is None:
        return "unknown_here"
    if line.kind == "c":
        return "late_payment" if line.n <= len(deposit.payments) else "unknown_here"
    if line.n > len(deposit.refunds):
        return "unknown_here"
    refund = deposit.refunds[line.n - 1]
    if line.kind == "x":
        return "returned_after_success"
    return "duplicate" if any(movement.kind == "refund" for movement in refund.movements) else "status_mismatch"


# An open refund without a change of status for this long is stale.
STALE_AFTER_MS: Final = 2 * DAY


def classify_overdue(refund: Refund, at: int) -> BreakKind | None:
    """``promise_missed`` or ``stale`` for an open refund, else None."""
    if not refund.open:
        return None
    if refund.promised_by <= at:
        return "promise_missed"
    waiting = refund.status in {*UNANSWERED, RefundStatus.MANUAL_REVIEW}
    return "stale" if waiting and refund.changed_at + STALE_AFTER_MS <= at else None

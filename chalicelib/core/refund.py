"""One refund of a deposit: its life, who it waits for, and when it must be looked at again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from chalicelib.core.events import (
    RefundApproved,
    RefundDeclined,
    RefundLine,
    RefundPending,
    RefundReturned,
    RefundReviewNeeded,
    RefundSent,
    RefundSettled,
    RefundStep,
    RefundSucceeded,
    RefundUnknown,
)
from chalicelib.core.instants import HOUR, MINUTE
from chalicelib.core.money import Money


class RefundStatus(StrEnum):
    """Where a refund stands. There is no ``failed``: money that is owed waits for somebody by name."""

    APPROVED = "approved"
    SENT = "sent"
    UNKNOWN = "unknown"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    SETTLED = "settled"
    REQUIRES_ACTION = "requires_action"
    RETURNED = "returned"
    MANUAL_REVIEW = "manual_review"


_S = RefundStatus

TRANSITIONS: Final[Mapping[tuple[RefundStatus, type[RefundStep]], RefundStatus]] = MappingProxyType(
    {
        (_S.APPROVED, RefundSent): _S.SENT,
        (_S.APPROVED, RefundSettled): _S.SETTLED,
        (_S.APPROVED, RefundDeclined): _S.REQUIRES_ACTION,
        (_S.SENT, RefundUnknown): _S.UNKNOWN,
        (_S.SENT, RefundPending): _S.PENDING,
        (_S.SENT, RefundSucceeded): _S.SUCCEEDED,
        (_S.SENT, RefundDeclined): _S.REQUIRES_ACTION,
        (_S.SENT, RefundReviewNeeded): _S.MANUAL_REVIEW,
        (_S.UNKNOWN, RefundPending): _S.PENDING,
        (_S.UNKNOWN, RefundSucceeded): _S.SUCCEEDED,
        (_S.UNKNOWN, RefundDeclined): _S.REQUIRES_ACTION,
        (_S.UNKNOWN, RefundReviewNeeded): _S.MANUAL_REVIEW,
        (_S.PENDING, RefundSucceeded): _S.SUCCEEDED,
        (_S.PENDING, RefundDeclined): _S.REQUIRES_ACTION,
        (_S.PENDING, RefundReviewNeeded): _S.MANUAL_REVIEW,
        (_S.REQUIRES_ACTION, RefundSucceeded): _S.SUCCEEDED,
        (_S.REQUIRES_ACTION, RefundReviewNeeded): _S.MANUAL_REVIEW,
        (_S.SUCCEEDED, RefundSettled): _S.SETTLED,
        (_S.SUCCEEDED, RefundReturned): _S.RETURNED,
        (_S.SETTLED, RefundReturned): _S.RETURNED,
        (_S.RETURNED, RefundReviewNeeded): _S.MANUAL_REVIEW,
        (_S.MANUAL_REVIEW, RefundSucceeded): _S.SUCCEEDED,
    }
)

# Causes of money that never counted: it goes back by itself and says nothing about the deposit.
SENT_BACK: Final = frozenset({"amount_mismatch", "overpayment", "duplicate_payment", "late_payment"})
# Not yet with the buyer: reserved, and listed as open.
OPEN: Final = frozenset(set(RefundStatus) - {_S.SUCCEEDED, _S.SETTLED})
WaitingOn = Literal["provider", "bank", "buyer", "platform", "nobody"]
WAITING_ON: Final[Mapping[RefundStatus, WaitingOn]] = MappingProxyType(
    {
        _S.APPROVED: "provider",
        _S.SENT: "provider",
        _S.UNKNOWN: "provider",
        _S.PENDING: "bank",
        _S.SUCCEEDED: "bank",
        _S.SETTLED: "nobody",
        _S.REQUIRES_ACTION: "buyer",
        _S.RETURNED: "buyer",
        _S.MANUAL_REVIEW: "platform",
    }
)

# How long after no answer we look: most late executions show within a minute; after a day reconciliation takes over.
LOOKS: Final = (MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 24 * HOUR)
# Settlement reports come the day after; a refund that succeeded is looked for there once a day.
SETTLEMENT: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Attempt:
    """One provider call under one key. Never deleted; ``status`` is the last thing seen of it."""

    n: int
    status: str
    at: int
    provider_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund decision and what became of it. ``changed_at`` is the instant of its last step."""

    n: int
    cause: str
    amount: Money
    lines: tuple[RefundLine, ...]
    promised_by: int
    payment: int
    capture: str
    created_at: int
    changed_at: int
    status: RefundStatus = RefundStatus.APPROVED
    attempts: tuple[Attempt, ...] = ()
    sent_at: int | None = None
    provider_ref: str | None = None
    review: str | None = None

    @property
    def open(self) -> bool:
        return self.status in OPEN


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """What the provider says of one refund: its answer, its event or a look at its books."""

    refund: int
    status: Literal["pending", "succeeded", "declined", "returned"]
    amount: Money
    provider_ref: str
    at: int
    settled: bool = False
    code: str = ""


def approve(event: RefundApproved) -> Refund:
    return Refund(
        n=event.refund,
        cause=event.cause,
        amount=event.amount,
        lines=event.lines,
        promised_by=event.promised_by,
        payment=event.payment,
        capture=event.capture,
        created_at=event.at,
        changed_at=event.at,
        review=event.review,
    )


def step(refund: Refund, event: RefundStep) -> Refund:
    """The refund after the event; KeyError when the table has no such step."""
    status = TRANSITIONS[refund.status, type(event)]
    after = replace(refund, status=status, changed_at=event.at)
    match event:
        case RefundSent():
            first = Attempt(n=len(refund.attempts) + 1, status="sent", at=event.at)
            return replace(after, sent_at=event.at, attempts=(*refund.attempts, first))
        case RefundPending() | RefundSucceeded():
            return _attempted(replace(after, provider_ref=event.provider_ref))
        case RefundDeclined():
            return _attempted(replace(after, provider_ref=event.provider_ref or refund.provider_ref))
        case RefundReviewNeeded():
            return replace(after, review=event.why)
        case _:
            return _attempted(after)


def _attempted(refund: Refund) -> Refund:
    """The last attempt shows the last thing seen."""
    if not refund.attempts:
        return refund
    *former, last = refund.attempts
    seen = replace(last, status=refund.status.value, provider_ref=refund.provider_ref)
    if refund.status is RefundStatus.REQUIRES_ACTION:
        seen = replace(seen, status="declined")
    return replace(refund, attempts=(*former, seen))


def steps_seen(refund: Refund, seen: RefundSeen) -> Iterator[RefundStep]:
    """What is new in what was seen: nothing, one step or two. Duplicates and stale news in any order give nothing."""
    if refund.sent_at is None or _came_back(refund, seen):
        return  # nobody has asked for it yet, or it is known to have come back
    if seen.amount != refund.amount and seen.status != "declined":
        chain: tuple[RefundStep, ...] = (RefundReviewNeeded(seen.at, refund.n, "amount_differs"),)
    else:
        chain = _chain(refund.n, seen)
    for event in chain:
        if (refund.status, type(event)) in TRANSITIONS:
            yield event
            refund = step(refund, event)


def _came_back(refund: Refund, seen: RefundSeen) -> bool:
    """Whether this execution is already known to have come back: old news of its success changes nothing."""
    last = refund.attempts[-1] if refund.attempts else None
    return last is not None and last.status == "returned" and last.provider_ref == seen.provider_ref


def _chain(n: int, seen: RefundSeen) -> tuple[RefundStep, ...]:
    """The whole way to what was seen; the steps already behind us fall out at the table."""
    succeeded = RefundSucceeded(seen.at, n, seen.provider_ref)
    match seen.status:
        case "pending":
            return (RefundPending(seen.at, n, seen.provider_ref),)
        case "declined":
            return (RefundDeclined(seen.at, n, seen.code, seen.provider_ref or None),)
        case "returned":
            return (succeeded, RefundReturned(seen.at, n))
        case "succeeded":
            return (succeeded, RefundSettled(seen.at, n)) if seen.settled else (succeeded,)


def review_at(refund: Refund) -> int | None:
    """When a person takes over by itself: at the promised instant, whatever is still being waited for."""
    if (refund.status, RefundReviewNeeded) in TRANSITIONS:
        return max(refund.promised_by, refund.changed_at)
    return None


def due_at(refund: Refund) -> int | None:
    """The earliest instant at which something must be done for this refund, as far as its facts tell."""
    match refund.status:
        case RefundStatus.APPROVED:
            return refund.created_at
        case RefundStatus.SENT | RefundStatus.UNKNOWN | RefundStatus.PENDING:
            return min(refund.changed_at + LOOKS[0], max(refund.promised_by, refund.changed_at))
        case RefundStatus.REQUIRES_ACTION | RefundStatus.RETURNED:
            return review_at(refund)
        case RefundStatus.SUCCEEDED:
            return refund.changed_at + SETTLEMENT
        case RefundStatus.SETTLED | RefundStatus.MANUAL_REVIEW:
            return None


def next_look(refund: Refund, now: int) -> int:
    """After a look that learned nothing: the next distance of ``LOOKS``, then the promised instant or a day later."""
    if refund.status is RefundStatus.SUCCEEDED:
        return now + SETTLEMENT
    for distance in LOOKS:
        if refund.changed_at + distance > now:
            return refund.changed_at + distance
    return max(refund.promised_by, now + MINUTE)

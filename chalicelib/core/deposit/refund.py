"""One refund of a deposit: its life, who it waits for, and when it must be looked at again."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.event_row import ANY_STATUS, EventRow, Rows
from chalicelib.core.deposit.events.refund import (
    RefundApproved,
    RefundCovered,
    RefundDeclined,
    RefundDestinationNamed,
    RefundLine,
    RefundPending,
    RefundRerouted,
    RefundRetried,
    RefundReturned,
    RefundReviewNeeded,
    RefundSent,
    RefundSettled,
    RefundStep,
    RefundSucceeded,
    RefundUnknown,
)
from chalicelib.core.deposit.ledger import Account, Posting, RefundAmounts, move, no_postings
from chalicelib.core.deposit.rows import with_row
from chalicelib.core.policy import payment_routes

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


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
        (_S.APPROVED, RefundDestinationNamed): _S.APPROVED,
        (_S.APPROVED, RefundRerouted): _S.REQUIRES_ACTION,
        (_S.APPROVED, RefundCovered): _S.SETTLED,
        (_S.APPROVED, RefundReviewNeeded): _S.MANUAL_REVIEW,
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
        (_S.REQUIRES_ACTION, RefundDestinationNamed): _S.APPROVED,
        (_S.REQUIRES_ACTION, RefundRerouted): _S.REQUIRES_ACTION,
        (_S.REQUIRES_ACTION, RefundCovered): _S.SETTLED,
        (_S.SUCCEEDED, RefundSettled): _S.SETTLED,
        (_S.SUCCEEDED, RefundReturned): _S.RETURNED,
        (_S.SETTLED, RefundReturned): _S.RETURNED,
        (_S.RETURNED, RefundReviewNeeded): _S.MANUAL_REVIEW,
        (_S.RETURNED, RefundDestinationNamed): _S.APPROVED,
        (_S.RETURNED, RefundRerouted): _S.REQUIRES_ACTION,
        (_S.RETURNED, RefundCovered): _S.SETTLED,
        (_S.MANUAL_REVIEW, RefundSucceeded): _S.SUCCEEDED,
        (_S.MANUAL_REVIEW, RefundDeclined): _S.REQUIRES_ACTION,
        (_S.MANUAL_REVIEW, RefundDestinationNamed): _S.APPROVED,
        (_S.MANUAL_REVIEW, RefundRerouted): _S.REQUIRES_ACTION,
        (_S.MANUAL_REVIEW, RefundRetried): _S.APPROVED,
        (_S.MANUAL_REVIEW, RefundCovered): _S.SETTLED,
    }
)

NO_CAPTURE: Final = ""  # of a compensation: no capture is given back, so the buyer names an account
# Not yet with the buyer: reserved, and listed as open.
OPEN: Final = frozenset(set(RefundStatus) - {_S.SUCCEEDED, _S.SETTLED})
# The provider was asked, and its answer is not known to the end.
ASKED_FOR: Final = frozenset({_S.SENT, _S.UNKNOWN, _S.PENDING})
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
QUERY_DELAYS_MS: Final = (MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 24 * HOUR)
# Reconciliation sees a refund settle first; who it did not see is asked about here, then once a day.
SETTLEMENT_WAIT_MS: Final = 3 * DAY


class Attempt(Struct, frozen=True):
    """One provider call under one key. Never deleted; ``status`` is the last thing seen of it."""

    n: int
    status: str
    at: int
    provider_ref: str | None = None


class RefundMovement(Struct, frozen=True):
    """Money of a refund that moved at the provider: to the buyer, or back from there. ``at`` is the provider's instant."""

    kind: Literal["refund", "return"]
    ref: str
    at: int
    paid_out: bool


class Refund(Struct, frozen=True):
    """A refund decision and what became of it. ``changed_at`` is the instant of its last step.

    ``way`` counts the ways it was sent: 0 to its source, one more for each account named and each retry of a person.
    ``destination`` is the account that the buyer named last, by its number; None is the source. ``declined`` says why the
    present way is closed, ``rerouted`` that the platform closed it, ``covered_by`` which chargeback gave the money.
    """

    n: int
    cause: Cause
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
    declined: str | None = None
    method: str = "card"
    way: int = 0
    destination: int | None = None
    digest: str = ""
    payable_from: int = 0
    rerouted: bool = False
    covered_by: int | None = None
    moves: tuple[RefundMovement, ...] = ()

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def closed(self) -> bool:
        """Whether nothing that was sent can still be executed; who reroutes has made sure of it."""
        return (
            self.rerouted
            or self.sent_at is None
            or (bool(self.attempts) and self.attempts[-1].status in {"declined", "returned"})
        )

    @property
    def goes_to(self) -> Literal["original_method", "bank_account", "payout"]:
        """Its source, the account that was named, or one that is still to be named."""
        if self.rerouted or self.declined is not None:
            return "payout"
        return "bank_account" if self.destination is not None else "original_method"

    @property
    def waiting_on(self) -> WaitingOn:
        """Whose turn it is. A route that tells its result at once has the provider to wait for, not the bank."""
        if self.status is RefundStatus.PENDING and self.destination is None:
            return "bank" if payment_routes.route(self.method, self.created_at).asynchronous else "provider"
        return WAITING_ON[self.status]


class RefundSeen(Command, frozen=True):
    """What the provider says of one refund on one way: its answer, its event or a look at its books.

    ``at`` is the instant of that status; ``executed_at``, where it came back, of the execution before.
    """

    refund: int
    status: Literal["pending", "succeeded", "declined", "returned"]
    amount: Money
    provider_ref: str
    at: int
    settled: bool = False
    code: str = ""
    way: int = 0
    executed_at: int | None = None


def key(deposit_id: str, refund: Refund) -> str:
    """What the provider knows it by: the refund's id, and behind a point the way, when it is not the first."""
    return way_key(child("ref", deposit_id, refund.n), refund.way)


def way_key(refund_id: str, way: int) -> str:
    return f"{refund_id}.{way}" if way else refund_id


def parse_key(text: str) -> tuple[str, int, int] | None:
    """The deposit's 26 characters, the refund's number and the way, or None when it is no such key."""
    refund_id, point, way = text.partition(".")
    parsed = parse_child("ref", refund_id)
    if parsed is None or (point and not (way.isascii() and way.isdecimal() and not way.startswith("0"))):
        return None
    return *parsed, int(way) if point else 0


def approve(event: RefundApproved, method: str) -> Refund:
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
        method=method,
    )


def step(refund: Refund, event: RefundStep) -> Refund:
    """The refund after the event; KeyError when the table has no such step."""
    status = TRANSITIONS[refund.status, type(event)]
    after = replace(refund, status=status, changed_at=event.at)
    match event:
        case RefundSent():
            first = Attempt(n=len(refund.attempts) + 1, status="sent", at=event.at)
            return replace(after, sent_at=event.at, attempts=(*refund.attempts, first))
        case RefundPending():
            return _attempted(replace(after, provider_ref=event.provider_ref))
        case RefundSucceeded():
            there = replace(after, provider_ref=event.provider_ref, declined=None, rerouted=False)
            return _attempted(_moved(there, "refund", event.at))
        case RefundReturned():
            return _attempted(_moved(replace(after, declined="returned"), "return", event.at))
        case RefundDeclined():
            ref = event.provider_ref or refund.provider_ref
            return _attempted(replace(after, provider_ref=ref, declined=event.code))
        case RefundReviewNeeded():
            return replace(after, review=event.why)
        case RefundDestinationNamed():
            named = replace(after, destination=event.destination, digest=event.digest, rerouted=False)
            promised = replace(named, payable_from=event.payable_from, promised_by=event.promised_by)
            return _start_new_route(promised)
        case RefundRerouted():
            return replace(after, rerouted=True, review=None, promised_by=event.promised_by)
        case RefundRetried():
            return _start_new_route(replace(after, promised_by=event.promised_by))
        case RefundCovered():
            return replace(after, review=None, declined=None, rerouted=False, covered_by=event.dispute)
        case _:
            return _attempted(after)


def _moved(refund: Refund, kind: Literal["refund", "return"], at: int) -> Refund:
    move = RefundMovement(kind, refund.provider_ref or "", at, refund.destination is not None)
    return replace(refund, moves=(*refund.moves, move))


def _start_new_route(refund: Refund) -> Refund:
    return replace(refund, way=refund.way + 1, sent_at=None, provider_ref=None, review=None, declined=None)


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
    if refund.sent_at is None or seen.way != refund.way or _came_back(refund, seen) or refund.covered_by is not None:
        return  # nobody has asked for it on this way yet, or its end is known
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
    executed_at = seen.executed_at if seen.executed_at is not None else seen.at
    succeeded = RefundSucceeded(executed_at, n, seen.provider_ref)
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
            return _sendable_from(refund, max(refund.changed_at, refund.payable_from))
        case RefundStatus.SENT | RefundStatus.UNKNOWN | RefundStatus.PENDING:
            return min(refund.changed_at + QUERY_DELAYS_MS[0], max(refund.promised_by, refund.changed_at))
        case RefundStatus.REQUIRES_ACTION | RefundStatus.RETURNED:
            return review_at(refund)
        case RefundStatus.SUCCEEDED:
            return refund.changed_at + SETTLEMENT_WAIT_MS
        case RefundStatus.SETTLED | RefundStatus.MANUAL_REVIEW:
            return None


def _sendable_from(refund: Refund, at: int) -> int:
    """Not in the hours in which the route refuses; accounts are paid at any hour."""
    return (
        at if refund.destination is not None else payment_routes.opens_at(payment_routes.route(refund.method, at), at)
    )


def next_look(refund: Refund, now: int) -> int:
    """After a look that learned nothing: the next distance of ``LOOKS``, then the promised instant or a day later."""
    if refund.status is RefundStatus.SUCCEEDED:
        return now + DAY
    if refund.status is RefundStatus.APPROVED:
        return _sendable_from(refund, now + MINUTE)
    for distance in QUERY_DELAYS_MS:
        if refund.changed_at + distance > now:
            return refund.changed_at + distance
    return max(refund.promised_by, now + MINUTE)


def approve_refund(deposit: "Deposit", event: RefundApproved) -> "Deposit":
    method = deposit.payments[event.payment - 1].method
    return replace(deposit, refunds=(*deposit.refunds, approve(event, method)))


def step_refund(deposit: "Deposit", event: RefundStep) -> "Deposit":
    return replace(deposit, refunds=with_row(deposit.refunds, step(deposit.refunds[event.refund - 1], event)))


def reserved(event: RefundApproved, _refunds: RefundAmounts) -> Iterator[Posting]:
    if event.cause.own_money:
        return move(Account.HELD, Account.REFUNDING, event.amount)
    return move(Account.MERCHANT, Account.COMPENSATION, event.amount)


def given_back(event: RefundSucceeded | RefundCovered, refunds: RefundAmounts) -> Iterator[Posting]:
    return move(Account.REFUNDING, Account.REFUNDED, refunds.get(event.refund))


def came_back(event: RefundReturned, refunds: RefundAmounts) -> Iterator[Posting]:
    return move(Account.REFUNDED, Account.REFUNDING, refunds.get(event.refund))


EVENTS: Final[Rows] = (
    EventRow(RefundApproved, ANY_STATUS, approve_refund, reserved),
    EventRow(RefundSent, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundUnknown, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundPending, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundSucceeded, ANY_STATUS, step_refund, given_back),
    EventRow(RefundSettled, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundDeclined, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundReturned, ANY_STATUS, step_refund, came_back),
    EventRow(RefundReviewNeeded, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundDestinationNamed, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundRerouted, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundRetried, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundCovered, ANY_STATUS, step_refund, given_back),
)

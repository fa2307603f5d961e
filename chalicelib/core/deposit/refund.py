"""Refunds of a deposit: the record, its transition table, its key at the provider, and how events change it."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause
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
    """The status of a refund. No ``failed``: an undeliverable refund is ``requires_action`` or ``manual_review``."""

    APPROVED = "approved"
    SENT = "sent"
    PENDING = "pending"
    UNKNOWN = "unknown"
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

NO_CAPTURE: Final = ""  # ``capture`` of a compensation: there is nothing to refund to, so the buyer names an account
# The buyer does not have the money yet: it is reserved, and the refund is listed as open.
OPEN: Final = frozenset(set(RefundStatus) - {_S.SUCCEEDED, _S.SETTLED})
# The provider was asked to execute the refund and has not answered with a final result.
UNANSWERED: Final = frozenset({_S.SENT, _S.UNKNOWN, _S.PENDING})
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


class Attempt(Struct, frozen=True):
    """One sending to the provider, under one key. ``status`` is the last status seen of it."""

    n: int
    status: str
    at: int
    provider_ref: str | None = None


class RefundMovement(Struct, frozen=True):
    """A movement at the provider: to the buyer (``refund``) or back (``return``). ``at`` is the provider's instant.

    ``paid_out``: to or from an account that the buyer named, not the source of the payment.
    """

    kind: Literal["refund", "return"]
    ref: str
    at: int
    paid_out: bool


class Refund(Struct, frozen=True):
    """An approved refund and its progress. ``changed_at`` is the instant of its last step.

    ``route_no``: 0 for the source of the payment, one more for each account named and each retry. ``destination``: number of
    the account that the buyer named last, None for the source; ``digest`` is over that account, and nothing is paid to it
    before ``payable_from``. ``review``: why a person must look, else None. ``declined``: why the present route is closed,
    else None. ``rerouted``: the platform closed it. ``covered_by``: number of the chargeback that paid the buyer.
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
    route_no: int = 0
    destination: int | None = None
    digest: str = ""
    payable_from: int = 0
    rerouted: bool = False
    covered_by: int | None = None
    movements: tuple[RefundMovement, ...] = ()

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def cannot_execute_any_more(self) -> bool:
        """Whether no sending can still be executed: never sent, declined, returned, or rerouted, which requires this."""
        return (
            self.rerouted
            or self.sent_at is None
            or (bool(self.attempts) and self.attempts[-1].status in {"declined", "returned"})
        )

    @property
    def destination_kind(self) -> Literal["original_method", "bank_account", "payout"]:
        """The source of the payment, the account that was named, or ``payout``: an account still to be named."""
        if self.rerouted or self.declined is not None:
            return "payout"
        return "bank_account" if self.destination is not None else "original_method"

    @property
    def waiting_on(self) -> WaitingOn:
        """Who must act next. On a synchronous route a pending refund waits for the provider, not for the bank."""
        if self.status is RefundStatus.PENDING and self.destination is None:
            return "bank" if payment_routes.find_route(self.method, self.created_at).asynchronous else "provider"
        return WAITING_ON[self.status]


def refund_key(deposit_id: str, refund: Refund) -> str:
    """The idempotency key at the provider: the refund's id, with ``.<route_no>`` after the first route."""
    return route_key(child("ref", deposit_id, refund.n), refund.route_no)


def route_key(refund_id: str, route_no: int) -> str:
    return f"{refund_id}.{route_no}" if route_no else refund_id


def parse_refund_key(text: str) -> tuple[str, int, int] | None:
    """The 26 characters of the deposit's id, the refund's number and the route number; None when the text is no key."""
    refund_id, point, route_no = text.partition(".")
    parsed = parse_child("ref", refund_id)
    if parsed is None or (point and not (route_no.isascii() and route_no.isdecimal() and not route_no.startswith("0"))):
        return None
    return *parsed, int(route_no) if point else 0


def begin_refund(event: RefundApproved, method: str) -> Refund:
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


def evolve_refund(refund: Refund, event: RefundStep) -> Refund:
    """The refund after the event; KeyError when the table has no such step."""
    status = TRANSITIONS[refund.status, type(event)]
    after = replace(refund, status=status, changed_at=event.at)
    match event:
        case RefundSent():
            attempt = Attempt(n=len(refund.attempts) + 1, status="sent", at=event.at)
            return replace(after, sent_at=event.at, attempts=(*refund.attempts, attempt))
        case RefundPending():
            return _update_last_attempt(replace(after, provider_ref=event.provider_ref))
        case RefundSucceeded():
            executed = replace(after, provider_ref=event.provider_ref, declined=None, rerouted=False)
            return _update_last_attempt(_add_movement(executed, "refund", event.at))
        case RefundReturned():
            return _update_last_attempt(_add_movement(replace(after, declined="returned"), "return", event.at))
        case RefundDeclined():
            ref = event.provider_ref or refund.provider_ref
            return _update_last_attempt(replace(after, provider_ref=ref, declined=event.code))
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
            return _update_last_attempt(after)


def _add_movement(refund: Refund, kind: Literal["refund", "return"], at: int) -> Refund:
    move = RefundMovement(kind, refund.provider_ref or "", at, refund.destination is not None)
    return replace(refund, movements=(*refund.movements, move))


def _start_new_route(refund: Refund) -> Refund:
    return replace(refund, route_no=refund.route_no + 1, sent_at=None, provider_ref=None, review=None, declined=None)


def _update_last_attempt(refund: Refund) -> Refund:
    """The refund with its status copied to its last attempt."""
    if not refund.attempts:
        return refund
    *earlier, last = refund.attempts
    seen = replace(last, status=refund.status.value, provider_ref=refund.provider_ref)
    if refund.status is RefundStatus.REQUIRES_ACTION:
        seen = replace(seen, status="declined")
    return replace(refund, attempts=(*earlier, seen))


def approve_refund(deposit: "Deposit", event: RefundApproved) -> "Deposit":
    method = deposit.payments[event.payment - 1].method
    return replace(deposit, refunds=(*deposit.refunds, begin_refund(event, method)))


def step_refund(deposit: "Deposit", event: RefundStep) -> "Deposit":
    return replace(deposit, refunds=with_row(deposit.refunds, evolve_refund(deposit.refunds[event.refund - 1], event)))


def post_reservation(event: RefundApproved, _refunds: RefundAmounts) -> Iterator[Posting]:
    if event.cause.own_money:
        return move(Account.HELD, Account.REFUNDING, event.amount)
    return move(Account.MERCHANT, Account.COMPENSATION, event.amount)


def post_refund(event: RefundSucceeded | RefundCovered, refunds: RefundAmounts) -> Iterator[Posting]:
    return move(Account.REFUNDING, Account.REFUNDED, refunds.get(event.refund))


def post_return(event: RefundReturned, refunds: RefundAmounts) -> Iterator[Posting]:
    return move(Account.REFUNDED, Account.REFUNDING, refunds.get(event.refund))


EVENTS: Final[Rows] = (
    EventRow(RefundApproved, ANY_STATUS, approve_refund, post_reservation),
    EventRow(RefundSent, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundUnknown, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundPending, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundSucceeded, ANY_STATUS, step_refund, post_refund),
    EventRow(RefundSettled, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundDeclined, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundReturned, ANY_STATUS, step_refund, post_return),
    EventRow(RefundReviewNeeded, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundDestinationNamed, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundRerouted, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundRetried, ANY_STATUS, step_refund, no_postings),
    EventRow(RefundCovered, ANY_STATUS, step_refund, post_refund),
)

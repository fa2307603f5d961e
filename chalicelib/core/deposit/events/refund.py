"""Events of refunds: the decision, and each step on the way to the buyer."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.events.base import DepositEvent


class RefundLine(Struct, frozen=True):
    """One line of a refund's explanation. A negative amount cites the rule that allows it."""

    code: LineCode
    amount: Money
    rule: str | None = None
    evidence: tuple[str, ...] = ()


class RefundApproved(DepositEvent, frozen=True):
    """Money is owed back; the amount is reserved by this write. ``capture`` is the provider's capture it returns.

    ``note`` is the digest of what a person wrote to it, encrypted elsewhere.
    """

    TYPE: ClassVar[str] = "refund.approved"
    refund: int
    cause: Cause
    amount: Money
    lines: tuple[RefundLine, ...]
    promised_by: Instant
    payment: int
    capture: str
    review: str | None = None
    note: str | None = None


class RefundDestinationNamed(DepositEvent, frozen=True):
    """The buyer named an account, encrypted elsewhere; ``digest`` is keyed, so that it tells nothing but a change.

    Nothing is paid before ``payable_from``, and the promise counts from there: until now it waited for the buyer.
    """

    TYPE: ClassVar[str] = "refund.destination_named"
    refund: int
    destination: int
    digest: str
    payable_from: Instant
    promised_by: Instant


class RefundRerouted(DepositEvent, frozen=True):
    """The platform took it off its way: it goes to an account that the buyer will name, and is promised anew.

    ``note`` is a digest.
    """

    TYPE: ClassVar[str] = "refund.rerouted"
    refund: int
    promised_by: Instant
    note: str | None = None


class RefundRetried(DepositEvent, frozen=True):
    """It was never executed, as a person or a bank says: it is sent anew, under a new key, and promised anew."""

    TYPE: ClassVar[str] = "refund.retried"
    refund: int
    promised_by: Instant


class RefundCovered(DepositEvent, frozen=True):
    """The buyer has this money by a chargeback: it is settled without being sent."""

    TYPE: ClassVar[str] = "refund.covered"
    refund: int
    dispute: int


class RefundSent(DepositEvent, frozen=True):
    """About to be asked of the provider for the first time: from here on it may have been executed."""

    TYPE: ClassVar[str] = "refund.sent"
    refund: int


class RefundUnknown(DepositEvent, frozen=True):
    """No answer, or one that cannot be read. The money may have moved: look, never send a new one."""

    TYPE: ClassVar[str] = "refund.unknown"
    refund: int


class RefundPending(DepositEvent, frozen=True):
    """The provider accepted it and has not finished."""

    TYPE: ClassVar[str] = "refund.pending"
    refund: int
    provider_ref: str


class RefundSucceeded(DepositEvent, frozen=True):
    """The provider executed it."""

    TYPE: ClassVar[str] = "refund.succeeded"
    refund: int
    provider_ref: str


class RefundSettled(DepositEvent, frozen=True):
    """Seen in the provider's settlement: final. A refund of nothing is settled when decided."""

    TYPE: ClassVar[str] = "refund.settled"
    refund: int


class RefundDeclined(DepositEvent, frozen=True):
    """The way back is closed; the buyer must name another destination."""

    TYPE: ClassVar[str] = "refund.declined"
    refund: int
    code: str
    provider_ref: str | None = None


class RefundReturned(DepositEvent, frozen=True):
    """It came back after success."""

    TYPE: ClassVar[str] = "refund.returned"
    refund: int


class RefundReviewNeeded(DepositEvent, frozen=True):
    """A person has to look.

    ``why``: ``promise_missed``, ``not_found``, ``amount_differs``, ``proof_differs``, ``double_exposure``,
    ``below_route_min``, ``above_route_max``.
    """

    TYPE: ClassVar[str] = "refund.review_needed"
    refund: int
    why: str


RefundStep = (
    RefundSent
    | RefundUnknown
    | RefundPending
    | RefundSucceeded
    | RefundSettled
    | RefundDeclined
    | RefundReturned
    | RefundReviewNeeded
    | RefundDestinationNamed
    | RefundRerouted
    | RefundRetried
    | RefundCovered
)

"""Events of refunds: the approval, and each step until the buyer has the money."""

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
    """A refund is decided and its amount reserved. ``capture`` is the capture that it returns, empty for a compensation.

    ``payment`` is the number of its payment. ``review``: why a person must look first, else None. ``note`` is a digest.
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
    """The buyer named an account, which is stored encrypted elsewhere. ``digest`` is a keyed digest that shows changes only.

    ``destination`` numbers the accounts. Nothing is paid before ``payable_from``, and ``promised_by`` counts from there.
    """

    TYPE: ClassVar[str] = "refund.destination_named"
    refund: int
    destination: int
    digest: str
    payable_from: Instant
    promised_by: Instant


class RefundRerouted(DepositEvent, frozen=True):
    """The platform closed the present route. The buyer must name an account. ``promised_by`` is new; ``note`` is a digest."""

    TYPE: ClassVar[str] = "refund.rerouted"
    refund: int
    promised_by: Instant
    note: str | None = None


class RefundRetried(DepositEvent, frozen=True):
    """Never executed, as a person confirms or a chargeback held it back: it is sent under a new key, with a new promise."""

    TYPE: ClassVar[str] = "refund.retried"
    refund: int
    promised_by: Instant


class RefundCovered(DepositEvent, frozen=True):
    """A chargeback paid the buyer, so the refund is settled without being sent."""

    TYPE: ClassVar[str] = "refund.covered"
    refund: int
    dispute: int


class RefundSent(DepositEvent, frozen=True):
    """Written before the provider is first asked. From here on the refund may have been executed."""

    TYPE: ClassVar[str] = "refund.sent"
    refund: int


class RefundUnknown(DepositEvent, frozen=True):
    """No answer, or an unreadable one. The money may have moved, so the provider is queried and nothing new is sent."""

    TYPE: ClassVar[str] = "refund.unknown"
    refund: int


class RefundPending(DepositEvent, frozen=True):
    """The provider accepted the refund and has not executed it yet."""

    TYPE: ClassVar[str] = "refund.pending"
    refund: int
    provider_ref: str


class RefundSucceeded(DepositEvent, frozen=True):
    """The provider executed the refund."""

    TYPE: ClassVar[str] = "refund.succeeded"
    refund: int
    provider_ref: str


class RefundSettled(DepositEvent, frozen=True):
    """The refund stands in the provider's settlement report. A refund of a zero amount is settled when approved."""

    TYPE: ClassVar[str] = "refund.settled"
    refund: int


class RefundDeclined(DepositEvent, frozen=True):
    """The present route cannot refund, for ``code``. The buyer must name an account."""

    TYPE: ClassVar[str] = "refund.declined"
    refund: int
    code: str
    provider_ref: str | None = None


class RefundReturned(DepositEvent, frozen=True):
    """The money came back after the refund was executed."""

    TYPE: ClassVar[str] = "refund.returned"
    refund: int


class RefundReviewNeeded(DepositEvent, frozen=True):
    """The refund needs a decision by a person.

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

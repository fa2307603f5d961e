"""Events of refunds: the approval, and each step until the buyer has the money."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause, LineCode


class RefundLine(Struct, frozen=True):
    """One line of a refund's explanation. A negative amount cites the rule that allows it."""

    code: LineCode
    amount: Money
    rule: str | None = None
    evidence: tuple[str, ...] = ()


class RefundApproved(Struct, frozen=True):
    """A refund is decided and its amount reserved. ``capture`` is the capture that it returns, empty for a compensation.

    ``payment`` is the number of its payment. ``review``: why a person must look first, else None. ``note`` is a digest.
    """

    TYPE: ClassVar[str] = "refund.approved"
    at: int
    refund: int
    cause: Cause
    amount: Money
    lines: tuple[RefundLine, ...]
    promised_by: int
    payment: int
    capture: str
    review: str | None = None
    note: str | None = None


class RefundDestinationNamed(Struct, frozen=True):
    """The buyer named an account, which is stored encrypted elsewhere. ``digest`` is a keyed digest that shows changes only.

    ``destination`` numbers the accounts. Nothing is paid before ``payable_from``, and ``promised_by`` counts from there.
    """

    TYPE: ClassVar[str] = "refund.destination_named"
    at: int
    refund: int
    destination: int
    digest: str
    payable_from: int
    promised_by: int


class RefundRerouted(Struct, frozen=True):
    """The platform closed the present route. The buyer must name an account. ``promised_by`` is new; ``note`` is a digest."""

    TYPE: ClassVar[str] = "refund.rerouted"
    at: int
    refund: int
    promised_by: int
    note: str | None = None


class RefundRetried(Struct, frozen=True):
    """Never executed, as a person confirms or a chargeback held it back: it is sent under a new key, with a new promise."""

    TYPE: ClassVar[str] = "refund.retried"
    at: int
    refund: int
    promised_by: int


class RefundCovered(Struct, frozen=True):
    """A chargeback paid the buyer, so the refund is settled without being sent."""

    TYPE: ClassVar[str] = "refund.covered"
    at: int
    refund: int
    dispute: int


class RefundSent(Struct, frozen=True):
    """Written before the provider is first asked. From here on the refund may have been executed."""

    TYPE: ClassVar[str] = "refund.sent"
    at: int
    refund: int


class RefundUnknown(Struct, frozen=True):
    """No answer, or an unreadable one. The money may have moved, so the provider is queried and nothing new is sent."""

    TYPE: ClassVar[str] = "refund.unknown"
    at: int
    refund: int


class RefundPending(Struct, frozen=True):
    """The provider accepted the refund and has not executed it yet."""

    TYPE: ClassVar[str] = "refund.pending"
    at: int
    refund: int
    provider_ref: str


class RefundSucceeded(Struct, frozen=True):
    """The provider executed the refund."""

    TYPE: ClassVar[str] = "refund.succeeded"
    at: int
    refund: int
    provider_ref: str


class RefundSettled(Struct, frozen=True):
    """The refund stands in the provider's settlement report. A refund of a zero amount is settled when approved."""

    TYPE: ClassVar[str] = "refund.settled"
    at: int
    refund: int


class RefundDeclined(Struct, frozen=True):
    """The present route cannot refund, for ``code``. The buyer must name an account."""

    TYPE: ClassVar[str] = "refund.declined"
    at: int
    refund: int
    code: str
    provider_ref: str | None = None


class RefundReturned(Struct, frozen=True):
    """The money came back after the refund was executed."""

    TYPE: ClassVar[str] = "refund.returned"
    at: int
    refund: int


class RefundReviewNeeded(Struct, frozen=True):
    """The refund needs a decision by a person.

    ``why``: ``promise_missed``, ``not_found``, ``amount_differs``, ``proof_differs``, ``double_exposure``,
    ``below_route_min``, ``above_route_max``.
    """

    TYPE: ClassVar[str] = "refund.review_needed"
    at: int
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

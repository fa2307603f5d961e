"""Events that end a deposit, and what comes with an end: withdrawals, questions, priority passes."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause


class Completed(Struct, frozen=True):
    """Fully paid, and every unit is shipped."""

    TYPE: ClassVar[str] = "deposit.completed"
    at: Instant


class WithdrawalStated(Struct, frozen=True):
    """Step one of a statutory withdrawal. Name and address stand encrypted elsewhere; ``digest`` is over the receipt."""

    TYPE: ClassVar[str] = "withdrawal.stated"
    at: Instant
    withdrawal: int
    digest: str


class WithdrawalConfirmed(Struct, frozen=True):
    """Step two: the withdrawal takes effect. ``digest`` is over the receipt with this instant."""

    TYPE: ClassVar[str] = "withdrawal.confirmed"
    at: Instant
    withdrawal: int
    digest: str


class Cancelled(Struct, frozen=True):
    """It ended before its time. What is kept under the terms is in ``forfeited``, by ``rule``; ``fees`` by their bands.

    A merchant's cancellation has a published ``reason`` and its ``evidence``; ``note`` is the digest of what was written to
    it, encrypted elsewhere. ``counted``: its units go on counting against the buyer's limit.
    """

    TYPE: ClassVar[str] = "deposit.cancelled"
    at: Instant
    cause: Cause
    rule: str
    forfeited: Money
    fees: Money | None = None
    reason: str | None = None
    evidence: tuple[str, ...] = ()
    note: str | None = None
    approver: str | None = None
    counted: bool = False


class Expired(Struct, frozen=True):
    """Nothing was paid in time. Irreversible: written only after a grace, and units go back with it."""

    TYPE: ClassVar[str] = "deposit.expired"
    at: Instant


class QuestionAsked(Struct, frozen=True):
    """The merchant asks before an address or contact reason may be cited. ``digest`` is over the text, encrypted elsewhere."""

    TYPE: ClassVar[str] = "question.asked"
    at: Instant
    question: int
    kind: str
    due_at: Instant
    digest: str


class QuestionAnswered(Struct, frozen=True):
    """The buyer answered; late is better than never, as long as nothing was decided on the silence."""

    TYPE: ClassVar[str] = "question.answered"
    at: Instant
    question: int
    digest: str


class QuestionLapsed(Struct, frozen=True):
    """No answer came in time. An announcement: the clock alone decides it."""

    TYPE: ClassVar[str] = "question.lapsed"
    at: Instant
    question: int


class PassGranted(Struct, frozen=True):
    """A second chance for the buyer of this deposit: one unit of one of ``skus``, before and beside everybody else."""

    TYPE: ClassVar[str] = "priority_pass.granted"
    at: Instant
    priority_pass: int
    skus: tuple[str, ...]
    price_cap: Money
    valid_until: Instant
    remind_at: tuple[Instant, ...]
    reason: str


class PassUsed(Struct, frozen=True):
    """Written together with the deposit that was ordered with it."""

    TYPE: ClassVar[str] = "priority_pass.used"
    at: Instant
    priority_pass: int
    deposit: str


class PassReturned(Struct, frozen=True):
    """That deposit ended unpaid: the pass is granted again until its date."""

    TYPE: ClassVar[str] = "priority_pass.returned"
    at: Instant
    priority_pass: int
    deposit: str


class PassReminded(Struct, frozen=True):
    """A notice that it will lapse. An announcement."""

    TYPE: ClassVar[str] = "priority_pass.reminder"
    at: Instant
    priority_pass: int
    valid_until: Instant


class PassLapsed(Struct, frozen=True):
    """Its time is over. An announcement: the clock alone decides it."""

    TYPE: ClassVar[str] = "priority_pass.lapsed"
    at: Instant
    priority_pass: int


QuestionEvent = QuestionAsked | QuestionAnswered | QuestionLapsed
PassStep = PassUsed | PassReturned | PassReminded | PassLapsed

"""Events that end a deposit, and what comes with an end: withdrawals, questions, priority passes."""

from typing import ClassVar

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.base import DepositEvent


class Completed(DepositEvent, frozen=True):
    """Fully paid, and every unit is shipped."""

    TYPE: ClassVar[str] = "deposit.completed"


class WithdrawalStated(DepositEvent, frozen=True):
    """Step one of a statutory withdrawal. Name and address stand encrypted elsewhere; ``digest`` is over the receipt."""

    TYPE: ClassVar[str] = "withdrawal.stated"
    withdrawal: int
    digest: str


class WithdrawalConfirmed(DepositEvent, frozen=True):
    """Step two: the withdrawal takes effect. ``digest`` is over the receipt with this instant."""

    TYPE: ClassVar[str] = "withdrawal.confirmed"
    withdrawal: int
    digest: str


class Cancelled(DepositEvent, frozen=True):
    """It ended before its time. What is kept under the terms is in ``forfeited``, by ``rule``; ``fees`` by their bands.

    A merchant's cancellation has a published ``reason`` and its ``evidence``; ``note`` is the digest of what was written to
    it, encrypted elsewhere. ``counted``: its units go on counting against the buyer's limit.
    """

    TYPE: ClassVar[str] = "deposit.cancelled"
    cause: Cause
    rule: str
    forfeited: Money
    fees: Money | None = None
    reason: str | None = None
    evidence: tuple[str, ...] = ()
    note: str | None = None
    approver: str | None = None
    counted: bool = False


class Expired(DepositEvent, frozen=True):
    """Nothing was paid in time. Irreversible: written only after a grace, and units go back with it."""

    TYPE: ClassVar[str] = "deposit.expired"


class QuestionAsked(DepositEvent, frozen=True):
    """The merchant asks before an address or contact reason may be cited. ``digest`` is over the text, encrypted elsewhere."""

    TYPE: ClassVar[str] = "question.asked"
    question: int
    kind: str
    due_at: Instant
    digest: str


class QuestionAnswered(DepositEvent, frozen=True):
    """The buyer answered; late is better than never, as long as nothing was decided on the silence."""

    TYPE: ClassVar[str] = "question.answered"
    question: int
    digest: str


class QuestionLapsed(DepositEvent, frozen=True):
    """No answer came in time. An announcement: the clock alone decides it."""

    TYPE: ClassVar[str] = "question.lapsed"
    question: int


class PassGranted(DepositEvent, frozen=True):
    """A second chance for the buyer of this deposit: one unit of one of ``skus``, before and beside everybody else."""

    TYPE: ClassVar[str] = "priority_pass.granted"
    priority_pass: int
    skus: tuple[str, ...]
    price_cap: Money
    valid_until: Instant
    remind_at: tuple[Instant, ...]
    reason: str


class PassUsed(DepositEvent, frozen=True):
    """Written together with the deposit that was ordered with it."""

    TYPE: ClassVar[str] = "priority_pass.used"
    priority_pass: int
    deposit: str


class PassReturned(DepositEvent, frozen=True):
    """That deposit ended unpaid: the pass is granted again until its date."""

    TYPE: ClassVar[str] = "priority_pass.returned"
    priority_pass: int
    deposit: str


class PassReminded(DepositEvent, frozen=True):
    """A notice that it will lapse. An announcement."""

    TYPE: ClassVar[str] = "priority_pass.reminder"
    priority_pass: int
    valid_until: Instant


class PassLapsed(DepositEvent, frozen=True):
    """Its time is over. An announcement: the clock alone decides it."""

    TYPE: ClassVar[str] = "priority_pass.lapsed"
    priority_pass: int


QuestionEvent = QuestionAsked | QuestionAnswered | QuestionLapsed
PassStep = PassUsed | PassReturned | PassReminded | PassLapsed

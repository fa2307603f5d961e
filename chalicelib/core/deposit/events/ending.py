"""Events that end a deposit, and what comes with an end: withdrawals, questions, priority passes."""

from dataclasses import dataclass
from typing import ClassVar

from chalicelib.core.common.money import Money


@dataclass(frozen=True, slots=True)
class Completed:
    """Fully paid, and every unit is shipped."""

    TYPE: ClassVar[str] = "deposit.completed"
    at: int


@dataclass(frozen=True, slots=True)
class WithdrawalStated:
    """Step one of a statutory withdrawal. Name and address stand encrypted elsewhere; ``digest`` is over the receipt."""

    TYPE: ClassVar[str] = "withdrawal.stated"
    at: int
    withdrawal: int
    digest: str


@dataclass(frozen=True, slots=True)
class WithdrawalConfirmed:
    """Step two: the withdrawal takes effect. ``digest`` is over the receipt with this instant."""

    TYPE: ClassVar[str] = "withdrawal.confirmed"
    at: int
    withdrawal: int
    digest: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It ended before its time. What is kept under the terms is in ``forfeited``, by ``rule``; ``fees`` by their bands.

    A merchant's cancellation has a published ``reason`` and its ``evidence``; ``note`` is the digest of what was written to
    it, encrypted elsewhere. ``counted``: its units go on counting against the buyer's limit.
    """

    TYPE: ClassVar[str] = "deposit.cancelled"
    at: int
    cause: str
    rule: str
    forfeited: Money
    fees: Money | None = None
    reason: str | None = None
    evidence: tuple[str, ...] = ()
    note: str | None = None
    approver: str | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Expired:
    """Nothing was paid in time. Irreversible: written only after a grace, and units go back with it."""

    TYPE: ClassVar[str] = "deposit.expired"
    at: int


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """The merchant asks before an address or contact reason may be cited. ``digest`` is over the text, encrypted elsewhere."""

    TYPE: ClassVar[str] = "question.asked"
    at: int
    question: int
    kind: str
    due_at: int
    digest: str


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """The buyer answered; late is better than never, as long as nothing was decided on the silence."""

    TYPE: ClassVar[str] = "question.answered"
    at: int
    question: int
    digest: str


@dataclass(frozen=True, slots=True)
class QuestionLapsed:
    """No answer came in time. An announcement: the clock alone decides it."""

    TYPE: ClassVar[str] = "question.lapsed"
    at: int
    question: int


@dataclass(frozen=True, slots=True)
class PassGranted:
    """A second chance for the buyer of this deposit: one unit of one of ``skus``, before and beside everybody else."""

    TYPE: ClassVar[str] = "priority_pass.granted"
    at: int
    priority_pass: int
    skus: tuple[str, ...]
    price_cap: Money
    valid_until: int
    remind_at: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class PassUsed:
    """Written together with the deposit that was ordered with it."""

    TYPE: ClassVar[str] = "priority_pass.used"
    at: int
    priority_pass: int
    deposit: str


@dataclass(frozen=True, slots=True)
class PassReturned:
    """That deposit ended unpaid: the pass is granted again until its date."""

    TYPE: ClassVar[str] = "priority_pass.returned"
    at: int
    priority_pass: int
    deposit: str


@dataclass(frozen=True, slots=True)
class PassReminded:
    """A notice that it will lapse. An announcement."""

    TYPE: ClassVar[str] = "priority_pass.reminder"
    at: int
    priority_pass: int
    valid_until: int


@dataclass(frozen=True, slots=True)
class PassLapsed:
    """Its time is over. An announcement: the clock alone decides it."""

    TYPE: ClassVar[str] = "priority_pass.lapsed"
    at: int
    priority_pass: int


QuestionEvent = QuestionAsked | QuestionAnswered | QuestionLapsed
PassStep = PassUsed | PassReturned | PassReminded | PassLapsed

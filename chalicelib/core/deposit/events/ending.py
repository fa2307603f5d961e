"""Events that end a deposit, and events of withdrawals, questions and priority passes."""

from typing import ClassVar

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.base import DepositEvent


class Completed(DepositEvent, frozen=True):
    """The order is fully paid and every unit is shipped."""

    TYPE: ClassVar[str] = "deposit.completed"


class WithdrawalStated(DepositEvent, frozen=True):
    """Step one of a statutory withdrawal. ``digest`` is over the receipt; name and address are stored encrypted elsewhere."""

    TYPE: ClassVar[str] = "withdrawal.stated"
    withdrawal: int
    digest: str


class WithdrawalConfirmed(DepositEvent, frozen=True):
    """Step two: the withdrawal takes effect. ``digest`` is over the receipt with this instant."""

    TYPE: ClassVar[str] = "withdrawal.confirmed"
    withdrawal: int
    digest: str


class Cancelled(DepositEvent, frozen=True):
    """The deposit is cancelled. ``forfeited`` is what the merchant keeps by ``rule``, ``fees`` the fees by their bands.

    Only a merchant's cancellation has ``reason`` (a published code), ``evidence``, ``note`` (a digest) and ``approver``.
    ``counted``: its units still count against the buyer's limit.
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
    """The deposit was not paid in time. Irreversible: written only after a grace. Its units are released in the same write."""

    TYPE: ClassVar[str] = "deposit.expired"


class QuestionAsked(DepositEvent, frozen=True):
    """The merchant asks the buyer, as required before citing an address or contact reason. ``digest`` is over the text."""

    TYPE: ClassVar[str] = "question.asked"
    question: int
    kind: str
    due_at: Instant
    digest: str


class QuestionAnswered(DepositEvent, frozen=True):
    """The buyer answered. Late answers are accepted as long as the deposit was not cancelled for the missing answer."""

    TYPE: ClassVar[str] = "question.answered"
    question: int
    digest: str


class QuestionLapsed(DepositEvent, frozen=True):
    """Announcement: the time to answer is over."""

    TYPE: ClassVar[str] = "question.lapsed"
    question: int


class PassGranted(DepositEvent, frozen=True):
    """The buyer may order one unit of one of ``skus`` at most at ``price_cap``, from reserved stock, until ``valid_until``."""

    TYPE: ClassVar[str] = "priority_pass.granted"
    priority_pass: int
    skus: tuple[str, ...]
    price_cap: Money
    valid_until: Instant
    remind_at: tuple[Instant, ...]
    reason: str


class PassUsed(DepositEvent, frozen=True):
    """The pass was used for ``deposit``. Written in one transaction with that deposit."""

    TYPE: ClassVar[str] = "priority_pass.used"
    priority_pass: int
    deposit: str


class PassReturned(DepositEvent, frozen=True):
    """``deposit`` ended unpaid, so the pass can be used again until its date."""

    TYPE: ClassVar[str] = "priority_pass.returned"
    priority_pass: int
    deposit: str


class PassReminded(DepositEvent, frozen=True):
    """Announcement: the pass will lapse at ``valid_until``."""

    TYPE: ClassVar[str] = "priority_pass.reminder"
    priority_pass: int
    valid_until: Instant


class PassLapsed(DepositEvent, frozen=True):
    """Announcement: the time of the pass is over."""

    TYPE: ClassVar[str] = "priority_pass.lapsed"
    priority_pass: int


QuestionEvent = QuestionAsked | QuestionAnswered | QuestionLapsed
PassStep = PassUsed | PassReturned | PassReminded | PassLapsed

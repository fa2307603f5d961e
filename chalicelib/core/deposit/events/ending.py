"""Events that end a deposit, and events of withdrawals, questions and priority passes."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause


class Completed(Struct, frozen=True):
    """The order is fully paid and every unit is shipped."""

    TYPE: ClassVar[str] = "deposit.completed"
    at: int


class WithdrawalStated(Struct, frozen=True):
    """Step one of a statutory withdrawal. ``digest`` is over the receipt; name and address are stored encrypted elsewhere."""

    TYPE: ClassVar[str] = "withdrawal.stated"
    at: int
    withdrawal: int
    digest: str


class WithdrawalConfirmed(Struct, frozen=True):
    """Step two: the withdrawal takes effect. ``digest`` is over the receipt with this instant."""

    TYPE: ClassVar[str] = "withdrawal.confirmed"
    at: int
    withdrawal: int
    digest: str


class Cancelled(Struct, frozen=True):
    """The deposit is cancelled. ``forfeited`` is what the merchant keeps by ``rule``, ``fees`` the fees by their bands.

    Only a merchant's cancellation has ``reason`` (a published code), ``evidence``, ``note`` (a digest) and ``approver``.
    ``counted``: its units still count against the buyer's limit.
    """

    TYPE: ClassVar[str] = "deposit.cancelled"
    at: int
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
    """The deposit was not paid in time. Irreversible: written only after a grace. Its units are released in the same write."""

    TYPE: ClassVar[str] = "deposit.expired"
    at: int


class QuestionAsked(Struct, frozen=True):
    """The merchant asks the buyer, as required before citing an address or contact reason. ``digest`` is over the text."""

    TYPE: ClassVar[str] = "question.asked"
    at: int
    question: int
    kind: str
    due_at: int
    digest: str


class QuestionAnswered(Struct, frozen=True):
    """The buyer answered. Late answers are accepted as long as the deposit was not cancelled for the missing answer."""

    TYPE: ClassVar[str] = "question.answered"
    at: int
    question: int
    digest: str


class QuestionLapsed(Struct, frozen=True):
    """Announcement: the time to answer is over."""

    TYPE: ClassVar[str] = "question.lapsed"
    at: int
    question: int


class PassGranted(Struct, frozen=True):
    """The buyer may order one unit of one of ``skus`` at most at ``price_cap``, from reserved stock, until ``valid_until``."""

    TYPE: ClassVar[str] = "priority_pass.granted"
    at: int
    priority_pass: int
    skus: tuple[str, ...]
    price_cap: Money
    valid_until: int
    remind_at: tuple[int, ...]
    reason: str


class PassUsed(Struct, frozen=True):
    """The pass was used for ``deposit``. Written in one transaction with that deposit."""

    TYPE: ClassVar[str] = "priority_pass.used"
    at: int
    priority_pass: int
    deposit: str


class PassReturned(Struct, frozen=True):
    """``deposit`` ended unpaid, so the pass can be used again until its date."""

    TYPE: ClassVar[str] = "priority_pass.returned"
    at: int
    priority_pass: int
    deposit: str


class PassReminded(Struct, frozen=True):
    """Announcement: the pass will lapse at ``valid_until``."""

    TYPE: ClassVar[str] = "priority_pass.reminder"
    at: int
    priority_pass: int
    valid_until: int


class PassLapsed(Struct, frozen=True):
    """Announcement: the time of the pass is over."""

    TYPE: ClassVar[str] = "priority_pass.lapsed"
    at: int
    priority_pass: int


QuestionEvent = QuestionAsked | QuestionAnswered | QuestionLapsed
PassStep = PassUsed | PassReturned | PassReminded | PassLapsed

"""Events of claims: a buyer's dispute or appeal, the answers to it, and the decision."""

from typing import ClassVar

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.goods import Units


class ClaimOpened(DepositEvent, frozen=True):
    """A buyer disputes or appeals. ``owed`` is the amount by the rules; ``amount`` is what the buyer asks, where that decides.

    ``statement`` is a digest. ``contested``: the merchant had recorded claimed units as shipped. ``due_at`` is the deadline
    of the merchant, for a privacy claim of the platform. ``decide_within`` and ``refund_deadline`` are durations from the
    terms. ``kind`` is one of ``ClaimKind``.
    """

    TYPE: ClassVar[str] = "claim.opened"
    claim: int
    kind: str
    owed: Money
    contested: bool
    statement: str
    due_at: Instant
    decide_within: str
    refund_deadline: str
    amount: Money | None = None
    lines: tuple[Units, ...] = ()
    evidence: tuple[str, ...] = ()
    remind_at: tuple[Instant, ...] = ()


class ClaimEvidenceAdded(DepositEvent, frozen=True):
    """The buyer or the merchant (``by``) adds evidence."""

    TYPE: ClassVar[str] = "claim.evidence_added"
    claim: int
    by: str
    evidence: tuple[str, ...]
    statement: str | None = None


class ClaimOffered(DepositEvent, frozen=True):
    """The merchant offers ``amount``, at least what is owed. An offer not accepted by ``due_at`` goes to the platform."""

    TYPE: ClassVar[str] = "claim.offered"
    claim: int
    amount: Money
    due_at: Instant
    remind_at: tuple[Instant, ...] = ()
    statement: str | None = None


class ClaimRejected(DepositEvent, frozen=True):
    """The merchant rejects the claim. The platform decides by ``due_at``."""

    TYPE: ClassVar[str] = "claim.rejected"
    claim: int
    due_at: Instant
    statement: str
    remind_at: tuple[Instant, ...] = ()


class ClaimEscalated(DepositEvent, frozen=True):
    """The offer was not accepted, so the platform decides by ``due_at``. ``by``: ``buyer`` (rejected) or ``silence``."""

    TYPE: ClassVar[str] = "claim.escalated"
    claim: int
    by: str
    due_at: Instant
    remind_at: tuple[Instant, ...] = ()


class ClaimAccepted(DepositEvent, frozen=True):
    """The merchant accepts the claim, or the buyer the latest offer. ``refunds``: numbers of the refunds that pay ``amount``."""

    TYPE: ClassVar[str] = "claim.accepted"
    claim: int
    by: str
    amount: Money
    refunds: tuple[int, ...] = ()
    statement: str | None = None


class ClaimUpheld(DepositEvent, frozen=True):
    """The platform awards the whole amount owed. ``reason`` is a digest."""

    TYPE: ClassVar[str] = "claim.upheld"
    claim: int
    amount: Money
    reason: str
    refunds: tuple[int, ...] = ()


class ClaimPartlyUpheld(DepositEvent, frozen=True):
    """The platform awards a part. ``reason`` is a digest."""

    TYPE: ClassVar[str] = "claim.partly_upheld"
    claim: int
    amount: Money
    reason: str
    refunds: tuple[int, ...] = ()


class ClaimDismissed(DepositEvent, frozen=True):
    """The platform awards nothing. ``reason`` is a digest."""

    TYPE: ClassVar[str] = "claim.dismissed"
    claim: int
    reason: str


class ClaimWithdrawn(DepositEvent, frozen=True):
    """The buyer withdraws the claim."""

    TYPE: ClassVar[str] = "claim.withdrawn"
    claim: int


class ClaimGranted(DepositEvent, frozen=True):
    """``silent`` (merchant or platform) missed the deadline, so the claim is granted. Irreversible: written after a grace."""

    TYPE: ClassVar[str] = "claim.granted_by_deadline"
    claim: int
    silent: str
    amount: Money
    refunds: tuple[int, ...] = ()


class ClaimAnsweredLate(DepositEvent, frozen=True):
    """An answer after the deadline (``by`` merchant or platform). It is recorded and changes nothing."""

    TYPE: ClassVar[str] = "claim.answered_late"
    claim: int
    by: str
    decision: str
    amount: Money | None = None
    statement: str | None = None


class ClaimReminded(DepositEvent, frozen=True):
    """Announcement: the deadline ``due_at`` is near."""

    TYPE: ClassVar[str] = "claim.reminder"
    claim: int
    due_at: Instant


class ClaimReversed(DepositEvent, frozen=True):
    """Forfeited money and fees of an ended deposit are held again, so that they can be refunded."""

    TYPE: ClassVar[str] = "claim.reversed"
    claim: int
    forfeited: Money
    fees: Money


ClaimStep = (
    ClaimEvidenceAdded
    | ClaimOffered
    | ClaimRejected
    | ClaimEscalated
    | ClaimAccepted
    | ClaimUpheld
    | ClaimPartlyUpheld
    | ClaimDismissed
    | ClaimWithdrawn
    | ClaimGranted
    | ClaimAnsweredLate
    | ClaimReminded
)
ClaimEvent = ClaimOpened | ClaimStep | ClaimReversed

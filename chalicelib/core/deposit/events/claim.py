"""Events of claims: a buyer's dispute or appeal, the answers to it, and the decision."""

from typing import ClassVar

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.goods import Units


class ClaimOpened(DepositEvent, frozen=True):
    """A buyer disputes or appeals. ``owed`` is what the rules make of it, ``amount`` what the buyer asks where that decides.

    ``statement`` and those below are digests of what people wrote, encrypted elsewhere. ``contested``: the merchant had
    recorded units of it as shipped. The merchant's silence decides at ``due_at``, for a privacy claim the platform's.
    ``decide_within`` and ``refund_deadline`` are durations of the terms.
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
    """Buyer or merchant (``by``) hand in more."""

    TYPE: ClassVar[str] = "claim.evidence_added"
    claim: int
    by: str
    evidence: tuple[str, ...]
    statement: str | None = None


class ClaimOffered(DepositEvent, frozen=True):
    """The merchant offers to pay ``amount``, never less than is owed. The buyer's silence at ``due_at`` accepts nothing."""

    TYPE: ClassVar[str] = "claim.offered"
    claim: int
    amount: Money
    due_at: Instant
    remind_at: tuple[Instant, ...] = ()
    statement: str | None = None


class ClaimRejected(DepositEvent, frozen=True):
    """The merchant says no, so the platform decides by ``due_at``."""

    TYPE: ClassVar[str] = "claim.rejected"
    claim: int
    due_at: Instant
    statement: str
    remind_at: tuple[Instant, ...] = ()


class ClaimEscalated(DepositEvent, frozen=True):
    """The buyer took no offer, ``by`` word (``buyer``) or by ``silence``: the platform decides by ``due_at``."""

    TYPE: ClassVar[str] = "claim.escalated"
    claim: int
    by: str
    due_at: Instant
    remind_at: tuple[Instant, ...] = ()


class ClaimAccepted(DepositEvent, frozen=True):
    """Both agree: the merchant to the claim, or the buyer to the latest offer. ``refunds`` pay ``amount``."""

    TYPE: ClassVar[str] = "claim.accepted"
    claim: int
    by: str
    amount: Money
    refunds: tuple[int, ...] = ()
    statement: str | None = None


class ClaimUpheld(DepositEvent, frozen=True):
    """The platform gave the buyer all that is owed. ``reason`` is a digest."""

    TYPE: ClassVar[str] = "claim.upheld"
    claim: int
    amount: Money
    reason: str
    refunds: tuple[int, ...] = ()


class ClaimPartlyUpheld(DepositEvent, frozen=True):
    """The platform gave the buyer a part."""

    TYPE: ClassVar[str] = "claim.partly_upheld"
    claim: int
    amount: Money
    reason: str
    refunds: tuple[int, ...] = ()


class ClaimDismissed(DepositEvent, frozen=True):
    """The platform gave the buyer nothing."""

    TYPE: ClassVar[str] = "claim.dismissed"
    claim: int
    reason: str


class ClaimWithdrawn(DepositEvent, frozen=True):
    """The buyer took it back."""

    TYPE: ClassVar[str] = "claim.withdrawn"
    claim: int


class ClaimGranted(DepositEvent, frozen=True):
    """Whoever had to answer (``silent``: merchant or platform) was silent. Irreversible: written only after a grace."""

    TYPE: ClassVar[str] = "claim.granted_by_deadline"
    claim: int
    silent: str
    amount: Money
    refunds: tuple[int, ...] = ()


class ClaimAnsweredLate(DepositEvent, frozen=True):
    """An answer after silence had decided (``by`` merchant or platform): it is kept, and changes nothing."""

    TYPE: ClassVar[str] = "claim.answered_late"
    claim: int
    by: str
    decision: str
    amount: Money | None = None
    statement: str | None = None


class ClaimReminded(DepositEvent, frozen=True):
    """Announcement: silence decides at ``due_at``."""

    TYPE: ClassVar[str] = "claim.reminder"
    claim: int
    due_at: Instant


class ClaimReversed(DepositEvent, frozen=True):
    """What was kept at the end of the deposit is held again, so that it can go back."""

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

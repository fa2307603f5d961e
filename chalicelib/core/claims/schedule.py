"""The deadline events of a claim and its reminders."""

from collections.abc import Iterator

from chalicelib.core.common import instants
from chalicelib.core.deposit.claim import Claim, ClaimStatus
from chalicelib.core.deposit.events.claim import (
    ClaimEscalated,
    ClaimReminded,
)
from chalicelib.core.policy.claim_rules import ClaimRules


def compute_reminders(rules: ClaimRules, at: int, due_at: int) -> tuple[int, ...]:
    """The instants of the notices before ``due_at`` that lie after ``at``, earliest first."""
    before = {due_at - instants.duration_ms(distance) for distance in rules.remind_before}
    return tuple(sorted(instant for instant in before if instant > at))


def list_deadlines(claim: Claim) -> Iterator[ClaimReminded | ClaimEscalated]:
    """The deadline events of a claim, without the grant that follows from silence: see ``remedy.granted``."""
    if claim.due_at is None:
        return
    yield from (ClaimReminded(at, claim.n, claim.due_at) for at in claim.remind_at)
    if claim.status is ClaimStatus.OFFERED:
        yield build_escalation(claim, claim.due_at, "silence")


def build_escalation(claim: Claim, at: int, by: str) -> ClaimEscalated:
    """The claim goes to the platform. ``by`` is ``buyer``, or ``silence`` when the buyer let an offer lapse."""
    due_at = at + instants.duration_ms(claim.opened.decide_within)
    return ClaimEscalated(at, claim.n, by, due_at, compute_reminders(claim.rules, at, due_at))

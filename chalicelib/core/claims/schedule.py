"""The deadline events of a claim and its reminders."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from chalicelib.core.common import instants
from chalicelib.core.deposit.events.claim import (
    ClaimEscalated,
    ClaimReminded,
)
from chalicelib.core.policy.claim_rules import ClaimRules

if TYPE_CHECKING:
    pass
from chalicelib.core.deposit.claim import _S, Claim


def compute_reminders(rules: ClaimRules, at: int, due_at: int) -> tuple[int, ...]:
    """The notices before a due time, as far as they lie ahead; earliest first."""
    before = {due_at - instants.duration_ms(distance) for distance in rules.remind_before}
    return tuple(sorted(instant for instant in before if instant > at))


def list_deadlines(one: Claim) -> Iterator[ClaimReminded | ClaimEscalated]:
    """What the clock will say of it, but for what silence pays: that is ``remedy.granted``."""
    if one.due_at is None:
        return
    yield from (ClaimReminded(at, one.n, one.due_at) for at in one.remind_at)
    if one.status is _S.OFFERED:
        yield build_escalation(one, one.due_at, "silence")


def build_escalation(one: Claim, at: int, by: str) -> ClaimEscalated:
    """To the platform, by the buyer's word or by the buyer's silence."""
    due_at = at + instants.duration_ms(one.opened.decide_within)
    return ClaimEscalated(at, one.n, by, due_at, compute_reminders(one.rules, at, due_at))

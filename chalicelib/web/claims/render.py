"""Claims as answers."""

from collections.abc import Sequence

from chalicelib.core.claims import opening
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.deposit.events.claim import ClaimEvidenceAdded, ClaimOpened, ClaimReminded, ClaimReversed
from chalicelib.flows.claims import ClaimStepView, ClaimView
from chalicelib.flows.entries import SYSTEM
from chalicelib.web.claims.answers import ClaimAnswer, ClaimStepAnswer
from chalicelib.web.edge.values import money

# Not steps of the two sides: notices, and the bookkeeping behind a decision.
NOT_STEPS = (ClaimReminded, ClaimReversed)


def claim(view: ClaimView) -> ClaimAnswer:
    deposit, claim, at = view.outcome.deposit, view.claim, view.outcome.at
    opened, due_at = claim.opened, claim.find_due_at(at)
    steps = [step for step in view.history if not isinstance(step.entry.event, NOT_STEPS)]
    refunds = [child("ref", deposit.id, n) for n in claim.refunds]
    return {
        "id": child("clm", deposit.id, claim.n),
        "object": "claim",
        "deposit": deposit.id,
        "kind": opened.kind,
        "status": claim.status_at(at).value,
        "due_at": format_instant(due_at) if due_at is not None else None,
        "lines": [{"line": units.line, "quantity": units.quantity} for units in opened.lines],
        "amount": money(opened.amount) if opened.amount is not None else None,
        "owed": money(claim.owed),
        "offered": money(claim.latest_offer) if claim.latest_offer is not None else None,
        "paid": money(claim.paid) if claim.paid is not None else None,
        "contested": opened.contested or (claim.open and opening.is_contested(deposit, claim.lines)),
        "statement": steps[0].words or "",
        "evidence": _evidence(steps),
        "refund": refunds[-1] if refunds else None,
        "refunds": refunds,
        "history": [_step(step) for step in steps],
        "created_at": format_instant(opened.at),
        "updated_at": format_instant(claim.changed_at),
    }


def _evidence(steps: Sequence[ClaimStepView]) -> list[str]:
    """Of both sides, each item once."""
    handed_in = [step.entry.event for step in steps]
    items = [
        item for event in handed_in if isinstance(event, ClaimOpened | ClaimEvidenceAdded) for item in event.evidence
    ]
    return list(dict.fromkeys(items))


def _step(step: ClaimStepView) -> ClaimStepAnswer:
    event = step.entry.event
    what = event.TYPE.partition(".")[2]
    amount = getattr(event, "amount", None)
    return {
        "what": what,
        "at": format_instant(event.at),
        "by": "clock" if step.entry.by == SYSTEM else step.entry.by.role,
        "decision": getattr(event, "decision", None),
        "amount": money(amount) if amount is not None else None,
        "statement": step.words,
        "evidence": list(getattr(event, "evidence", ())),
        "applied": what != "answered_late",
    }

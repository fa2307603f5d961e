"""What claims look like in an answer."""

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
SILENT = (ClaimReminded, ClaimReversed)


def claim(told: ClaimView) -> ClaimAnswer:
    of, one, at = told.outcome.deposit, told.claim, told.outcome.at
    opened, due_at = one.opened, one.due_at_by(at)
    steps = [said for said in told.history if not isinstance(said.entry.event, SILENT)]
    refunds = [child("ref", of.id, n) for n in one.refunds]
    return {
        "id": child("clm", of.id, one.n),
        "object": "claim",
        "deposit": of.id,
        "kind": opened.kind,
        "status": one.status_at(at).value,
        "due_at": format_instant(due_at) if due_at is not None else None,
        "lines": [{"line": units.line, "quantity": units.quantity} for units in opened.lines],
        "amount": money(opened.amount) if opened.amount is not None else None,
        "owed": money(one.owed),
        "offered": money(one.offered) if one.offered is not None else None,
        "paid": money(one.paid) if one.paid is not None else None,
        "contested": opened.contested or (one.open and opening.contested(of, one.lines)),
        "statement": steps[0].words or "",
        "evidence": _evidence(steps),
        "refund": refunds[-1] if refunds else None,
        "refunds": refunds,
        "history": [_step(said) for said in steps],
        "created_at": format_instant(opened.at),
        "updated_at": format_instant(one.changed_at),
    }


def _evidence(steps: Sequence[ClaimStepView]) -> list[str]:
    """Of both sides, each item once."""
    handed_in = [said.entry.event for said in steps]
    items = [
        item for event in handed_in if isinstance(event, ClaimOpened | ClaimEvidenceAdded) for item in event.evidence
    ]
    return list(dict.fromkeys(items))


def _step(said: ClaimStepView) -> ClaimStepAnswer:
    event = said.entry.event
    what = event.TYPE.partition(".")[2]
    amount = getattr(event, "amount", None)
    return {
        "what": what,
        "at": format_instant(event.at),
        "by": "clock" if said.entry.by == SYSTEM else said.entry.by.role,
        "decision": getattr(event, "decision", None),
        "amount": money(amount) if amount is not None else None,
        "statement": said.words,
        "evidence": list(getattr(event, "evidence", ())),
        "applied": what != "answered_late",
    }

"""Prints docs/states.md from the transition tables: ``python -m tests.diagrams > docs/states.md``."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from chalicelib.core.deposit import claim, fold, payment, priority_pass, question, refund, status
from chalicelib.core.deposit.events.claim import ClaimGranted, ClaimReminded
from chalicelib.core.deposit.events.ending import Expired, PassLapsed, PassReminded, QuestionLapsed
from chalicelib.core.deposit.events.lock import LockBecameFinal, LockedByWindowEnd, LockReminded
from chalicelib.core.deposit.events.payment import BalanceOverdue
from chalicelib.core.deposit.events.refund import RefundReviewNeeded
from chalicelib.core.selling import offer

PAGE: Final = Path(__file__).resolve().parent.parent / "docs/states.md"


class Life(NamedTuple):
    """One life cycle: its statuses in their order, where it begins, and what changes it."""

    title: str
    about: str
    statuses: type[StrEnum]
    first: tuple[StrEnum, ...]
    transitions: Mapping[tuple[Any, type[Any]], StrEnum]
    by_the_clock: tuple[tuple[StrEnum, str, StrEnum], ...] = ()


_D, _R, _O = status.Status, refund.RefundStatus, offer.OfferStatus
_Q, _P, _C = question.QuestionStatus, priority_pass.PassStatus, claim.ClaimStatus

LIVES: Final = (
    Life(
        "Deposit",
        "`completed` is reached with the shipment of the last unit, and left only by a statutory withdrawal. An event "
        "is drawn from the status at its own instant: what was asked before a window ended meets it open, although "
        "its end may stand written already. Events of payments, refunds and chargebacks that are not in the diagram "
        "never change the status of a deposit.",
        _D,
        (_D.AWAITING_PAYMENT,),
        fold.TRANSITIONS,
        (
            (_D.AWAITING_PAYMENT, "payment.due_at, then `deposit.expired`", _D.EXPIRED),
            (_D.COOLING_OFF, "window.ends_at, then `lock.by_window_end`", _D.LOCKED),
        ),
    ),
    Life(
        "Payment",
        "Money that does not count (`payment.not_counted`) leaves a payment as it stands and goes back by a refund of "
        "its own. `balance.opened` acts on the payment before it as `payment.method_changed` does: one that is still "
        "open is replaced, one that succeeded stays.",
        payment.PaymentStatus,
        (payment.PaymentStatus.REQUIRES_ACTION,),
        payment.TRANSITIONS,
    ),
    Life(
        "Refund",
        "There is no `failed` status: a refund that cannot be delivered is `requires_action` (the buyer) or `manual_review` (a person).",
        _R,
        (_R.APPROVED,),
        refund.TRANSITIONS,
        tuple(
            (status, "promised_by, then `refund.review_needed`", to)
            for (status, event), to in refund.TRANSITIONS.items()
            if event is RefundReviewNeeded
        ),
    ),
    Life(
        "Question",
        "`question.asked` begins it. A late answer still counts, but a decision that was made because no answer came stays. "
        "The end of a deposit ends its questions as they stand.",
        _Q,
        (_Q.OPEN,),
        question.TRANSITIONS,
        ((_Q.OPEN, "due_at, then `question.lapsed`", _Q.LAPSED),),
    ),
    Life(
        "Pass",
        "`priority_pass.granted` begins a priority pass, in the journal of the deposit that was cancelled. It is returned "
        "when the deposit that it bought ends unpaid; after its date it lapses at once.",
        _P,
        (_P.GRANTED,),
        priority_pass.TRANSITIONS,
        ((_P.GRANTED, "valid_until, then `priority_pass.lapsed`", _P.LAPSED),),
    ),
    Life(
        "Claim",
        "`claim.opened` begins it; a claim about personal data goes to the platform at once. `claim.escalated` is written when "
        "the buyer asks for it or does not answer an offer. A missed deadline decides at its instant; the event is written "
        "after the grace, so that an answer given in time is still taken. `claim.reversed` may follow a decision: it moves "
        "money and changes no status.",
        _C,
        (_C.AWAITING_MERCHANT, _C.IN_REVIEW),
        claim.TRANSITIONS,
        (
            (_C.AWAITING_MERCHANT, "due_at, then `claim.granted_by_deadline`", _C.GRANTED_BY_DEADLINE),
            (_C.OFFERED, "due_at, then `claim.escalated`", _C.IN_REVIEW),
            (_C.IN_REVIEW, "due_at, then `claim.granted_by_deadline`", _C.GRANTED_BY_DEADLINE),
        ),
    ),
    Life(
        "Offer",
        "`offer.made` begins it, open at once where `opens_at` is null. Opening and closing by the clock are never written down.",
        _O,
        (_O.SCHEDULED, _O.OPEN),
        offer.TRANSITIONS,
        (
            (_O.SCHEDULED, "opens_at", _O.OPEN),
            (_O.OPEN, "closes_at", _O.CLOSED),
        ),
    ),
)
# What only the clock causes; the event announces it, or makes it irreversible.
WRITTEN_BY_THE_CLOCK: Final[frozenset[type[Any]]] = frozenset(
    {
        BalanceOverdue,
        ClaimGranted,
        ClaimReminded,
        Expired,
        LockBecameFinal,
        LockedByWindowEnd,
        LockReminded,
        PassLapsed,
        PassReminded,
        QuestionLapsed,
    }
)


def page() -> str:
    """The whole of docs/states.md."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Life cycles"
    yield ""
    yield "Printed from the `TRANSITIONS` tables in `chalicelib/core` by `python -m tests.diagrams`; a test keeps it current."
    yield "An arrow is an event. What the clock does by itself, whether or not anything has written it down, stands below its"
    yield "diagram; `(clock)` marks the event that only the clock causes."
    for life in LIVES:
        yield ""
        yield f"## {life.title}"
        yield ""
        yield life.about
        yield ""
        yield "```mermaid"
        yield from _diagram(life)
        yield "```"
        if life.by_the_clock:
            yield ""
            yield "By the clock:"
            yield ""
            yield "| from | at | to |"
            yield "|---|---|---|"
            yield from (f"| `{status}` | {instant} | `{to}` |" for status, instant, to in life.by_the_clock)
    yield ""


def _diagram(life: Life) -> Iterator[str]:
    yield "stateDiagram-v2"
    yield from (f"    {status}" for status in life.statuses)
    yield from (f"    [*] --> {status}" for status in life.first)
    yield from (f"    {status} --> {to} : {label}" for (status, to), label in _arrows(life).items())
    left = {status for status, _ in life.transitions}
    yield from (f"    {status} --> [*]" for status in life.statuses if status not in left)


def _arrows(life: Life) -> dict[tuple[StrEnum, StrEnum], str]:
    """One arrow from a status to another, with all events that take it."""
    events: dict[tuple[StrEnum, StrEnum], list[type[Any]]] = {}
    for (start, event), to in life.transitions.items():
        events.setdefault((start, to), []).append(event)
    return {ends: _label(taken) for ends, taken in events.items()}


def _label(events: Iterable[type[Any]]) -> str:
    return ", ".join(event.TYPE + (" (clock)" if event in WRITTEN_BY_THE_CLOCK else "") for event in events)


if __name__ == "__main__":
    sys.stdout.write(page())

"""What a claim is owed, and what a decision to pay causes: refunds, reversed forfeits and fees, an end, a priority pass.

The amount owed is computed from what was paid; the merchant does not set it. It is computed again when the claim is decided,
so that money refunded meanwhile is not paid twice.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from chalicelib.core.common.ids import child
from chalicelib.core.common.money import Money, total
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.claim import Claim, ClaimStatus
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimGranted, ClaimReversed
from chalicelib.core.deposit.events.ending import Completed
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.events.refund import RefundApproved, RefundLine
from chalicelib.core.deposit.payment import Capture
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending import end, entitlement, second_chance
from chalicelib.core.ending.entitlement import Entitlement, Leg

# Claims of these kinds first give back money that was kept (forfeit or fee).
KEPT_KINDS: Final = frozenset({"mistaken_lock", "trade_in"})
ENDED: Final = frozenset({Status.CANCELLED, Status.EXPIRED})


def compute_owed(deposit: Deposit, kind: str, lines: Sequence[Units], amount: Money | None) -> Money:
    """What a claim is owed now: computed from the payments, or the buyer's ``amount`` for kinds without a computation."""
    match kind:
        case "short_shipment":
            amount = _compute_value_of_units(deposit, lines)
        case "mistaken_lock":
            amount = deposit.money.forfeited if deposit.status in ENDED else _compute_end(deposit, kind).amount
        case "trade_in":
            amount = deposit.money.fees
        case _:
            amount = amount if amount is not None else zero(deposit)
    return min(amount, sum_remaining(deposit))


def _compute_end(deposit: Deposit, kind: str) -> Entitlement:
    return entitlement.compute_claim_entitlement(deposit, _name_rule(kind))


def sum_remaining(deposit: Deposit) -> Money:
    """All captured money that no refund has taken and no bank has taken from what was kept."""
    return total((_compute_remaining(deposit, captured) for captured in deposit.counted_captures), deposit.currency)


def _compute_remaining(deposit: Deposit, captured: Capture) -> Money:
    """What remains of a capture. A bank that took more than was held took it from what was kept."""
    lost = {
        dispute.n: dispute.amount
        for dispute in deposit.disputes
        if dispute.status == "lost" and dispute.capture == captured.capture
    }
    covered = (refund.amount for refund in deposit.refunds if refund.covered_by in lost)
    uncovered = total(lost.values(), deposit.currency) - total(covered, deposit.currency)
    return max(deposit.compute_unrefunded(captured) - uncovered, zero(deposit))


def compute_max_payment(deposit: Deposit, kind: str) -> Money:
    """The most that a claim of this kind can pay. One that ends the deposit does not pay for goods that the buyer has."""
    ends = kind == "mistaken_lock" and deposit.status not in ENDED
    return compute_owed(deposit, kind, (), None) if ends else sum_remaining(deposit)


def zero(deposit: Deposit) -> Money:
    """0 in the deposit's currency."""
    return Money.zero(deposit.currency)


def compute_payable(deposit: Deposit, claim: Claim, amount: Money) -> Money:
    """What can be paid now for a claim decided to pay ``amount``.

    Less than ``amount`` when its money was refunded otherwise meanwhile. More when the claim is granted in full and a
    balance arrived meanwhile: an end of the deposit gives that back, too.
    """
    owed = compute_owed(deposit, claim.opened.kind, list_claimable_units(deposit, claim.lines), claim.opened.amount)
    if owed < claim.owed:
        return min(amount, owed)
    return min(max(amount, owed) if amount >= claim.owed else amount, sum_remaining(deposit))


def list_claimable_units(deposit: Deposit, lines: Sequence[Units]) -> tuple[Units, ...]:
    """The units of a claim that have not been paid back."""
    rows = (Units(units.line, min(units.quantity, count_claimable(deposit, units.line))) for units in lines)
    return tuple(units for units in rows if units.quantity)


def count_claimable(deposit: Deposit, line: int) -> int:
    """The units of a line that a claim may still be about."""
    return deposit.progress[line - 1].count_claimable(deposit.lines[line - 1].quantity)


def _compute_value_of_units(deposit: Deposit, lines: Sequence[Units]) -> Money:
    """The price paid for units, with shipping when no shipment is recorded and these are all the units.

    Rounding makes the shares of a line sum up to the line, over any number of claims.
    """
    paid, value = deposit.split_paid_by_line(), zero(deposit)
    for units in lines:
        progress, quantity = deposit.progress[units.line - 1], deposit.lines[units.line - 1].quantity
        before, price = progress.dropped + progress.refuted, paid[units.line - 1]
        value += price.share_floor(before + units.quantity, quantity) - price.share_floor(before, quantity)
    return value + deposit.shipping if lines and is_nothing_shipped(deposit, lines) else value


def is_nothing_shipped(deposit: Deposit, lines: Sequence[Units]) -> bool:
    """Whether no shipment is recorded and ``lines`` are all units that a claim may be about."""
    named = {units.line: units.quantity for units in lines}
    return deposit.paid is not None and all(
        not progress.shipped and count_claimable(deposit, n) == named.get(n, 0)
        for n, progress in enumerate(deposit.progress, start=1)
    )


def list_consequences(deposit: Deposit, claim: Claim, amount: Money, at: int) -> Iterator[DepositEvent]:
    """The events behind the decision to pay ``amount`` (of ``compute_payable``): pass, end, refunds, completion."""
    kind, lines = claim.opened.kind, list_claimable_units(deposit, claim.lines)
    deadline, in_full = claim.opened.refund_deadline, amount >= compute_owed(deposit, kind, lines, claim.opened.amount)
    if kind == "merchant_cancellation" and not _has_pass(deposit):
        yield second_chance.grant_pass(1, deposit.lines, _find_cancel_reason(deposit), at)
    ends = kind == "mistaken_lock" or (kind == "short_shipment" and bool(lines) and is_nothing_shipped(deposit, lines))
    if in_full and ends and status_at(deposit, at) not in ENDED:
        yield from end.end_deposit(deposit, Cause.CLAIM, _compute_end(deposit, kind), at, deadline)
        return
    if amount:
        yield from _pay_claim(deposit, claim, amount, at, deadline)
    settles_units = in_full and kind == "short_shipment" and status_at(deposit, at) is Status.LOCKED
    if settles_units and _is_all_shipped_after(deposit, lines):
        yield Completed(at)


def _has_pass(deposit: Deposit) -> bool:
    """Whether the cancellation granted a pass, or the order was unpaid and got the pass back that it had used."""
    went_back = deposit.created.priority is not None and deposit.paid is None
    return bool(deposit.passes) or went_back


def _pay_claim(deposit: Deposit, claim: Claim, amount: Money, at: int, deadline: str) -> Iterator[DepositEvent]:
    reversal = _reverse_kept_money(deposit, claim, amount, at)
    if reversal is not None:
        yield reversal
    for n, leg in enumerate(_build_legs(deposit, claim, amount), start=len(deposit.refunds) + 1):
        yield from end.approve_refund(deposit, n, Cause.CLAIM, leg, at, deadline)


def _reverse_kept_money(deposit: Deposit, claim: Claim, amount: Money, at: int) -> ClaimReversed | None:
    """Gives back what was kept: first where the claim is about it, else only what exceeds the money held."""
    money, nothing = deposit.money, zero(deposit)
    needed = amount if claim.opened.kind in KEPT_KINDS else max(amount - money.held, nothing)
    forfeited = min(needed if claim.opened.kind != "trade_in" else nothing, money.forfeited)
    fees = min(needed - forfeited, money.fees)
    forfeited = min(needed - fees, money.forfeited)
    return ClaimReversed(at, claim.n, forfeited, fees) if forfeited or fees else None


def _build_legs(deposit: Deposit, claim: Claim, amount: Money) -> Iterator[Leg]:
    """The amount divided by capture, the latest first: its refund route stays open longest. Disputed captures come last."""
    proof, rule = (child("clm", deposit.id, claim.n),), _name_rule(claim.opened.kind)

    def sort_key(captured: Capture) -> tuple[bool, int]:
        return deposit.is_disputed(captured.capture), -captured.payment

    for captured in sorted(deposit.counted_captures, key=sort_key):
        part = min(amount, _compute_remaining(deposit, captured))
        if part:
            yield Leg(captured.payment, captured.capture, (RefundLine(LineCode.OWED, part, rule, proof),))
            amount -= part


def _name_rule(kind: str) -> str:
    return f"claims/{kind}"


def _find_cancel_reason(deposit: Deposit) -> str:
    return deposit.cancelled.reason or "" if deposit.cancelled is not None else ""


def _is_all_shipped_after(deposit: Deposit, lines: Sequence[Units]) -> bool:
    """Whether no unit is left to ship once these units are paid back."""
    progress = list(deposit.progress)
    for units in lines:
        quantity = deposit.lines[units.line - 1].quantity
        progress[units.line - 1] = progress[units.line - 1].pay_back(units.quantity, quantity)
    return not any(row.count_to_ship(line.quantity) for line, row in zip(deposit.lines, progress, strict=True))


class Remedy(NamedTuple):
    """The events behind a decision, with the numbers and the sum of its refunds."""

    amount: Money
    refunds: tuple[int, ...]
    events: tuple[DepositEvent, ...]


def compute_remedy(deposit: Deposit, claim: Claim, amount: Money, at: int) -> Remedy:
    """What follows a decision to pay ``amount``, as far as it can still be paid."""
    events = tuple(list_consequences(deposit, claim, compute_payable(deposit, claim, amount), at))
    approved = [event for event in events if isinstance(event, RefundApproved)]
    paid = total((event.amount for event in approved), deposit.currency)
    return Remedy(paid, tuple(event.refund for event in approved), events)


def grant_by_silence(deposit: Deposit, claim: Claim) -> tuple[DepositEvent, ...]:
    """The grant at an open claim's due time, with what follows; none for a claim without a due time.

    An offer is not granted: the buyer's silence leads to a review (``schedule.list_deadlines``).
    """
    if claim.due_at is None or claim.status is ClaimStatus.OFFERED:
        return ()
    outcome = compute_remedy(deposit, claim, claim.owed, claim.due_at)
    silent = "merchant" if claim.status is ClaimStatus.AWAITING_MERCHANT else "platform"
    return (ClaimGranted(claim.due_at, claim.n, silent, outcome.amount, outcome.refunds), *outcome.events)

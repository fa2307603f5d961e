"""What a claim is owed, and what follows when it is paid: refunds, what was kept, the end of a deposit, a priority pass.

What is owed is computed from what was paid, never named by the merchant. Money that has gone back already, by whatever
way, is not paid once more: what is owed is computed again when a claim is decided.
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
from chalicelib.core.ending.entitlement import Leg

KEPT_KINDS: Final = frozenset({"mistaken_lock", "trade_in"})  # about money that was kept, before any that is held
ENDED: Final = frozenset({Status.CANCELLED, Status.EXPIRED})


def compute_owed(deposit: Deposit, kind: str, lines: Sequence[Units], amount: Money | None) -> Money:
    """What the rules make of a claim now: computed from the payment, or the buyer's ``amount`` where that decides."""
    match kind:
        case "short_shipment":
            most = _compute_value_of_units(deposit, lines)
        case "mistaken_lock":
            ended = deposit.status in ENDED
            most = (
                deposit.money.forfeited
                if ended
                else entitlement.compute_claim_entitlement(deposit, _name_rule(kind)).amount
            )
        case "trade_in":
            most = deposit.money.fees
        case _:
            most = amount if amount is not None else zero(deposit)
    return min(most, sum_remaining(deposit))


def sum_remaining(deposit: Deposit) -> Money:
    """All that was captured and has not been decided to go back, nor been taken by a bank out of what was kept."""
    return total((_compute_remaining(deposit, one) for one in deposit.counted_captures), deposit.currency)


def _compute_remaining(deposit: Deposit, captured: Capture) -> Money:
    """A bank that gave more than was held gave the buyer what had been kept, as far as it goes."""
    lost = [one for one in deposit.disputes if one.status == "lost" and one.capture == captured.capture]
    refs = {one.n for one in lost}
    covered = (refund.amount for refund in deposit.refunds if refund.covered_by in refs)
    beyond = total((one.amount for one in lost), deposit.currency) - total(covered, deposit.currency)
    return max(deposit.compute_unrefunded(captured) - beyond, zero(deposit))


def compute_max_payment(deposit: Deposit, kind: str) -> Money:
    """All that a claim of that kind could pay: what ends a deposit leaves the goods that are with the buyer paid for."""
    ends = kind == "mistaken_lock" and deposit.status not in ENDED
    return compute_owed(deposit, kind, (), None) if ends else sum_remaining(deposit)


def zero(deposit: Deposit) -> Money:
    return Money.zero(deposit.currency)


def compute_payable(deposit: Deposit, claim: Claim, amount: Money) -> Money:
    """What of ``amount`` can still be paid for the claim: less when its money went back another way meanwhile.

    More when a balance arrived meanwhile and the claim is granted whole: what ends a deposit keeps nothing of it.
    """
    still = compute_owed(deposit, claim.opened.kind, list_claimable_units(deposit, claim.lines), claim.opened.amount)
    if still < claim.owed:
        return min(amount, still)
    return min(max(amount, still) if amount >= claim.owed else amount, sum_remaining(deposit))


def list_claimable_units(deposit: Deposit, lines: Sequence[Units]) -> tuple[Units, ...]:
    """The units of a claim whose money has not gone back."""
    rows = (
        (
            units.line,
            min(
                units.quantity, deposit.progress[units.line - 1].count_claimable(deposit.lines[units.line - 1].quantity)
            ),
        )
        for units in lines
    )
    return tuple(Units(line, quantity) for line, quantity in rows if quantity)


def _compute_value_of_units(deposit: Deposit, lines: Sequence[Units]) -> Money:
    """The paid value of units, with shipping when nothing ever came and nothing is left to come.

    Shares of a line are cut so that they sum up to it, however many claims there are.
    """
    paid, sums = deposit.split_paid_by_line(), zero(deposit)
    for units in lines:
        one, whole = deposit.progress[units.line - 1], deposit.lines[units.line - 1].quantity
        before, share = one.dropped + one.refuted, paid[units.line - 1]
        sums += share.share_floor(before + units.quantity, whole) - share.share_floor(before, whole)
    return sums + deposit.shipping if lines and is_nothing_shipped(deposit, lines) else sums


def is_nothing_shipped(deposit: Deposit, lines: Sequence[Units]) -> bool:
    """Whether no shipment is recorded, and these are all the units that are left."""
    named = {units.line: units.quantity for units in lines}
    rows = zip(deposit.lines, deposit.progress, strict=True)
    return deposit.paid is not None and all(
        not one.shipped and one.count_claimable(line.quantity) == named.get(n, 0)
        for n, (line, one) in enumerate(rows, start=1)
    )


def list_consequences(deposit: Deposit, claim: Claim, amount: Money, at: int) -> Iterator[DepositEvent]:
    """What stands behind the decision to pay ``amount``, which ``payable`` gave."""
    kind, lines = claim.opened.kind, list_claimable_units(deposit, claim.lines)
    deadline, whole = claim.opened.refund_deadline, amount >= compute_owed(deposit, kind, lines, claim.opened.amount)
    if kind == "merchant_cancellation" and not _has_pass(deposit):
        yield second_chance.grant_pass(1, deposit.lines, _find_cancel_reason(deposit), at)
    over = kind == "mistaken_lock" or (kind == "short_shipment" and bool(lines) and is_nothing_shipped(deposit, lines))
    if whole and over and status_at(deposit, at) not in ENDED:
        yield from end.end_deposit(
            deposit, Cause.CLAIM, entitlement.compute_claim_entitlement(deposit, _name_rule(kind)), at, deadline
        )
        return
    if amount:
        yield from _pay_claim(deposit, claim, amount, at, deadline)
    if (
        whole
        and kind == "short_shipment"
        and status_at(deposit, at) is Status.LOCKED
        and _is_all_shipped_after(deposit, lines)
    ):
        yield Completed(at)


def _has_pass(deposit: Deposit) -> bool:
    """Whether one came of the cancellation already, or the one that it was ordered with went back unpaid."""
    went_back = deposit.created.priority is not None and deposit.paid is None
    return bool(deposit.passes) or went_back


def _pay_claim(deposit: Deposit, claim: Claim, amount: Money, at: int, deadline: str) -> Iterator[DepositEvent]:
    back = _reverse_kept_money(deposit, claim, amount, at)
    if back is not None:
        yield back
    for n, leg in enumerate(_build_legs(deposit, claim, amount), start=len(deposit.refunds) + 1):
        yield from end.approve_refund(deposit, n, Cause.CLAIM, leg, at, deadline)


def _reverse_kept_money(deposit: Deposit, claim: Claim, amount: Money, at: int) -> ClaimReversed | None:
    """What was kept and goes back after all: at once where the claim is about it, else when nothing else is held."""
    money, nothing = deposit.money, zero(deposit)
    needed = amount if claim.opened.kind in KEPT_KINDS else max(amount - money.held, nothing)
    forfeited = min(needed if claim.opened.kind != "trade_in" else nothing, money.forfeited)
    fees = min(needed - forfeited, money.fees)
    forfeited = min(needed - fees, money.forfeited)
    return ClaimReversed(at, claim.n, forfeited, fees) if forfeited or fees else None


def _build_legs(deposit: Deposit, claim: Claim, amount: Money) -> Iterator[Leg]:
    """The latest capture gives first: its way back is open longest. One that a bank disputes gives last, and waits."""
    proof, rule = (child("clm", deposit.id, claim.n),), _name_rule(claim.opened.kind)

    def order(one: Capture) -> tuple[bool, int]:
        return deposit.is_disputed(one.capture), -one.payment

    for captured in sorted(deposit.counted_captures, key=order):
        part = min(amount, _compute_remaining(deposit, captured))
        if part:
            yield Leg(captured.payment, captured.capture, (RefundLine(LineCode.OWED, part, rule, proof),))
            amount -= part


def _name_rule(kind: str) -> str:
    return f"claims/{kind}"


def _find_cancel_reason(deposit: Deposit) -> str:
    return deposit.cancelled.reason or "" if deposit.cancelled is not None else ""


def _is_all_shipped_after(deposit: Deposit, lines: Sequence[Units]) -> bool:
    """Whether nothing is left to ship once these units are paid back."""
    progress = list(deposit.progress)
    for units in lines:
        whole = deposit.lines[units.line - 1].quantity
        progress[units.line - 1] = progress[units.line - 1].pay_back(units.quantity, whole)
    return not any(one.count_to_ship(line.quantity) for line, one in zip(deposit.lines, progress, strict=True))


class Remedy(NamedTuple):
    """What stands behind a decision, with what its refunds sum up to, and which they are."""

    amount: Money
    refunds: tuple[int, ...]
    events: tuple[DepositEvent, ...]


def compute_remedy(deposit: Deposit, claim: Claim, amount: Money, at: int) -> Remedy:
    """What a decision to pay ``amount`` makes true, as far as that can still be paid."""
    events = tuple(list_consequences(deposit, claim, compute_payable(deposit, claim, amount), at))
    approved = [event for event in events if isinstance(event, RefundApproved)]
    paid = total((event.amount for event in approved), deposit.currency)
    return Remedy(paid, tuple(event.refund for event in approved), events)


def grant_by_silence(deposit: Deposit, claim: Claim) -> tuple[DepositEvent, ...]:
    """What silence makes of an open claim at its due time, with all that follows from it; nothing while it is not due.

    Of an offer the buyer's silence makes a review: see ``claim.deadlines``.
    """
    if claim.due_at is None or claim.status is ClaimStatus.OFFERED:
        return ()
    given = compute_remedy(deposit, claim, claim.owed, claim.due_at)
    silent = "merchant" if claim.status is ClaimStatus.AWAITING_MERCHANT else "platform"
    return (ClaimGranted(claim.due_at, claim.n, silent, given.amount, given.refunds), *given.events)

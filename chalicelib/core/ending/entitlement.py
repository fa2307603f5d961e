"""What comes back, and why: the one function behind preview, curve and decision."""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.causes import DEDUCTIONS, FEES, Cause, LineCode
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.refund import RefundLine
from chalicelib.core.deposit.payment import Capture
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending import earnest_money, withdrawal_right
from chalicelib.core.policy import fees
from chalicelib.core.policy.terms import Terms


class Leg(Struct, frozen=True):
    """What goes back against one capture: a provider gives back to the source at most what it took there."""

    payment: int
    capture: str
    lines: tuple[RefundLine, ...]

    @property
    def amount(self) -> Money:
        return total((line.amount for line in self.lines), self.lines[0].amount.currency)


class Entitlement(Struct, frozen=True):
    """What ending the deposit gives back. ``lines`` sum to ``amount``; ``rule`` names what decided it.

    ``legs`` say against which captures; ``compensation`` is a leg of its own on top, never out of the buyer's money.
    """

    amount: Money
    lines: tuple[RefundLine, ...]
    forfeited: Money
    fees: Money
    compensation: Money
    rule: str
    legs: tuple[Leg, ...] = ()
    review: str | None = None

    def __post_init__(self) -> None:
        assert sum(line.amount.minor for line in self.lines) == self.amount.minor, self
        assert all(line.rule is not None for line in self.lines if line.code in DEDUCTIONS), self


def compute_entitlement(
    deposit: Deposit, terms: Terms, cause: Cause, at: int, *, compensated: bool = True
) -> Entitlement:
    """What the buyer gets when the deposit ends for ``cause`` at an instant.

    ``compensated``: whether a merchant's cancellation is for a reason that is a seller's default.

    Refuses ALREADY_CANCELLED and WRONG_STATE as the command would, WITHDRAWAL_NOT_AVAILABLE where the market or the
    goods know none or its period is over.
    """
    status = status_at(deposit, at)
    if cause == Cause.WITHDRAWAL:
        refuse_ended(status, completed_too=False)
        withdrawal_right.refuse_without_right(deposit, terms, at)
        return _build_entitlement(deposit, "terms/withdrawal")
    refuse_ended(status)
    if cause == Cause.TRADE_IN_MISMATCH:
        return _compute_mismatch(deposit, terms)
    if cause == Cause.TRADE_IN_CANCEL:
        return _build_entitlement(deposit, "terms/trade_in_cancel")
    if cause == Cause.MERCHANT_CANCEL:
        extra = _compute_compensation(deposit, terms) if compensated else None
        return _build_entitlement(deposit, "terms/merchant_cancel", _deduct_goods(deposit), extra)
    return _compute_buyer_cancel(deposit, terms, status, at)


def compute_claim_entitlement(deposit: Deposit, rule: str) -> Entitlement:
    """What comes back when a claim ends the deposit: all but the goods with the buyer."""
    return _build_entitlement(deposit, rule, _deduct_goods(deposit))


def compute_cancel_cost(deposit: Deposit, terms: Terms) -> Money:
    """What a cancel would cost once a lock is final, as the deposit stands: the forfeit, and shipping where it is kept."""
    shipping = total((-line.amount for line in _deduct_shipping(deposit, terms)), deposit.currency)
    return compute_stake(deposit, terms) + shipping


def compute_stake(deposit: Deposit, terms: Terms) -> Money:
    """What of the deposit would be forfeited then."""
    if terms.after_lock.buyer_cancel == "refund":
        return Money.zero(deposit.currency)
    return _compute_forfeit(deposit, terms)


class Step(Struct, frozen=True):
    """What a buyer's cancel gives back in a half-open span; ``to`` None is for ever."""

    start: int
    to: int | None
    owed: Entitlement


def compute_curve(deposit: Deposit, terms: Terms, at: int) -> tuple[Step, ...]:
    """What a buyer's cancel gives back from ``at`` on, one step for each change: "free until ..., then ..."."""
    starts = [at, *sorted(instant for instant in _list_change_instants(deposit) if instant > at)]
    owed = [compute_entitlement(deposit, terms, Cause.BUYER_CANCEL, start) for start in starts]
    kept = [i for i in range(len(starts)) if i == 0 or owed[i] != owed[i - 1]]
    ends = [starts[i] for i in kept[1:]]
    return tuple(Step(starts[i], end, owed[i]) for i, end in zip(kept, [*ends, None], strict=True))


def _list_change_instants(deposit: Deposit) -> set[int]:
    """The instants at which the clock alone may change what comes back."""
    window_ends = deposit.window.ends_at if deposit.window is not None else None
    locked, undo_ends = (deposit.lock.at, deposit.lock.undo_until) if deposit.lock is not None else (None, None)
    return {instant for instant in (window_ends, locked, undo_ends) if instant is not None}


def refuse_ended(status: Status, *, completed_too: bool = True) -> None:
    """A deposit that has ended cannot be ended again; one that is completed only by the law."""
    if status is Status.CANCELLED:
        raise Refused(Reason.ALREADY_CANCELLED)
    if status is Status.EXPIRED or (completed_too and status is Status.COMPLETED):
        raise Refused(Reason.WRONG_STATE, state=status.value)


def _compute_buyer_cancel(deposit: Deposit, terms: Terms, status: Status, at: int) -> Entitlement:
    """By a cancel, or by a default after it: the same rule."""
    if status is Status.AWAITING_PAYMENT:
        return _build_entitlement(deposit, "terms/unpaid")
    lock = lock_at(deposit, at)
    if lock is None:
        return _build_entitlement(deposit, "terms/window", _deduct_goods_sent_before(deposit, at))
    if not lock.is_final(at):
        return _build_entitlement(deposit, "terms/undo", _deduct_goods_sent_before(deposit, at))
    gone = (*_deduct_goods(deposit), *_deduct_shipping(deposit, terms))
    kept = compute_stake(deposit, terms)
    if not kept:
        by_shipping = next((line.rule for line in gone if line.code == LineCode.SHIPPING_KEPT), None)
        return _build_entitlement(deposit, by_shipping or "terms/refund_after_lock", gone)
    rule = f"{terms.policy.id}/{terms.policy.forfeit.rule}"
    return _build_entitlement(deposit, rule, (RefundLine(LineCode.FORFEITED, -kept, rule), *gone))


def _compute_mismatch(deposit: Deposit, terms: Terms) -> Entitlement:
    """One published fee, never more than what was paid without shipping; in no band there is none, and a person looks.

    Grounds that are nobody's fault on the buyer's side cost nothing, and shipping comes back.
    """
    traded, inspection = deposit.created.trade_in, deposit.trade_in.inspection if deposit.trade_in is not None else None
    assert traded is not None, "only a trade-in is inspected"
    assert inspection is not None, "a mismatch is an inspector's word"
    schedule = fees.read_schedule(traded.schedule)
    chargeable = any(
        one.code in inspection.grounds for one in schedule.grounds(traded.category) if one.at_fault == "buyer"
    )
    if not chargeable:
        return _build_entitlement(deposit, "terms/trade_in_cancel")
    shipping = _deduct_shipping(deposit, terms)
    try:
        charge = schedule.charge(traded.category, traded.fee_base)
    except Refused as undefined:
        return replace(
            _build_entitlement(deposit, f"{schedule.name}/shipping", shipping), review=undefined.reason.value
        )
    most = max(deposit.money.held - deposit.shipping, Money.zero(deposit.currency))
    fee = min(charge.fee, most)
    line = RefundLine(LineCode.TRADE_IN_FEE, -fee, charge.rule, inspection.evidence)
    return _build_entitlement(deposit, charge.rule, (*shipping, line))


def _deduct_shipping(deposit: Deposit, terms: Terms) -> tuple[RefundLine, ...]:
    """Shipping stays where the programme keeps it, unless the market's law gives standard shipping back."""
    traded, law = deposit.created.trade_in, terms.policy
    if traded is None or (law.withdrawal is not None and law.withdrawal.standard_shipping_back):
        return ()
    schedule = fees.read_schedule(traded.schedule)
    kept = min(deposit.shipping, deposit.money.held)
    return (
        (RefundLine(LineCode.SHIPPING_KEPT, -kept, f"{schedule.name}/shipping"),)
        if schedule.rules.shipping_kept and kept
        else ()
    )


def _compute_forfeit(deposit: Deposit, terms: Terms) -> Money:
    """The most that may be kept: the deposit itself, never shipping or balance, as the earnest rule says."""
    law = terms.policy
    custom = all(line.made_to_spec for line in deposit.lines)
    keepable = law.forfeit.allowed == "always" or (law.forfeit.allowed == "made_to_spec" and custom)
    settled = earnest_money.settle_earnest_money(
        _compute_earnest_money(deposit),
        deposit.items_total,
        _compute_value_to_ship(deposit),
        default="buyer",
        earnest=terms.payment.nature == "earnest",
        keepable=keepable,
        law=law,
    )
    spoken_for = deposit.shipping + total((-line.amount for line in _deduct_goods(deposit)), deposit.currency)
    return min(settled.forfeited, max(deposit.money.held - spoken_for, Money.zero(deposit.currency)))


def _compute_compensation(deposit: Deposit, terms: Terms) -> Money:
    """What a seller in default owes on top: earnest money once more, within the cap, where the market doubles."""
    if deposit.paid is None:
        return Money.zero(deposit.currency)
    settled = earnest_money.settle_earnest_money(
        _compute_earnest_money(deposit),
        deposit.items_total,
        _compute_value_to_ship(deposit),
        default="seller",
        earnest=terms.payment.nature == "earnest",
        keepable=True,
        law=terms.policy,
    )
    return settled.compensation


def _compute_earnest_money(deposit: Deposit) -> Money:
    """The deposit itself, without shipping; a change to cheaper goods may have given back a part of it."""
    return min(deposit.created.due_now - deposit.created.shipping, deposit.items_total)


def _compute_value_to_ship(deposit: Deposit) -> Money:
    left = (
        line.unit_price * one.count_to_ship(line.quantity)
        for line, one in zip(deposit.lines, deposit.progress, strict=True)
    )
    return total(left, deposit.currency)


def _deduct_goods(deposit: Deposit) -> tuple[RefundLine, ...]:
    """What was paid for units that are with the buyer, less what rulings gave for them; floored, so a rest goes back."""
    rows = zip(
        deposit.split_paid_by_line(), deposit.lines, deposit.progress, deposit.sum_rulings_by_line(), strict=True
    )
    left = (paid.share_floor(one.units_kept, line.quantity) - ruled for paid, line, one, ruled in rows)
    kept = total((max(share, Money.zero(deposit.currency)) for share in left), deposit.currency)
    return (RefundLine(LineCode.GOODS_KEPT, -kept, "terms/goods_kept"),) if kept else ()


def _deduct_goods_sent_before(deposit: Deposit, at: int) -> tuple[RefundLine, ...]:
    """Units that left before a free cancel was asked, which takes an undo that was asked before and worked off after."""
    left_at = (one.first_shipped_at for one in deposit.progress)
    return _deduct_goods(deposit) if any(first is not None and first <= at for first in left_at) else ()


def _build_entitlement(
    deposit: Deposit, rule: str, deductions: Sequence[RefundLine] = (), compensation: Money | None = None
) -> Entitlement:
    """Everything that counted and has not gone back yet, less the deductions; each taken from the earliest capture."""
    zero = Money.zero(deposit.currency)
    deductions = tuple(_limit_deductions(deposit, deductions))
    legs = tuple(_build_legs(deposit, deductions))
    lines = tuple(_sum_by_code(legs)) or (RefundLine(LineCode.PAID, zero),)
    forfeited = total((-line.amount for line in deductions if line.code == LineCode.FORFEITED), deposit.currency)
    amount = total((leg.amount for leg in legs), deposit.currency)
    fees_kept = total((-line.amount for line in deductions if line.code in FEES), deposit.currency)
    return Entitlement(amount, lines, forfeited, fees_kept, compensation or zero, rule, legs)


def _limit_deductions(deposit: Deposit, deductions: Sequence[RefundLine]) -> Iterator[RefundLine]:
    """The deductions as far as there is something left to take them from: what was given back cannot be kept as well."""
    left = total((deposit.compute_unrefunded(counted) for counted in deposit.counted_captures), deposit.currency)
    for deduction in deductions:
        kept = min(-deduction.amount, left)
        left -= kept
        if kept:
            yield replace(deduction, amount=-kept)


def _build_legs(deposit: Deposit, deductions: Sequence[RefundLine]) -> Iterator[Leg]:
    left = list(deductions)
    for counted in deposit.counted_captures:
        lines = [RefundLine(LineCode.PAID, counted.amount)]
        gone = sum_decided_refunds(deposit, counted)
        if gone:
            lines.append(RefundLine(LineCode.ALREADY_REFUNDED, -gone))
        available = counted.amount - gone
        for place, deduction in enumerate(left):
            part = min(-deduction.amount, available)
            if part:
                lines.append(replace(deduction, amount=-part))
                available -= part
                left[place] = replace(deduction, amount=deduction.amount + part)
        yield Leg(counted.payment, counted.capture, tuple(lines))
    assert not any(deduction.amount for deduction in left), deposit.id


def sum_decided_refunds(deposit: Deposit, counted: Capture) -> Money:
    """What has been decided to go back against a capture, in whatever state that refund is."""
    return counted.amount - deposit.compute_unrefunded(counted)


def _sum_by_code(legs: Sequence[Leg]) -> Iterator[RefundLine]:
    """The legs' lines together, one for each code."""
    sums: dict[str, RefundLine] = {}
    for line in (line for leg in legs for line in leg.lines):
        before = sums.get(line.code)
        sums[line.code] = line if before is None else replace(line, amount=before.amount + line.amount)
    yield from sums.values()

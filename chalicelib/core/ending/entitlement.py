"""What a buyer gets back when a deposit ends, and by which rule.

Preview, curve and decision all use ``compute_entitlement``.
"""

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
    """The refund against one capture: a provider returns to a source at most what it captured there."""

    payment: int
    capture: str
    lines: tuple[RefundLine, ...]

    @property
    def amount(self) -> Money:
        return total((line.amount for line in self.lines), self.lines[0].amount.currency)


class Entitlement(Struct, frozen=True):
    """What the end of a deposit gives back. ``lines`` sum to ``amount``; ``rule`` names the rule that decided it.

    ``legs`` divide the amount by capture. ``compensation`` is paid on top, from the merchant's money.
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
    """What the buyer gets when the deposit ends for ``cause`` at ``at``.

    ``compensated``: the reason of a merchant's cancellation is a seller's default.

    Raises Refused: ALREADY_CANCELLED and WRONG_STATE as the command does, WITHDRAWAL_NOT_AVAILABLE where market or goods
    have no right to withdraw or its period is over.
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
    """What comes back when a claim ends the deposit: everything except the price of goods that the buyer has."""
    return _build_entitlement(deposit, rule, _deduct_goods(deposit))


def compute_cancel_cost(deposit: Deposit, terms: Terms) -> Money:
    """What a cancel costs once a lock is final: the forfeit, and shipping where the programme keeps it."""
    shipping = total((-line.amount for line in _deduct_shipping(deposit, terms)), deposit.currency)
    return compute_stake(deposit, terms) + shipping


def compute_stake(deposit: Deposit, terms: Terms) -> Money:
    """What a cancel forfeits once a lock is final."""
    if terms.after_lock.buyer_cancel == "refund":
        return Money.zero(deposit.currency)
    return _compute_forfeit(deposit, terms)


class Step(Struct, frozen=True):
    """What a buyer's cancel gives back from ``start`` until before ``to``; None: without end."""

    start: int
    to: int | None
    owed: Entitlement


def compute_curve(deposit: Deposit, terms: Terms, at: int) -> tuple[Step, ...]:
    """What a buyer's cancel gives back from ``at`` on, one step for each change of the result."""
    starts = [at, *sorted(instant for instant in _list_change_instants(deposit) if instant > at)]
    owed = [compute_entitlement(deposit, terms, Cause.BUYER_CANCEL, start) for start in starts]
    kept = [i for i in range(len(starts)) if i == 0 or owed[i] != owed[i - 1]]
    ends = [starts[i] for i in kept[1:]]
    return tuple(Step(starts[i], end, owed[i]) for i, end in zip(kept, [*ends, None], strict=True))


def _list_change_instants(deposit: Deposit) -> set[int]:
    """The instants at which the clock alone may change the entitlement."""
    window_ends = deposit.window.ends_at if deposit.window is not None else None
    locked, undo_ends = (deposit.lock.at, deposit.lock.undo_until) if deposit.lock is not None else (None, None)
    return {instant for instant in (window_ends, locked, undo_ends) if instant is not None}


def refuse_ended(status: Status, *, completed_too: bool = True) -> None:
    """ALREADY_CANCELLED or WRONG_STATE for an ended deposit. Only a statutory withdrawal may end a completed one."""
    if status is Status.CANCELLED:
        raise Refused(Reason.ALREADY_CANCELLED)
    if status is Status.EXPIRED or (completed_too and status is Status.COMPLETED):
        raise Refused(Reason.WRONG_STATE, state=status.value)


def _compute_buyer_cancel(deposit: Deposit, terms: Terms, status: Status, at: int) -> Entitlement:
    """A buyer's cancel or default: both follow the same rule."""
    if status is Status.AWAITING_PAYMENT:
        return _build_entitlement(deposit, "terms/unpaid")
    lock = lock_at(deposit, at)
    if lock is None:
        return _build_entitlement(deposit, "terms/window", _deduct_goods_sent_before(deposit, at))
    if not lock.is_final(at):
        return _build_entitlement(deposit, "terms/undo", _deduct_goods_sent_before(deposit, at))
    deductions = (*_deduct_goods(deposit), *_deduct_shipping(deposit, terms))
    forfeit = compute_stake(deposit, terms)
    if not forfeit:
        shipping_rule = next((line.rule for line in deductions if line.code == LineCode.SHIPPING_KEPT), None)
        return _build_entitlement(deposit, shipping_rule or "terms/refund_after_lock", deductions)
    rule = f"{terms.policy.id}/{terms.policy.forfeit.rule}"
    return _build_entitlement(deposit, rule, (RefundLine(LineCode.FORFEITED, -forfeit, rule), *deductions))


def _compute_mismatch(deposit: Deposit, terms: Terms) -> Entitlement:
    """Less one published fee, at most what was paid without shipping. Where no band fits, no fee, and a person reviews it.

    Without a ground that is the buyer's fault everything comes back, shipping too.
    """
    traded, inspection = deposit.created.trade_in, deposit.trade_in.inspection if deposit.trade_in is not None else None
    assert traded is not None, "only a trade-in is inspected"
    assert inspection is not None, "only an inspection finds a mismatch"
    schedule = fees.read_schedule(traded.schedule)
    chargeable = any(
        ground.code in inspection.grounds for ground in schedule.grounds(traded.category) if ground.at_fault == "buyer"
    )
    if not chargeable:
        return _build_entitlement(deposit, "terms/trade_in_cancel")
    shipping = _deduct_shipping(deposit, terms)
    try:
        charge = schedule.charge(traded.category, traded.fee_base)
    except Refused as undefined:
        entitlement = _build_entitlement(deposit, f"{schedule.name}/shipping", shipping)
        return replace(entitlement, review=undefined.reason.value)
    max_fee = max(deposit.money.held - deposit.shipping, Money.zero(deposit.currency))
    fee = min(charge.fee, max_fee)
    line = RefundLine(LineCode.TRADE_IN_FEE, -fee, charge.rule, inspection.evidence)
    return _build_entitlement(deposit, charge.rule, (*shipping, line))


def _deduct_shipping(deposit: Deposit, terms: Terms) -> tuple[RefundLine, ...]:
    """Shipping is kept where the programme keeps it and the market's law does not give standard shipping back."""
    traded, law = deposit.created.trade_in, terms.policy
    if traded is None or (law.withdrawal is not None and law.withdrawal.standard_shipping_back):
        return ()
    schedule = fees.read_schedule(traded.schedule)
    kept = min(deposit.shipping, deposit.money.held)
    if not schedule.rules.shipping_kept or not kept:
        return ()
    return (RefundLine(LineCode.SHIPPING_KEPT, -kept, f"{schedule.name}/shipping"),)


def _compute_forfeit(deposit: Deposit, terms: Terms) -> Money:
    """The forfeit: at most what is held of the deposit itself, never shipping or balance."""
    law = terms.policy
    custom = all(line.made_to_spec for line in deposit.lines)
    keepable = law.forfeit.allowed == "always" or (law.forfeit.allowed == "made_to_spec" and custom)
    settlement = _settle(deposit, terms, default="buyer", keepable=keepable)
    deducted = deposit.shipping + total((-line.amount for line in _deduct_goods(deposit)), deposit.currency)
    return min(settlement.forfeited, max(deposit.money.held - deducted, Money.zero(deposit.currency)))


def _compute_compensation(deposit: Deposit, terms: Terms) -> Money:
    """What a seller in default owes on top, where the market's law multiplies earnest money."""
    if deposit.paid is None:
        return Money.zero(deposit.currency)
    return _settle(deposit, terms, default="seller", keepable=True).compensation


def _settle(
    deposit: Deposit, terms: Terms, *, default: earnest_money.Default, keepable: bool
) -> earnest_money.Settlement:
    return earnest_money.settle_earnest_money(
        _compute_earnest_money(deposit),
        deposit.items_total,
        _compute_value_to_ship(deposit),
        default=default,
        earnest=terms.payment.nature == "earnest",
        keepable=keepable,
        law=terms.policy,
    )


def _compute_earnest_money(deposit: Deposit) -> Money:
    """The deposit without shipping, at most the price of the goods: a change to cheaper goods gives back the rest."""
    return min(deposit.created.due_now - deposit.created.shipping, deposit.items_total)


def _compute_value_to_ship(deposit: Deposit) -> Money:
    rows = zip(deposit.lines, deposit.progress, strict=True)
    return total((line.unit_price * progress.count_to_ship(line.quantity) for line, progress in rows), deposit.currency)


def _deduct_goods(deposit: Deposit) -> tuple[RefundLine, ...]:
    """The price paid for units that the buyer has, less what rulings gave back of it. Rounded down for each line."""
    rows = zip(
        deposit.split_paid_by_line(), deposit.lines, deposit.progress, deposit.sum_rulings_by_line(), strict=True
    )
    shares = (paid.share_floor(progress.units_kept, line.quantity) - ruled for paid, line, progress, ruled in rows)
    kept = total((max(share, Money.zero(deposit.currency)) for share in shares), deposit.currency)
    return (RefundLine(LineCode.GOODS_KEPT, -kept, "terms/goods_kept"),) if kept else ()


def _deduct_goods_sent_before(deposit: Deposit, at: int) -> tuple[RefundLine, ...]:
    """Goods shipped by ``at``. Before a final lock that needs a later undo whose request came before the shipment."""
    shipped_at = (progress.first_shipped_at for progress in deposit.progress)
    return _deduct_goods(deposit) if any(first is not None and first <= at for first in shipped_at) else ()


def _build_entitlement(
    deposit: Deposit, rule: str, deductions: Sequence[RefundLine] = (), compensation: Money | None = None
) -> Entitlement:
    """All counted money that no refund has taken yet, less the deductions, each taken from the earliest capture."""
    zero = Money.zero(deposit.currency)
    deductions = tuple(_limit_deductions(deposit, deductions))
    legs = tuple(_build_legs(deposit, deductions))
    lines = tuple(_sum_by_code(legs)) or (RefundLine(LineCode.PAID, zero),)
    forfeited = total((-line.amount for line in deductions if line.code == LineCode.FORFEITED), deposit.currency)
    amount = total((leg.amount for leg in legs), deposit.currency)
    fees_kept = total((-line.amount for line in deductions if line.code in FEES), deposit.currency)
    return Entitlement(amount, lines, forfeited, fees_kept, compensation or zero, rule, legs)


def _limit_deductions(deposit: Deposit, deductions: Sequence[RefundLine]) -> Iterator[RefundLine]:
    """The deductions, cut to the money that no refund has taken yet."""
    left = total((deposit.compute_unrefunded(counted) for counted in deposit.counted_captures), deposit.currency)
    for deduction in deductions:
        kept = min(-deduction.amount, left)
        left -= kept
        if kept:
            yield replace(deduction, amount=-kept)


def _build_legs(deposit: Deposit, deductions: Sequence[RefundLine]) -> Iterator[Leg]:
    remaining = list(deductions)
    for counted in deposit.counted_captures:
        lines = [RefundLine(LineCode.PAID, counted.amount)]
        refunded = sum_decided_refunds(deposit, counted)
        if refunded:
            lines.append(RefundLine(LineCode.ALREADY_REFUNDED, -refunded))
        available = counted.amount - refunded
        for place, deduction in enumerate(remaining):
            part = min(-deduction.amount, available)
            if part:
                lines.append(replace(deduction, amount=-part))
                available -= part
                remaining[place] = replace(deduction, amount=deduction.amount + part)
        yield Leg(counted.payment, counted.capture, tuple(lines))
    assert not any(deduction.amount for deduction in remaining), deposit.id


def sum_decided_refunds(deposit: Deposit, counted: Capture) -> Money:
    """The sum of refunds decided against a capture, in any status."""
    return counted.amount - deposit.compute_unrefunded(counted)


def _sum_by_code(legs: Sequence[Leg]) -> Iterator[RefundLine]:
    """The lines of all legs, summed by code."""
    sums: dict[str, RefundLine] = {}
    for line in (line for leg in legs for line in leg.lines):
        before = sums.get(line.code)
        sums[line.code] = line if before is None else replace(line, amount=before.amount + line.amount)
    yield from sums.values()

"""What comes back, and why: the one function behind preview, curve and decision."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chalicelib.core import earnest, statutory
from chalicelib.core.deposit import Counted, Deposit, Status, lock_at, status_at
from chalicelib.core.events import RefundLine
from chalicelib.core.money import Money, total
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.terms import Terms


@dataclass(frozen=True, slots=True)
class Leg:
    """What goes back against one capture: a provider gives back to the source at most what it took there."""

    payment: int
    capture: str
    lines: tuple[RefundLine, ...]

    @property
    def amount(self) -> Money:
        return total((line.amount for line in self.lines), self.lines[0].amount.currency)


@dataclass(frozen=True, slots=True)
class Entitlement:
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

    def __post_init__(self) -> None:
        assert sum(line.amount.minor for line in self.lines) == self.amount.minor, self
        assert all(line.rule is not None for line in self.lines if line.code in {"forfeited", "goods_kept"}), self


def of(deposit: Deposit, terms: Terms, cause: str, at: int) -> Entitlement:
    """What the buyer gets when the deposit ends for ``cause`` at an instant.

    Refuses ALREADY_CANCELLED and WRONG_STATE as the command would, WITHDRAWAL_NOT_AVAILABLE where the market or the
    goods know none or its period is over.
    """
    status = status_at(deposit, at)
    if cause == "withdrawal":
        refuse_ended(status, completed_too=False)
        statutory.refuse(deposit, terms, at)
        return _owed(deposit, "terms/withdrawal")
    refuse_ended(status)
    if cause == "merchant_cancel":
        return _owed(deposit, "terms/merchant_cancel", _goods_kept(deposit), _doubled(deposit, terms))
    return _buyer_leaves(deposit, terms, status, at)


def at_stake(deposit: Deposit, terms: Terms) -> Money:
    """What a cancel would cost once a lock is final, as the deposit stands."""
    if terms.after_lock.buyer_cancel == "refund":
        return Money.zero(deposit.currency)
    return _forfeitable(deposit, terms)


@dataclass(frozen=True, slots=True)
class Step:
    """What a buyer's cancel gives back in a half-open span; ``to`` None is for ever."""

    start: int
    to: int | None
    owed: Entitlement


def curve(deposit: Deposit, terms: Terms, at: int) -> tuple[Step, ...]:
    """What a buyer's cancel gives back from ``at`` on, one step for each change: "free until ..., then ..."."""
    starts = [at, *sorted(instant for instant in _changes(deposit) if instant > at)]
    owed = [of(deposit, terms, "buyer_cancel", start) for start in starts]
    kept = [i for i in range(len(starts)) if i == 0 or owed[i] != owed[i - 1]]
    ends = [starts[i] for i in kept[1:]]
    return tuple(Step(starts[i], end, owed[i]) for i, end in zip(kept, [*ends, None], strict=True))


def _changes(deposit: Deposit) -> set[int]:
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


def _buyer_leaves(deposit: Deposit, terms: Terms, status: Status, at: int) -> Entitlement:
    """By a cancel, or by a default after it: the same rule."""
    if status is Status.AWAITING_PAYMENT:
        return _owed(deposit, "terms/unpaid")
    lock = lock_at(deposit, at)
    if lock is None:
        return _owed(deposit, "terms/window", _sent_before(deposit, at))
    if not lock.final(at):
        return _owed(deposit, "terms/undo", _sent_before(deposit, at))
    gone = _goods_kept(deposit)
    kept = at_stake(deposit, terms)
    if not kept:
        return _owed(deposit, "terms/refund_after_lock", gone)
    rule = f"{terms.policy.id}/{terms.policy.forfeit.rule}"
    return _owed(deposit, rule, (RefundLine("forfeited", -kept, rule), *gone))


def _forfeitable(deposit: Deposit, terms: Terms) -> Money:
    """The most that may be kept: the deposit itself, never shipping or balance, as the earnest rule says."""
    law = terms.policy
    custom = all(line.made_to_spec for line in deposit.lines)
    keepable = law.forfeit.allowed == "always" or (law.forfeit.allowed == "made_to_spec" and custom)
    settled = earnest.settle(
        _earnest_money(deposit),
        deposit.items_total,
        _undelivered(deposit),
        default="buyer",
        earnest=terms.payment.nature == "earnest",
        keepable=keepable,
        law=law,
    )
    spoken_for = deposit.shipping + total((-line.amount for line in _goods_kept(deposit)), deposit.currency)
    return min(settled.forfeited, max(deposit.money.held - spoken_for, Money.zero(deposit.currency)))


def _doubled(deposit: Deposit, terms: Terms) -> Money:
    """What a seller in default owes on top: earnest money once more, within the cap, where the market doubles."""
    if deposit.paid is None:
        return Money.zero(deposit.currency)
    settled = earnest.settle(
        _earnest_money(deposit),
        deposit.items_total,
        _undelivered(deposit),
        default="seller",
        earnest=terms.payment.nature == "earnest",
        keepable=True,
        law=terms.policy,
    )
    return settled.compensation


def _earnest_money(deposit: Deposit) -> Money:
    """The deposit itself, without shipping; a change to cheaper goods may have given back a part of it."""
    return min(deposit.created.due_now - deposit.created.shipping, deposit.items_total)


def _undelivered(deposit: Deposit) -> Money:
    left = (
        line.unit_price * (line.quantity - one.shipped)
        for line, one in zip(deposit.lines, deposit.progress, strict=True)
    )
    return total(left, deposit.currency)


def _goods_kept(deposit: Deposit) -> tuple[RefundLine, ...]:
    """What was paid for units that are with the buyer; floored, so that a rest goes back."""
    shares = zip(deposit.paid_by_line(), deposit.lines, deposit.progress, strict=True)
    kept = total((paid.share_floor(one.shipped, line.quantity) for paid, line, one in shares), deposit.currency)
    return (RefundLine("goods_kept", -kept, "terms/goods_kept"),) if kept else ()


def _sent_before(deposit: Deposit, at: int) -> tuple[RefundLine, ...]:
    """Units that left before a free cancel was asked, which takes an undo that was asked before and worked off after."""
    left_at = (one.first_shipped_at for one in deposit.progress)
    return _goods_kept(deposit) if any(first is not None and first <= at for first in left_at) else ()


def _owed(
    deposit: Deposit, rule: str, deductions: Sequence[RefundLine] = (), compensation: Money | None = None
) -> Entitlement:
    """Everything that counted and has not gone back yet, less the deductions; each taken from the earliest capture."""
    zero = Money.zero(deposit.currency)
    legs = tuple(_legs(deposit, deductions))
    lines = tuple(_summed(legs)) or (RefundLine("paid", zero),)
    forfeited = total((-line.amount for line in deductions if line.code == "forfeited"), deposit.currency)
    amount = total((leg.amount for leg in legs), deposit.currency)
    return Entitlement(amount, lines, forfeited, zero, compensation or zero, rule, legs)


def _legs(deposit: Deposit, deductions: Sequence[RefundLine]) -> Iterator[Leg]:
    left = list(deductions)
    for counted in deposit.counted:
        lines = [RefundLine("paid", counted.amount)]
        gone = gone_back(deposit, counted)
        if gone:
            lines.append(RefundLine("already_refunded", -gone))
        available = counted.amount - gone
        for place, deduction in enumerate(left):
            part = min(-deduction.amount, available)
            if part:
                lines.append(RefundLine(deduction.code, -part, deduction.rule))
                available -= part
                left[place] = RefundLine(deduction.code, deduction.amount + part, deduction.rule)
        yield Leg(counted.payment, counted.capture, tuple(lines))
    assert not any(deduction.amount for deduction in left), deposit.id


def gone_back(deposit: Deposit, counted: Counted) -> Money:
    """What has been decided to go back against a capture, in whatever state that refund is."""
    against = (refund.amount for refund in deposit.refunds if refund.capture == counted.capture)
    return total(against, deposit.currency)


def _summed(legs: Sequence[Leg]) -> Iterator[RefundLine]:
    """The legs' lines together, one for each code."""
    sums: dict[str, RefundLine] = {}
    for line in (line for leg in legs for line in leg.lines):
        before = sums.get(line.code)
        sums[line.code] = line if before is None else RefundLine(line.code, before.amount + line.amount, line.rule)
    yield from sums.values()

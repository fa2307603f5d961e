"""What comes back, and why: the one function behind preview, curve and decision."""

from dataclasses import dataclass

from chalicelib.core.deposit import Deposit, Status, lock_at, status_at
from chalicelib.core.events import RefundLine
from chalicelib.core.market import Market
from chalicelib.core.money import Money
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.terms import Terms


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What ending the deposit gives back. ``lines`` sum to ``amount``; ``rule`` names what decided it.

    ``compensation`` is a second leg on top, never out of the buyer's money.
    """

    amount: Money
    lines: tuple[RefundLine, ...]
    forfeited: Money
    fees: Money
    compensation: Money
    rule: str

    def __post_init__(self) -> None:
        assert sum(line.amount.minor for line in self.lines) == self.amount.minor, self
        assert all(line.rule is not None for line in self.lines if line.code == "forfeited"), self


def of(deposit: Deposit, terms: Terms, cause: str, at: int) -> Entitlement:
    """What the buyer gets when the deposit ends for ``cause`` at an instant.

    Refuses ALREADY_CANCELLED and WRONG_STATE as the command would, WITHDRAWAL_NOT_AVAILABLE where the market or the
    goods know none.
    """
    status = status_at(deposit, at)
    refuse_ended(status)
    if cause == "withdrawal":
        return _withdrawal(deposit, terms)
    if cause == "merchant_cancel":
        return _everything(deposit, "terms/merchant_cancel", _doubled(deposit, terms))
    return _buyer_cancel(deposit, terms, status, at)


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


def refuse_ended(status: Status) -> None:
    """A deposit that has ended cannot be ended again."""
    if status is Status.CANCELLED:
        raise Refused(Reason.ALREADY_CANCELLED)
    if status in {Status.EXPIRED, Status.COMPLETED}:
        raise Refused(Reason.WRONG_STATE, state=status.value)


def _buyer_cancel(deposit: Deposit, terms: Terms, status: Status, at: int) -> Entitlement:
    if status is Status.AWAITING_PAYMENT:
        return _everything(deposit, "terms/unpaid")
    lock = lock_at(deposit, at)
    if lock is None:
        return _everything(deposit, "terms/window")
    if not lock.final(at):
        return _everything(deposit, "terms/undo")
    if terms.after_lock.buyer_cancel == "refund":
        return _everything(deposit, "terms/refund_after_lock")
    kept = _forfeitable(deposit, terms)
    if not kept:
        return _everything(deposit, "terms/refund_after_lock")
    rule = f"{terms.policy.id}/{terms.policy.forfeit.rule}"
    return _less(deposit, kept, rule)


def _forfeitable(deposit: Deposit, terms: Terms) -> Money:
    """The most that may be kept: the deposit itself, never shipping or balance, within the market's cap."""
    law = terms.policy
    everything_custom = all(line.made_to_spec for line in deposit.lines)
    if law.forfeit.allowed == "never" or (law.forfeit.allowed == "made_to_spec" and not everything_custom):
        return Money.zero(deposit.currency)
    earnest = deposit.created.due_now - deposit.created.shipping
    goods_held = max(deposit.money.held - deposit.created.shipping, Money.zero(deposit.currency))
    return min(_capped(deposit, earnest, law), goods_held)


def _capped(deposit: Deposit, earnest: Money, law: Market) -> Money:
    """PRC Civil Code art. 586: what exceeds the cap has no earnest effect. Floored to the minor unit."""
    if law.forfeit.cap_percent is None:
        return earnest
    return min(earnest, deposit.items_total.percent_floor(law.forfeit.cap_percent))


def _doubled(deposit: Deposit, terms: Terms) -> Money:
    """What a seller in default owes on top: earnest money once more, within the cap, where the market doubles."""
    law = terms.policy
    if deposit.paid is None or terms.payment.nature != "earnest" or law.seller_default.multiplier == 1:
        return Money.zero(deposit.currency)
    return _capped(deposit, deposit.created.due_now - deposit.created.shipping, law)


def _withdrawal(deposit: Deposit, terms: Terms) -> Entitlement:
    if terms.policy.withdrawal is None or any(line.made_to_spec for line in deposit.lines):
        raise Refused(Reason.WITHDRAWAL_NOT_AVAILABLE)
    return _everything(deposit, "terms/withdrawal")


def _everything(deposit: Deposit, rule: str, compensation: Money | None = None) -> Entitlement:
    zero = Money.zero(deposit.currency)
    return Entitlement(deposit.money.held, _paid_lines(deposit), zero, zero, compensation or zero, rule)


def _less(deposit: Deposit, kept: Money, rule: str) -> Entitlement:
    zero = Money.zero(deposit.currency)
    lines = (*_paid_lines(deposit), RefundLine("forfeited", -kept, rule))
    return Entitlement(deposit.money.held - kept, lines, kept, zero, zero, rule)


def _paid_lines(deposit: Deposit) -> tuple[RefundLine, ...]:
    money = deposit.money
    gone = money.refunding + money.refunded
    paid = RefundLine("paid", money.captured)
    if not gone:
        return (paid,)
    return (paid, RefundLine("already_refunded", -gone))

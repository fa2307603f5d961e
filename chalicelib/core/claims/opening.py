"""Opening a claim: which claims a buyer may open, until when, and the amount owed at least."""

from typing import Final

from chalicelib.core.claims import remedy, schedule
from chalicelib.core.common import instants
from chalicelib.core.common.ids import child
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.delivery import fulfilment
from chalicelib.core.deposit.claim import ClaimStatus
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.claim import ClaimOpened
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.status import FINAL, Status
from chalicelib.core.merchant import cancellation
from chalicelib.core.policy import claim_rules
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.core.policy.terms import Terms

GOODS_KIND: Final = "short_shipment"
AMOUNT_KINDS: Final = frozenset({"refund_amount", "other"})
KINDS_RULED_ONCE: Final = frozenset({"short_shipment", "mistaken_lock", "trade_in"})
KINDS_WITHOUT_MONEY: Final = frozenset({"merchant_cancellation", "privacy"})


class OpenClaim(Command, frozen=True):
    """The buyer opens a claim: ``lines`` for missing goods, ``amount`` for kinds where no rule computes it."""

    kind: ClaimKind
    statement: str
    lines: tuple[Units, ...] = ()
    amount: Money | None = None
    evidence: tuple[str, ...] = ()


def refuse_opening(deposit: Deposit, at: int, _terms: Terms) -> None:
    """WRONG_STATE before the lock, CLAIM_CLOSED after the time for claims, RATE_LIMITED after too many claims."""
    status, rules = status_at(deposit, at), claim_rules.find_claim_rules(at)
    if status not in {Status.LOCKED, Status.COMPLETED, Status.CANCELLED}:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    until = _compute_opening_end(deposit)
    if until is not None and at >= until:
        raise Refused(Reason.CLAIM_CLOSED, until=until)
    if len(deposit.claims) >= rules.most_claims:
        raise Refused(Reason.RATE_LIMITED, most=rules.most_claims)


def _compute_opening_end(deposit: Deposit) -> int | None:
    """When claims close: a time after the last shipment or the cancellation, whichever is later; None before that.

    The time in force when it began applies, so that an announced end does not move.
    """
    if deposit.status not in FINAL:
        return None
    ends = [progress.last_shipped_at for progress in deposit.progress if progress.last_shipped_at is not None]
    ends += [deposit.cancelled.at] if deposit.cancelled is not None else []
    return max(ends) + instants.duration_ms(claim_rules.find_claim_rules(max(ends)).open_for) if ends else None


def open_claim(deposit: Deposit, command: OpenClaim, at: int, terms: Terms) -> ClaimOpened:
    """The claim. The amount owed is computed now and recorded; an offer cannot be below it."""
    refuse_claim_fields(deposit, command)
    rules = claim_rules.find_claim_rules(at)
    if not rules.accepts_kind(command.kind, at):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/kind", "choice")])
    refuse_opening(deposit, at, terms)
    _refuse_kind(deposit, command, at, terms)
    _refuse_second_open_claim(deposit, command)
    _refuse_ruled_again(deposit, command)
    owed = remedy.compute_owed(deposit, command.kind, command.lines, command.amount)
    if command.kind not in KINDS_WITHOUT_MONEY:
        refuse_beyond_free_money(deposit, max(owed, command.amount) if command.amount is not None else owed)
    within = terms.claims.platform_decision if command.kind == "privacy" else terms.claims.merchant_response
    due_at = at + instants.duration_ms(within)
    return ClaimOpened(
        at=at,
        claim=len(deposit.claims) + 1,
        kind=command.kind,
        owed=owed,
        contested=is_contested(deposit, command.lines),
        statement=command.statement,
        due_at=due_at,
        decide_within=terms.claims.platform_decision,
        refund_deadline=terms.refund.deadline,
        amount=command.amount,
        lines=command.lines,
        evidence=command.evidence,
        remind_at=schedule.compute_reminders(rules, at, due_at),
    )


def is_contested(deposit: Deposit, lines: tuple[Units, ...]) -> bool:
    """Whether the merchant recorded some of these units as shipped, which alone does not prove it."""
    to_ship = fulfilment.list_units_to_ship(deposit)
    return any(units.quantity > to_ship[units.line - 1] for units in lines)


def refuse_claim_fields(deposit: Deposit, command: OpenClaim) -> None:
    """INVALID_REQUEST unless lines come with a claim on goods and an amount with a kind that needs it, and only then."""
    of_goods, of_amounts = command.kind == GOODS_KIND, command.kind in AMOUNT_KINDS
    if of_goods != bool(command.lines):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/lines", "missing" if of_goods else "not_here")])
    if of_amounts != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "missing" if of_amounts else "not_here")])
    fulfilment.refuse_units(command.lines, deposit)
    refuse_other_currency(deposit, command.amount)


def _refuse_kind(deposit: Deposit, command: OpenClaim, at: int, terms: Terms) -> None:
    match command.kind:
        case "short_shipment":
            _refuse_goods(deposit, command.lines, at, terms)
        case "mistaken_lock":
            _refuse_lock(deposit, at)
        case "merchant_cancellation":
            _refuse_appeal(deposit, at)
        case "trade_in":
            if deposit.created.trade_in is None or deposit.status is not Status.CANCELLED:
                raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
        case _:
            pass


def _refuse_goods(deposit: Deposit, lines: tuple[Units, ...], at: int, terms: Terms) -> None:
    """WRONG_STATE for units already paid back, and for units not recorded as shipped before the promised delivery time.

    While a balance is unpaid nothing can be shipped: then a claim needs a promised time, and must be about the whole order.
    """
    for units in lines:
        claimable = remedy.count_claimable(deposit, units.line)
        if units.quantity > claimable:
            raise Refused(Reason.WRONG_STATE, line=units.line, left=claimable)
    lock = lock_at(deposit, at)
    if lock is not None and terms.delivery.within is not None:
        claimable_at = lock.at + instants.duration_ms(terms.delivery.within)
        to_ship = fulfilment.list_units_to_ship(deposit)
        if any(to_ship[units.line - 1] for units in lines) and at < claimable_at:
            raise Refused(Reason.WRONG_STATE, claimable_at=claimable_at)
    promised = terms.delivery.within is not None and remedy.is_nothing_shipped(deposit, lines)
    if deposit.status is not Status.CANCELLED and deposit.balance and not promised:
        raise Refused(Reason.WRONG_STATE, balance=deposit.balance)


def _refuse_lock(deposit: Deposit, at: int) -> None:
    """WRONG_STATE unless the buyer or a payment locked the deposit; CLAIM_CLOSED after the time for this claim."""
    lock = lock_at(deposit, at)
    if lock is None or lock.by == "window_end":
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
    until = lock.at + instants.duration_ms(claim_rules.find_claim_rules(lock.at).mistaken_lock_for)
    if at >= until:
        raise Refused(Reason.CLAIM_CLOSED, until=until)


def _refuse_appeal(deposit: Deposit, at: int) -> None:
    """WRONG_STATE unless a merchant cancelled for a reason with an appeal; CLAIM_CLOSED after a decided appeal."""
    ended = deposit.cancelled
    reason = cancellation.find_cited_reason(ended) if ended is not None else None
    if reason is None or not reason.appealable:
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
    appeals = (claim for claim in deposit.claims if claim.opened.kind == "merchant_cancellation")
    decided = next((claim for claim in appeals if not claim.open and claim.status is not ClaimStatus.WITHDRAWN), None)
    if decided is not None:
        raise Refused(Reason.CLAIM_CLOSED, claim=child("clm", deposit.id, decided.n))


def _refuse_second_open_claim(deposit: Deposit, command: OpenClaim) -> None:
    """FUNDS_IN_DISPUTE while another claim of the kind is open, for goods: on the same lines."""
    named = {units.line for units in command.lines}
    for claim in deposit.open_claims:
        same_lines = not named.isdisjoint(units.line for units in claim.opened.lines)
        if claim.opened.kind == command.kind and (same_lines or not named):
            raise Refused(Reason.FUNDS_IN_DISPUTE, claim=child("clm", deposit.id, claim.n))


def _refuse_ruled_again(deposit: Deposit, command: OpenClaim) -> None:
    """CLAIM_CLOSED where the platform has ruled on the same claim. Kinds without a fixed subject may be claimed again."""
    named = {units.line for units in command.lines}
    for claim in deposit.claims:
        same_lines = not named.isdisjoint(units.line for units in claim.opened.lines)
        same = claim.opened.kind == command.kind and (same_lines or not named)
        ruled = claim.status in {ClaimStatus.DISMISSED, ClaimStatus.PARTLY}
        if command.kind in KINDS_RULED_ONCE and ruled and same:
            raise Refused(Reason.CLAIM_CLOSED, claim=child("clm", deposit.id, claim.n))


def refuse_beyond_free_money(deposit: Deposit, amount: Money, own: Money | None = None) -> None:
    """Raises Refused for an amount above the money that is not refunded, disputed or claimed.

    ``own``: what the claim itself reserves. FUNDS_IN_DISPUTE, REFUND_EXCEEDS_REFUNDABLE.
    """
    remaining, zero = remedy.sum_remaining(deposit), remedy.zero(deposit)
    disputed = total(
        (
            deposit.compute_unrefunded(captured)
            for captured in deposit.counted_captures
            if deposit.is_disputed(captured.capture)
        ),
        deposit.currency,
    )
    free = max(remaining - disputed - deposit.claimed_amount + (own or zero), zero)
    if zero < amount <= free:
        return
    in_dispute = zero < amount <= remaining
    raise Refused(Reason.FUNDS_IN_DISPUTE if in_dispute else Reason.REFUND_EXCEEDS_REFUNDABLE, refundable=free)


def refuse_other_currency(deposit: Deposit, amount: Money | None) -> None:
    if amount is not None and amount.currency != deposit.currency:
        raise Refused(Reason.CURRENCY_MISMATCH, [FieldError("/amount", "currency_mismatch")])


COMMANDS: Final[Commands] = (CommandRow(OpenClaim, open_claim, Action("buyer", "claims", refuse_opening), needed),)

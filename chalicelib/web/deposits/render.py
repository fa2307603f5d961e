"""A deposit as an answer: rendered from the state and the instant, reading nothing else."""

from typing import Final

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import SECOND, format_instant
from chalicelib.core.common.journal import Caller, Entry
from chalicelib.core.deadlines import awaited
from chalicelib.core.decide import actions
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_json import to_json
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.ledger import Balances
from chalicelib.core.deposit.lock import Lock, Window
from chalicelib.core.deposit.payment import Payment, PaymentStatus
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending.entitlement import Entitlement, Step
from chalicelib.core.merchant import cancellation
from chalicelib.core.policy import offer_terms, payment_routes
from chalicelib.core.policy.terms import Terms
from chalicelib.core.policy.texts import text
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.deposits.answers import (
    CancellationAnswer,
    CurvePointAnswer,
    DepositAnswer,
    EventAnswer,
    ItemAnswer,
    LockAnswer,
    MoneyStateAnswer,
    PaymentAnswer,
    PreviewAnswer,
    RefundPathAnswer,
    WindowAnswer,
)
from chalicelib.web.edge.values import money
from chalicelib.web.refunds.render import lines, refund, rule
from chalicelib.web.tradeins.render import trade_in

# An event's own instant stands beside its data; where stock was drawn is nobody's business but ours. The end of a statutory
# period is one only where these goods were the last to arrive, which the event alone does not tell.
UNSHOWN: Final = frozenset({"at", "batch", "stock", "limit_units", "token_key", "withdrawal_ends_at"})


def deposit(outcome: Outcome, caller: Caller) -> DepositAnswer:
    """The whole deposit as this caller sees it at the outcome's instant, in the outcome's language."""
    snapshot = outcome.snapshot
    seen, at = snapshot.deposit, snapshot.at
    created = seen.created
    return {
        "id": seen.id,
        "object": "deposit",
        "version": seen.version,
        "status": snapshot.status.value,
        "offer": created.offer,
        "merchant": created.merchant,
        "buyer": created.buyer,
        "items": _items(seen),
        "items_total": money(seen.items_total),
        "shipping": money(seen.shipping),
        "total": money(seen.total),
        "due_now": money(created.due_now),
        "balance": money(seen.balance),
        "balance_due_at": _balance_due_at(seen),
        "terms_hash": created.terms_hash,
        "payment": payment(seen, seen.payment),
        "window": _window(seen.window, at),
        "lock": _lock(snapshot.lock, at),
        "trade_in": trade_in(seen),
        "refund": refund(seen, seen.refund, outcome.locale) if seen.refund is not None else None,
        "money": _balances(seen.money),
        "refundable": money(seen.refundable),
        "refund_path": _refund_path(seen, outcome.terms),
        "cancellation": _cancellation(seen, outcome.locale),
        "priority_pass": created.priority.id if created.priority is not None else None,
        "actions": list(actions(seen, caller.role, at, outcome.terms)),
        "created_at": format_instant(seen.created_at),
        "updated_at": format_instant(seen.updated_at),
    }


def preview(owed: Entitlement, cause: Cause, at: int, locale: str) -> PreviewAnswer:
    return {
        "at": format_instant(at),
        "cause": cause,
        "amount": money(owed.amount),
        "lines": lines(owed.lines, cause, locale),
        "forfeited": money(owed.forfeited),
        "fees": money(owed.fees),
        "compensation": money(owed.compensation),
        "rule": rule(owed.rule, locale),
    }


def curve_point(step: Step, locale: str) -> CurvePointAnswer:
    return {
        "from": format_instant(step.start),
        "to": format_instant(step.to) if step.to is not None else None,
        "amount": money(step.owed.amount),
        "lines": lines(step.owed.lines, Cause.BUYER_CANCEL, locale),
    }


def event(of: str, version: int, entry: Entry[DepositEvent]) -> EventAnswer:
    """One place of the journal. Its data holds ids, instants and amounts, never personal data."""
    members = to_json(entry.event, write_empty=True)
    return {
        "id": child("evt", of, version),
        "type": entry.event.TYPE,
        "at": format_instant(entry.event.at),
        "received_at": format_instant(entry.received_at),
        "actor": {"role": entry.by.role, "id": entry.by.id if entry.by.id.startswith("usr_") else None},
        "version": version,
        "data": {name: value for name, value in members.items() if name not in UNSHOWN},
    }


def _items(of: Deposit) -> list[ItemAnswer]:
    paid = of.paid_by_line()
    return [
        {
            "line": n,
            "sku": line.sku,
            "quantity": line.quantity,
            "unit_price": money(line.unit_price),
            "paid": money(paid[n - 1]),
            "shipped": one.shipped,
        }
        for n, (line, one) in enumerate(zip(of.lines, of.progress, strict=True), start=1)
    ]


def payment(of: Deposit, one: Payment) -> PaymentAnswer:
    payment_id = child("pay", of.id, one.n)
    payable = one.status in {PaymentStatus.REQUIRES_ACTION, PaymentStatus.FAILED} and may_be_paid(of, one)
    return {
        "id": payment_id,
        "method": one.method,
        "status": one.status.value,
        "amount": money(one.amount),
        "due_at": format_instant(one.due_at),
        "next_action": {"type": "redirect", "url": f"/pay/{payment_id}"} if payable else None,
    }


def may_be_paid(of: Deposit, one: Payment) -> bool:
    """Whether the deposit still waits for this payment."""
    if one.kind == "balance":
        return awaited(of) == one
    return of.status is Status.AWAITING_PAYMENT


def _balance_due_at(of: Deposit) -> str | None:
    return format_instant(of.balance_due_at) if of.balance_due_at is not None and of.balance else None


def _window(window: Window | None, at: int) -> WindowAnswer | None:
    if window is None:
        return None
    ends_at = window.ends_at
    left = None if ends_at is None else max(ends_at - at, 0) // SECOND
    return {
        "starts_at": format_instant(window.starts_at),
        "ends_at": format_instant(ends_at) if ends_at is not None else None,
        "remaining_seconds": left,
    }


def _lock(lock: Lock | None, at: int) -> LockAnswer | None:
    if lock is None:
        return None
    return {
        "by": lock.by,
        "at": format_instant(lock.at),
        "undo_until": format_instant(lock.undo_until) if lock.undo_until is not None else None,
        "final": lock.final(at),
    }


def _balances(held: Balances) -> MoneyStateAnswer:
    return {
        "captured": money(held.captured),
        "held": money(held.held),
        "refunding": money(held.refunding),
        "refunded": money(held.refunded),
        "forfeited": money(held.forfeited),
        "fees": money(held.fees),
        "compensation": money(held.compensation),
    }


def _cancellation(of: Deposit, locale: str) -> CancellationAnswer | None:
    """Why it ended before its time, in the reader's language, and what the buyer can do about it."""
    ended = of.cancelled
    if ended is None:
        return None
    published = cancellation.cited(ended)
    return {
        "cause": ended.cause,
        "at": format_instant(ended.at),
        "reason": ended.reason,
        "label": text("reasons", published.texts, "label", locale=locale) if published is not None else None,
        "evidence": list(ended.evidence),
        "appealable": published is not None and published.appealable,
        "priority_pass": child("pas", of.id, of.passes[0].n) if of.passes else None,
    }


def _refund_path(of: Deposit, under: Terms) -> RefundPathAnswer:
    """Told when it is sold: a way back that may close before the order comes to its end."""
    latest = of.counted[-1] if of.counted else None
    payment = of.payments[latest.payment - 1] if latest is not None else of.payment
    route = payment_routes.route(payment.method, latest.at if latest is not None else payment.opened_at)
    ends_at = payment_routes.ends_at(route, latest.at) if latest is not None else None
    return {
        "kind": "original_method" if route.to_source else "payout",
        "ends_at": format_instant(ends_at) if ends_at is not None else None,
        "outlived": route.to_source and offer_terms.outlives(under, route.window_days),
    }

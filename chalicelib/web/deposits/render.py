"""Deposits, previews and histories as answers: rendered from the state and the instant, without reading anything else."""

from typing import Final

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import SECOND, format_instant
from chalicelib.core.common.journal import Caller, Entry
from chalicelib.core.decide import actions
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_json import to_json
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.ledger import Balances
from chalicelib.core.deposit.lock import Lock, Window
from chalicelib.core.deposit.payment import Payment, PaymentStatus, may_be_paid
from chalicelib.core.ending.entitlement import Entitlement, Step
from chalicelib.core.merchant import cancellation
from chalicelib.core.policy import offer_terms, payment_routes
from chalicelib.core.policy.terms import Terms
from chalicelib.core.policy.texts import read_text
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

# An event's own instant stands beside its data; where stock was drawn is internal. The end of a statutory period holds
# only where these goods were the last to arrive, which the event alone does not tell.
UNSHOWN: Final = frozenset({"at", "batch", "stock", "limit_units", "token_key", "withdrawal_ends_at"})


def deposit(outcome: Outcome, caller: Caller) -> DepositAnswer:
    """The whole deposit as this caller sees it at the outcome's instant, in the outcome's language."""
    snapshot = outcome.snapshot
    current, at = snapshot.deposit, snapshot.at
    created = current.created
    return {
        "id": current.id,
        "object": "deposit",
        "version": current.version,
        "status": snapshot.status.value,
        "offer": created.offer,
        "merchant": created.merchant,
        "buyer": created.buyer,
        "items": _items(current),
        "items_total": money(current.items_total),
        "shipping": money(current.shipping),
        "total": money(current.total),
        "due_now": money(created.due_now),
        "balance": money(current.balance),
        "balance_due_at": _balance_due_at(current),
        "terms_hash": created.terms_hash,
        "payment": payment(current, current.payment),
        "window": _window(current.window, at),
        "lock": _lock(snapshot.lock, at),
        "trade_in": trade_in(current),
        "refund": refund(current, current.refund, outcome.locale) if current.refund is not None else None,
        "money": _balances(current.money),
        "refundable": money(current.refundable),
        "refund_path": _refund_path(current, outcome.terms),
        "cancellation": _cancellation(current, outcome.locale),
        "priority_pass": created.priority.id if created.priority is not None else None,
        "actions": list(actions(current, caller.role, at, outcome.terms)),
        "created_at": format_instant(current.created_at),
        "updated_at": format_instant(current.updated_at),
    }


def preview(entitlement: Entitlement, cause: Cause, at: int, locale: str) -> PreviewAnswer:
    return {
        "at": format_instant(at),
        "cause": cause,
        "amount": money(entitlement.amount),
        "lines": lines(entitlement.lines, cause, locale),
        "forfeited": money(entitlement.forfeited),
        "fees": money(entitlement.fees),
        "compensation": money(entitlement.compensation),
        "rule": rule(entitlement.rule, locale),
    }


def curve_point(step: Step, locale: str) -> CurvePointAnswer:
    return {
        "from": format_instant(step.start),
        "to": format_instant(step.to) if step.to is not None else None,
        "amount": money(step.owed.amount),
        "lines": lines(step.owed.lines, Cause.BUYER_CANCEL, locale),
    }


def event(deposit_id: str, version: int, entry: Entry[DepositEvent]) -> EventAnswer:
    """One event of the journal. Its data holds ids, instants and amounts, never personal data."""
    members = to_json(entry.event, write_empty=True)
    return {
        "id": child("evt", deposit_id, version),
        "type": entry.event.TYPE,
        "at": format_instant(entry.event.at),
        "received_at": format_instant(entry.received_at),
        "actor": {"role": entry.by.role, "id": entry.by.id if entry.by.id.startswith("usr_") else None},
        "version": version,
        "data": {name: value for name, value in members.items() if name not in UNSHOWN},
    }


def _items(deposit: Deposit) -> list[ItemAnswer]:
    paid = deposit.split_paid_by_line()
    return [
        {
            "line": n,
            "sku": line.sku,
            "quantity": line.quantity,
            "unit_price": money(line.unit_price),
            "paid": money(paid[n - 1]),
            "shipped": progress.shipped,
        }
        for n, (line, progress) in enumerate(zip(deposit.lines, deposit.progress, strict=True), start=1)
    ]


def payment(deposit: Deposit, payment: Payment) -> PaymentAnswer:
    payment_id = child("pay", deposit.id, payment.n)
    payable = payment.status in {PaymentStatus.REQUIRES_ACTION, PaymentStatus.FAILED} and may_be_paid(deposit, payment)
    return {
        "id": payment_id,
        "method": payment.method,
        "status": payment.status.value,
        "amount": money(payment.amount),
        "due_at": format_instant(payment.due_at),
        "next_action": {"type": "redirect", "url": f"/pay/{payment_id}"} if payable else None,
    }


def _balance_due_at(deposit: Deposit) -> str | None:
    return format_instant(deposit.balance_due_at) if deposit.balance_due_at is not None and deposit.balance else None


def _window(window: Window | None, at: int) -> WindowAnswer | None:
    if window is None:
        return None
    ends_at = window.ends_at
    remaining = None if ends_at is None else max(ends_at - at, 0) // SECOND
    return {
        "starts_at": format_instant(window.starts_at),
        "ends_at": format_instant(ends_at) if ends_at is not None else None,
        "remaining_seconds": remaining,
    }


def _lock(lock: Lock | None, at: int) -> LockAnswer | None:
    if lock is None:
        return None
    return {
        "by": lock.by,
        "at": format_instant(lock.at),
        "undo_until": format_instant(lock.undo_until) if lock.undo_until is not None else None,
        "final": lock.is_final(at),
    }


def _balances(balances: Balances) -> MoneyStateAnswer:
    return {
        "captured": money(balances.captured),
        "held": money(balances.held),
        "refunding": money(balances.refunding),
        "refunded": money(balances.refunded),
        "forfeited": money(balances.forfeited),
        "fees": money(balances.fees),
        "compensation": money(balances.compensation),
    }


def _cancellation(deposit: Deposit, locale: str) -> CancellationAnswer | None:
    """Why it ended before its time, in the reader's language, and what the buyer can do about it."""
    cancelled = deposit.cancelled
    if cancelled is None:
        return None
    published = cancellation.find_cited_reason(cancelled)
    return {
        "cause": cancelled.cause,
        "at": format_instant(cancelled.at),
        "reason": cancelled.reason,
        "label": read_text("reasons", published.texts, "label", locale=locale) if published is not None else None,
        "evidence": list(cancelled.evidence),
        "appealable": published is not None and published.appealable,
        "priority_pass": child("pas", deposit.id, deposit.passes[0].n) if deposit.passes else None,
    }


def _refund_path(deposit: Deposit, terms: Terms) -> RefundPathAnswer:
    """How the method of the latest payment gives money back, and whether that way may close before the order ends."""
    latest = deposit.counted_captures[-1] if deposit.counted_captures else None
    payment = deposit.payments[latest.payment - 1] if latest is not None else deposit.payment
    route = payment_routes.find_route(payment.method, latest.at if latest is not None else payment.opened_at)
    ends_at = payment_routes.compute_refund_window_end(route, latest.at) if latest is not None else None
    return {
        "kind": "original_method" if route.to_source else "payout",
        "ends_at": format_instant(ends_at) if ends_at is not None else None,
        "outlived": route.to_source and offer_terms.outlasts_route(terms, route.window_days),
    }

"""From a state and an instant to the answer's JSON. Rendering reads nothing else, so a replay renders the same bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final

from chalicelib import policies
from chalicelib.core import cancellation, disclosure, drafts, fees, market, routes, wording
from chalicelib.core.deadlines import awaited
from chalicelib.core.decide import actions
from chalicelib.core.deposit import Deposit, Intent, Status, Window, Withdrawal, lock_at, status_at
from chalicelib.core.entitlement import Entitlement, Step
from chalicelib.core.events import DepositEvent, RefundLine
from chalicelib.core.fees import CategoryData, Schedule
from chalicelib.core.ids import child
from chalicelib.core.instants import SECOND, format_instant
from chalicelib.core.journal import Caller, Entry
from chalicelib.core.ledger import Balances
from chalicelib.core.money import Money
from chalicelib.core.offer import status_at as offer_status_at
from chalicelib.core.payment import Payment, PaymentStatus
from chalicelib.core.refund import Refund, RefundStatus
from chalicelib.core.terms import Terms
from chalicelib.core.withdrawal import Receipt
from chalicelib.core.wording import text
from chalicelib.flows.commit import Outcome, caught_up
from chalicelib.flows.offers import Offered
from chalicelib.web.answers import (
    CancellationAnswer,
    CurvePointAnswer,
    DepositAnswer,
    DestinationAnswer,
    EventAnswer,
    GroundAnswer,
    ItemAnswer,
    LockAnswer,
    LockIntentAnswer,
    MoneyAnswer,
    MoneyStateAnswer,
    PaymentAnswer,
    PreviewAnswer,
    RefundAnswer,
    RefundLineAnswer,
    RefundPathAnswer,
    RuleAnswer,
    TradeInAnswer,
    TradeInPartAnswer,
    WindowAnswer,
    WithdrawalAnswer,
)

# An event's own instant stands beside its data; where stock was drawn is nobody's business but ours.
UNSHOWN: Final = frozenset({"at", "batch", "stock", "limit_units", "token_key"})


def deposit(outcome: Outcome, caller: Caller) -> DepositAnswer:
    """The whole deposit as this caller sees it at the outcome's instant, in the outcome's language."""
    at = outcome.at
    seen = caught_up(outcome.deposit, at)
    created = seen.created
    return {
        "id": seen.id,
        "object": "deposit",
        "version": seen.version,
        "status": status_at(seen, at).value,
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
        "lock": _lock(seen, at),
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


def refund(of: Deposit, one: Refund, locale: str) -> RefundAnswer:
    return {
        "id": child("ref", of.id, one.n),
        "object": "refund",
        "deposit": of.id,
        "cause": one.cause,
        "status": one.status.value,
        "amount": money(one.amount),
        "lines": lines(one.lines, one.cause, locale),
        "promised_by": format_instant(one.promised_by),
        "waiting_on": "bank" if one.status is RefundStatus.APPROVED and of.disputed(one.capture) else one.waiting_on,
        "destination": _destination(one),
        "review": one.review,
        "declined": one.declined,
        "attempts": [
            {"n": tried.n, "status": tried.status, "provider_ref": tried.provider_ref, "at": format_instant(tried.at)}
            for tried in one.attempts
        ],
        "created_at": format_instant(one.created_at),
        "updated_at": format_instant(one.changed_at),
    }


def _destination(one: Refund) -> DestinationAnswer:
    if one.destination is None:
        return {"kind": one.goes_to}
    return {"kind": one.goes_to, "payable_from": format_instant(one.payable_from)}


def lock_intent(of: Deposit, one: Intent) -> LockIntentAnswer:
    """What the buyer must be shown before they may lock, word by word from the evidence."""
    shown = one.shown
    ends_at = shown.window_ends_at
    return {
        "id": child("lki", of.id, one.n),
        "object": "lock_intent",
        "deposit": of.id,
        "disclosure": {
            "text": disclosure.shown(shown),
            "amount_at_stake": money(shown.amount_at_stake),
            "window_ends_at": format_instant(ends_at) if ends_at is not None else None,
            "locale": shown.locale,
        },
        "disclosure_hash": shown.disclosure_hash,
        "acknowledgement": shown.acknowledgement,
        "confirmable_at": format_instant(shown.confirmable_at),
        "expires_at": format_instant(shown.expires_at),
    }


def withdrawal(of: Deposit, one: Withdrawal, receipt: Receipt) -> WithdrawalAnswer:
    """The receipt of a statutory withdrawal: its sender can keep it, and check its digest."""
    return {
        "id": receipt.id,
        "object": "withdrawal",
        "deposit": of.id,
        "status": "stated" if one.confirmed_at is None else "confirmed",
        "content": receipt.content,
        "at": format_instant(receipt.at),
        "digest": receipt.digest,
    }


def lines(found: Sequence[RefundLine], cause: str, locale: str) -> list[RefundLineAnswer]:
    """Every line explained; ``paid`` says what kind of payment it was where that matters."""
    return [_line(line, cause, locale) for line in found]


def _line(line: RefundLine, cause: str, locale: str) -> RefundLineAnswer:
    special = f"{line.code}/{cause}"
    known = policies.read("texts/lines.toml")
    words = text("lines", special if special in known else line.code, locale=locale)
    answer: RefundLineAnswer = {"code": line.code, "amount": money(line.amount), "text": words}
    if line.rule is not None:
        answer["rule"] = rule(line.rule, locale)
    if line.evidence:
        answer["evidence"] = list(line.evidence)
    return answer


def rule(rule_id: str, locale: str) -> RuleAnswer:
    """A rule by its id: of the terms (``terms/window``) or of a market's policy (``CN-2026/earnest_cap``)."""
    origin = rule_id.partition("/")[0]
    if "@" in origin:
        return _fee_rule(rule_id, locale)
    if origin in {"terms", "claims"}:
        version = str(policies.read("texts/rules.toml")["version"])
        return {"id": rule_id, "version": version, "text": text("rules", rule_id, locale=locale)}
    law = market.policy(origin)
    return {"id": rule_id, "version": law.version, "text": law.forfeit.text[locale]}


def _fee_rule(rule_id: str, locale: str) -> RuleAnswer:
    """A rule of a fee schedule: its band, or what it says of shipping."""
    schedule, rest = fees.rule_parts(rule_id)
    category, _, bounds = rest.partition("/")
    if category == fees.SHIPPING_KEPT:
        return {"id": f"{schedule.id}/{rest}", "version": schedule.version, "text": schedule.text["shipping"][locale]}
    lowest, highest = (Money.parse(bound, schedule.currency) for bound in bounds.split("-"))
    words = schedule.text["fee"][locale].format(
        from_=wording.amount(lowest, locale), to=wording.amount(highest, locale)
    )
    return {"id": f"{schedule.id}/{rest}", "version": schedule.version, "text": words}


def schedule(of: Schedule, locale: str) -> dict[str, Any]:
    """A fee schedule as published, with the gaps between its bands."""
    return {
        "id": of.id,
        "object": "fee_schedule",
        "version": of.version,
        "currency": of.currency,
        "source": of.source,
        "categories": [_category(of, one, locale) for one in of.category],
    }


def _category(of: Schedule, one: CategoryData, locale: str) -> dict[str, Any]:
    bands = of.bands(one.code)
    gaps = [found for found in fees.findings([bands]) if found.why == "band_gap"]
    return {
        "code": one.code,
        "label": one.label[locale],
        "bands": [{"from": money(band.lowest), "to": money(band.highest), "fee": money(band.fee)} for band in bands],
        "gaps": [{"from": money(lowest), "to": money(highest)} for lowest, highest in map(fees.gap, gaps)],
        "grounds": [
            {
                "code": ground.code,
                "label": ground.label[locale],
                "at_fault": ground.at_fault,
                "evidence": ground.evidence[locale],
            }
            for ground in of.grounds(one.code)
        ],
    }


def trade_in(of: Deposit) -> TradeInPartAnswer | None:
    """The trade-in as it stands in its deposit."""
    traded, now = of.created.trade_in, of.trade_in
    if traded is None or now is None:
        return None
    return {
        "id": child("trd", of.id, 1),
        "category": traded.category,
        "model": traded.model,
        "credit": money(traded.credit),
        "fee_base": money(traded.fee_base),
        "fee_if_mismatched": money(traded.fee_if_mismatched) if traded.fee_if_mismatched is not None else None,
        "status": now.status,
    }


def trade_in_whole(of: Deposit, locale: str) -> TradeInAnswer:
    """The trade-in by itself, with its inspection and the refund that followed."""
    part, inspection = trade_in(of), of.trade_in.inspection if of.trade_in is not None else None
    assert part is not None, "only a deposit with a trade-in has one to show"
    return {
        **part,
        "object": "trade_in",
        "deposit": of.id,
        "inspection": {
            "outcome": inspection.outcome,
            "grounds": [_ground(of, code, locale) for code in inspection.grounds],
            "evidence": list(inspection.evidence),
            "at": format_instant(inspection.at),
        }
        if inspection is not None
        else None,
        "refund": refund(of, of.refund, locale) if of.refund is not None else None,
    }


def _ground(of: Deposit, code: str, locale: str) -> GroundAnswer:
    traded = of.created.trade_in
    assert traded is not None
    found = next(one for one in fees.schedule(traded.schedule).grounds(traded.category) if one.code == code)
    return {
        "code": code,
        "label": found.label[locale],
    }


def preview(owed: Entitlement, cause: str, at: int, locale: str) -> PreviewAnswer:
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
        "lines": lines(step.owed.lines, "buyer_cancel", locale),
    }


def event(of: str, version: int, entry: Entry[DepositEvent]) -> EventAnswer:
    """One place of the journal. Its data holds ids, instants and amounts, never personal data."""
    fact: Any = entry.event
    names = [field.name for field in fields(fact) if field.name not in UNSHOWN]
    return {
        "id": child("evt", of, version),
        "type": fact.TYPE,
        "at": format_instant(fact.at),
        "received_at": format_instant(entry.received_at),
        "actor": {"role": entry.by.role, "id": entry.by.id if entry.by.id.startswith("usr_") else None},
        "version": version,
        "data": {name: _plain(name, getattr(fact, name)) for name in names},
    }


def offer(shown: Offered) -> dict[str, Any]:
    """The whole resolved offer: the frozen terms, with stock and what is available beside each item."""
    made, at = shown.offer.made, shown.at
    terms = shown.terms.model_dump(mode="json")
    available = {one.sku: one.units for one in shown.available}
    stock = {one.sku: one.units for one in shown.offer.stock}
    items = [
        {**item, "stock": stock.get(item["sku"]), "available": available.get(item["sku"])} for item in terms["items"]
    ]
    return {
        "id": shown.offer.id,
        "object": "offer",
        "version": shown.offer.version,
        "status": offer_status_at(shown.offer, at).value,
        "merchant": made.merchant,
        **terms,
        "items": items,
        "terms_hash": made.terms_hash,
        "constrained_by": [{"field": one.field, "rule": one.rule, "source": one.source} for one in made.constrained_by],
        "created_at": format_instant(shown.offer.created_at),
        "updated_at": format_instant(shown.offer.updated_at),
    }


def money(amount: Money) -> MoneyAnswer:
    return {"amount": amount.amount, "currency": amount.currency}


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


def _lock(of: Deposit, at: int) -> LockAnswer | None:
    lock = lock_at(of, at)
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
    published = cancellation.reasons()[ended.reason] if ended.reason is not None else None
    return {
        "cause": ended.cause,
        "at": format_instant(ended.at),
        "reason": ended.reason,
        "label": published.label[locale] if published is not None else None,
        "evidence": list(ended.evidence),
        "appealable": published is not None and published.appealable,
        "priority_pass": child("pas", of.id, of.passes[0].n) if of.passes else None,
    }


def _refund_path(of: Deposit, under: Terms) -> RefundPathAnswer:
    """Told when it is sold: a way back that may close before the order comes to its end."""
    latest = of.counted[-1] if of.counted else None
    method = of.payments[latest.payment - 1].method if latest is not None else of.payment.method
    route = routes.route(method)
    ends_at = routes.ends_at(route, latest.at) if latest is not None else None
    return {
        "kind": "original_method" if route.to_source else "payout",
        "ends_at": format_instant(ends_at) if ends_at is not None else None,
        "outlived": route.to_source and drafts.outlives(under, route.window_days),
    }


def _plain(name: str, value: Any) -> Any:
    """A field of an event as JSON: instants and amounts as everywhere in the contract."""
    if isinstance(value, Money):
        return money(value)
    if isinstance(value, tuple):
        return [_plain(name, part) for part in value]
    if is_dataclass(value):
        return {field.name: _plain(field.name, getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, int) and not isinstance(value, bool) and name.endswith(("_at", "_by", "_from", "_until")):
        return format_instant(value)
    if isinstance(value, Mapping):
        return {key: _plain(key, part) for key, part in value.items()}
    return value

"""Reads an offer: fills it from its preset, checks it, and merges the market's policy."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from chalicelib import policies
from chalicelib.core.common import instants
from chalicelib.core.common.field_errors import build_refusal, read_field_errors
from chalicelib.core.common.fields import lists_to_tuples
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError
from chalicelib.core.policy import cancellation_reasons, claim_rules, fees, market, payment_routes
from chalicelib.core.policy.market import Constraint, Market
from chalicelib.core.policy.terms import DEFAULT_PRESET, AfterLock, Draft, Refund, Terms, TradeIn


@cache
def read_preset(name: str) -> dict[str, Any]:
    """The members of a preset. FileNotFoundError when there is none of that name."""
    if name not in policies.names("presets"):
        raise FileNotFoundError(name)
    members = policies.read(f"presets/{name}.toml")
    return {member: value for member, value in members.items() if member != "source"}


def read_offer(body: Mapping[str, Any], at: int) -> Draft:
    """The offer: the body over its preset. Refused with every field error at ``at``."""
    if "market_policy" in body:
        raise build_refusal((FieldError("/market_policy", "unknown_field"),))
    name = body.get("preset", DEFAULT_PRESET)
    is_known = isinstance(name, str) and name in policies.names("presets")
    members = _fill_from_preset(dict(body), _drop_ended_codes(read_preset(name), at) if is_known else {})
    try:
        draft = Draft.model_validate(lists_to_tuples(members))
    except ValidationError as invalid:
        faults = read_field_errors(invalid)
        raise build_refusal(faults if is_known else (FieldError("/preset", "unknown_preset"), *faults)) from None
    faults = tuple(_find_faults(draft, at)) + (() if is_known else (FieldError("/preset", "unknown_preset"),))
    if faults:
        raise build_refusal(faults)
    return draft


def _drop_ended_codes(members: Mapping[str, Any], at: int) -> dict[str, Any]:
    """A preset without the methods and reasons that have ended by ``at``, so that offers without own ones stay valid."""
    payment, citable = members["payment"], cancellation_reasons.find_reasons(at)
    methods = [method for method in payment["methods"] if payment_routes.is_offered(method, at)]
    reasons = [code for code in members["cancellation_reasons"] if code in citable]
    return {**members, "payment": {**payment, "methods": methods}, "cancellation_reasons": reasons}


def merge_market_policy(draft: Draft, at: int) -> tuple[Draft, tuple[Constraint, ...]]:
    """Merge the market's policy in force into the offer, in the buyer's favour. Gives the offer and what was changed."""
    law = market.find_policy(draft.market, at)
    changes: dict[str, Any] = {"market_policy": law.id}
    if draft.trade_in is not None:
        published = fees.find_schedules(at)[draft.trade_in.schedule]
        changes["trade_in"] = draft.trade_in.model_copy(update={"version": published.version})
    constraints: list[Constraint] = []
    if draft.after_lock.buyer_cancel == "forfeit":
        constraint = _find_forfeit_constraint(draft, law)
        if constraint is not None:
            changes["after_lock"] = AfterLock(buyer_cancel="refund")
            constraints.append(constraint)
        elif exceeds_forfeit_cap(draft, law):
            constraints.append(Constraint("payment.deposit", f"{law.id}/{law.forfeit.rule}", law.forfeit.source))
    deadline = market.limit_refund_deadline(draft.refund.deadline, law)
    if deadline != draft.refund.deadline:
        changes["refund"] = Refund(deadline=deadline)
        rule = f"{law.id}/{law.refund_deadline.rule}"
        constraints.append(Constraint("refund.deadline", rule, law.refund_deadline.source))
    return draft.model_copy(update=changes), tuple(constraints)


def exceeds_forfeit_cap(draft: Terms, law: Market) -> bool:
    """Whether the deposit for one unit of any item exceeds what the market allows to be forfeited."""
    deposit, cap = draft.payment.deposit, law.forfeit.cap_percent
    if deposit is None or cap is None:
        return False
    return any(deposit > item.price.percent_floor(cap) for item in draft.items)


def find_warnings(draft: Draft, at: int) -> Iterator[FieldError]:
    """Warnings for the merchant, which do not stop the offer. ``draft`` comes from ``merge_market_policy``."""
    law = draft.policy
    if draft.after_lock.buyer_cancel == "forfeit" and exceeds_forfeit_cap(draft, law):
        yield FieldError("/payment/deposit", "deposit_above_cap")
    for index, method in enumerate(draft.payment.methods):
        route = payment_routes.find_route(method, at)
        if not route.to_source:
            yield FieldError(f"/payment/methods/{index}", "method_without_refund")
        elif outlasts_route(draft, route.window_days):
            yield FieldError(f"/payment/methods/{index}", "refund_path_ends_first")


def outlasts_route(draft: Terms, route_days: int | None) -> bool:
    """Whether the window and the promised delivery together last longer than the route refunds."""
    if route_days is None:
        return False
    window = instants.duration_ms(draft.window.length) if draft.window is not None else 0
    delivery = instants.duration_ms(draft.delivery.within) if draft.delivery.within is not None else 0
    return window + delivery >= route_days * instants.DAY


def _find_forfeit_constraint(draft: Terms, law: Market) -> Constraint | None:
    if draft.payment.nature != "earnest" or draft.payment.take == "full":
        return Constraint("after_lock.buyer_cancel", "nature", "only earnest money can be forfeited")
    custom_made = any(item.made_to_spec for item in draft.items)
    if law.forfeit.allowed == "never" or (law.forfeit.allowed == "made_to_spec" and not custom_made):
        return Constraint("after_lock.buyer_cancel", f"{law.id}/{law.forfeit.rule}", law.forfeit.source)
    return None


def _fill_from_preset(body: dict[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The body over the preset. Objects are merged by member; lists, amounts and nulls of the body replace."""
    base_currency = base.get("currency")
    currency = body.get("currency", base_currency)
    merged = _merge_members(base, body, keep_amounts=base_currency is None or currency == base_currency)
    if isinstance(currency, str) and "shipping" not in body:
        merged["shipping"] = {"amount": "0", "currency": currency}
    payment = merged.get("payment")
    if isinstance(payment, dict) and payment.get("take") == "full":
        payment.pop("deposit", None)
    return merged


def _merge_members(base: Mapping[str, Any], over: Mapping[str, Any], *, keep_amounts: bool) -> dict[str, Any]:
    preset = {name: value for name, value in base.items() if keep_amounts or not _is_amount(value)}
    merged: dict[str, Any] = {}
    for name in preset.keys() | over.keys():
        below, above = preset.get(name), over.get(name)
        if name not in over:
            merged[name] = _merge_members(below, {}, keep_amounts=keep_amounts) if isinstance(below, dict) else below
        elif isinstance(below, dict) and isinstance(above, dict) and not (_is_amount(below) or _is_amount(above)):
            merged[name] = _merge_members(below, above, keep_amounts=keep_amounts)
        else:
            merged[name] = above
    return merged


def _is_amount(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"amount", "currency"}


def _find_faults(draft: Draft, at: int) -> Iterator[FieldError]:
    """Errors that depend on several fields or on what is published at the instant."""
    yield from _find_currency_faults(draft)
    yield from _find_payment_faults(draft, at)
    yield from _find_lock_faults(draft)
    yield from _find_claims_faults(draft, at)
    if draft.market not in market.find_policies(at):
        yield FieldError("/market", "unknown_market")
    if draft.opens_at is not None and draft.closes_at is not None and draft.closes_at <= draft.opens_at:
        yield FieldError("/closes_at", "not_later")
    skus = [item.sku for item in draft.items]
    for index, item in enumerate(draft.items):
        if item.sku in skus[:index]:
            yield FieldError(f"/items/{index}/sku", "duplicate")
        if item.price.minor <= 0:
            yield FieldError(f"/items/{index}/price", "too_small")
    published = cancellation_reasons.find_reasons(at)
    for index, code in enumerate(draft.cancellation_reasons):
        if code not in published:
            yield FieldError(f"/cancellation_reasons/{index}", "unknown_reason")
    for sku, units in draft.priority.reserved.items():
        stock = draft.stock.get(sku)
        if sku not in skus:
            yield FieldError(f"/priority/reserved/{sku}", "unknown_sku")
        elif stock is not None and units > stock:
            yield FieldError(f"/priority/reserved/{sku}", "too_large")
    if draft.trade_in is not None:
        yield from _find_trade_in_faults(draft, draft.trade_in, at)


def _find_trade_in_faults(draft: Draft, trade_in: TradeIn, at: int) -> Iterator[FieldError]:
    schedule = fees.find_schedules(at).get(trade_in.schedule)
    if trade_in.version is not None:
        yield FieldError("/trade_in/version", "unknown_field")
    if schedule is None:
        yield FieldError("/trade_in/schedule", "unknown_schedule")
    elif schedule.currency != draft.currency:
        yield FieldError("/trade_in/schedule", "currency_mismatch")


def _find_currency_faults(draft: Draft) -> Iterator[FieldError]:
    amounts: list[tuple[str, Money | None]] = [
        ("/shipping", draft.shipping),
        ("/payment/deposit", draft.payment.deposit),
        *((f"/items/{index}/price", item.price) for index, item in enumerate(draft.items)),
    ]
    if draft.trade_in is not None:
        amounts += [(f"/trade_in/values/{model}", value) for model, value in draft.trade_in.values.items()]
    for pointer, amount in amounts:
        if amount is not None and amount.currency != draft.currency:
            yield FieldError(pointer, "currency_mismatch")


def _find_claims_faults(draft: Draft, at: int) -> Iterator[FieldError]:
    """Deadlines of claims must lie within the bounds in force, as a missed one grants the claim."""
    rules = claim_rules.find_claim_rules(at)
    shortest, longest = instants.duration_ms(rules.answer_at_least), instants.duration_ms(rules.answer_at_most)
    for name, length in draft.claims:
        time = instants.duration_ms(length)
        if not shortest <= time <= longest:
            yield FieldError(f"/claims/{name}", "too_small" if time < shortest else "too_large")


def _find_payment_faults(draft: Draft, at: int) -> Iterator[FieldError]:
    payment = draft.payment
    if payment.take == "deposit" and payment.deposit is None:
        yield FieldError("/payment/deposit", "deposit_missing")
    if payment.take == "deposit" and payment.deposit is not None and payment.deposit.minor <= 0:
        yield FieldError("/payment/deposit", "too_small")
    if payment.take == "full" and payment.nature == "earnest":
        yield FieldError("/payment/nature", "earnest_needs_deposit")
    if not instants.duration_ms(payment.due_within):
        yield FieldError("/payment/due_within", "too_small")
    if len(set(payment.methods)) != len(payment.methods):
        yield FieldError("/payment/methods", "duplicate")
    for index, method in enumerate(payment.methods):
        if not payment_routes.is_offered(method, at):
            yield FieldError(f"/payment/methods/{index}", "unknown_method")


def _find_lock_faults(draft: Draft) -> Iterator[FieldError]:
    if draft.lock.at == "payment" and draft.window is not None:
        yield FieldError("/window", "window_not_with_payment")
    if draft.lock.at == "window_end" and draft.window is None:
        yield FieldError("/window", "window_needed")
    if draft.window is not None and not instants.duration_ms(draft.window.length):
        yield FieldError("/window/length", "too_small")
    if draft.lock.early and (draft.lock.review is None or draft.lock.intent_ttl is None):
        yield FieldError("/lock", "review_needed")
    review, ttl = draft.lock.review, draft.lock.intent_ttl
    if review is not None and ttl is not None and instants.duration_ms(ttl) <= instants.duration_ms(review):
        yield FieldError("/lock/intent_ttl", "too_small")

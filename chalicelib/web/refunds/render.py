"""A refund as an answer, with each line and the rule it cites."""

from collections.abc import Sequence

from chalicelib import policies
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.refund import RefundLine
from chalicelib.core.deposit.refund import Refund, RefundStatus
from chalicelib.core.policy import fees, market, texts
from chalicelib.core.policy.texts import text
from chalicelib.web.edge.values import RuleAnswer, money
from chalicelib.web.refunds.answers import DestinationAnswer, RefundAnswer, RefundLineAnswer


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


def lines(found: Sequence[RefundLine], cause: Cause, locale: str) -> list[RefundLineAnswer]:
    """Every line explained; ``paid`` says what kind of payment it was where that matters."""
    return [_line(line, cause, locale) for line in found]


def _line(line: RefundLine, cause: Cause, locale: str) -> RefundLineAnswer:
    special = f"{line.code}/{cause}"
    known = policies.read(f"texts/{locale}/lines.toml")
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
        version = str(policies.read("rules.toml")["version"])
        return {"id": rule_id, "version": version, "text": text("rules", rule_id, locale=locale)}
    law = market.policy(origin)
    return {"id": rule_id, "version": law.version, "text": text("markets", rule_id, locale=locale)}


def _fee_rule(rule_id: str, locale: str) -> RuleAnswer:
    """A rule of a fee schedule: its band, or what it says of shipping."""
    schedule, rest = fees.rule_parts(rule_id)
    category, _, bounds = rest.partition("/")
    if category == fees.SHIPPING_KEPT:
        words = text("fees", schedule.name, "shipping", locale=locale)
        return {"id": f"{schedule.id}/{rest}", "version": schedule.version, "text": words}
    lowest, highest = (Money.parse(bound, schedule.currency) for bound in bounds.split("-"))
    words = text("fees", schedule.name, "fee", locale=locale).format(
        from_=texts.amount(lowest, locale), to=texts.amount(highest, locale)
    )
    return {"id": f"{schedule.id}/{rest}", "version": schedule.version, "text": words}

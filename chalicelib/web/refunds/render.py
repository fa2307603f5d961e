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
from chalicelib.core.policy.texts import read_text
from chalicelib.web.edge.values import RuleAnswer, money
from chalicelib.web.refunds.answers import DestinationAnswer, RefundAnswer, RefundLineAnswer


def refund(deposit: Deposit, refund: Refund, locale: str) -> RefundAnswer:
    return {
        "id": child("ref", deposit.id, refund.n),
        "object": "refund",
        "deposit": deposit.id,
        "cause": refund.cause,
        "status": refund.status.value,
        "amount": money(refund.amount),
        "lines": lines(refund.lines, refund.cause, locale),
        "promised_by": format_instant(refund.promised_by),
        "waiting_on": "bank"
        if refund.status is RefundStatus.APPROVED and deposit.is_disputed(refund.capture)
        else refund.waiting_on,
        "destination": _destination(refund),
        "review": refund.review,
        "declined": refund.declined,
        "attempts": [
            {
                "n": attempt.n,
                "status": attempt.status,
                "provider_ref": attempt.provider_ref,
                "at": format_instant(attempt.at),
            }
            for attempt in refund.attempts
        ],
        "created_at": format_instant(refund.created_at),
        "updated_at": format_instant(refund.changed_at),
    }


def _destination(refund: Refund) -> DestinationAnswer:
    if refund.destination is None:
        return {"kind": refund.destination_kind}
    return {"kind": refund.destination_kind, "payable_from": format_instant(refund.payable_from)}


def lines(refund_lines: Sequence[RefundLine], cause: Cause, locale: str) -> list[RefundLineAnswer]:
    """Every line explained; ``paid`` says what kind of payment it was where that matters."""
    return [_line(line, cause, locale) for line in refund_lines]


def _line(line: RefundLine, cause: Cause, locale: str) -> RefundLineAnswer:
    special = f"{line.code}/{cause}"
    texts_of_lines = policies.read(f"texts/{locale}/lines.toml")
    words = read_text("lines", special if special in texts_of_lines else line.code, locale=locale)
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
        return {"id": rule_id, "version": version, "text": read_text("rules", rule_id, locale=locale)}
    policy = market.read_policy(origin)
    return {"id": rule_id, "version": policy.version, "text": read_text("markets", rule_id, locale=locale)}


def _fee_rule(rule_id: str, locale: str) -> RuleAnswer:
    """A rule of a fee schedule: its band, or what it says of shipping."""
    schedule, rest = fees.split_rule(rule_id)
    category, _, bounds = rest.partition("/")
    if category == fees.SHIPPING_RULE:
        words = read_text("fees", schedule.name, "shipping", locale=locale)
        return {"id": f"{schedule.id}/{rest}", "version": schedule.version, "text": words}
    lowest, highest = (Money.parse(bound, schedule.currency) for bound in bounds.split("-"))
    words = read_text("fees", schedule.name, "fee", locale=locale).format(
        from_=texts.format_amount(lowest, locale), to=texts.format_amount(highest, locale)
    )
    return {"id": f"{schedule.id}/{rest}", "version": schedule.version, "text": words}

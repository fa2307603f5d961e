"""Examples of trade-ins: published fees, and what an inspection leads to."""

from typing import Final

from chalicelib.core.common.money import Money
from chalicelib.core.policy import fees
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.route import Example
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    OPENED,
    Json,
    Story,
)
from chalicelib.web.tradeins import render as trade_ins_render

SCHEDULE: Final = "id-tukar-tambah"


def fee() -> Example:
    charge = fees.find_schedules(OPENED)[SCHEDULE].charge("phone", Money.parse("3000000", "IDR"))
    return Example({"a band": trade_ins_render.charge(charge, DEFAULT)})


def schedules() -> Example:
    published = fees.find_schedules(OPENED).values()
    return Example({"in force": {"data": [trade_ins_render.schedule(schedule, DEFAULT) for schedule in published]}})


def awaiting_handover() -> Example:
    return Example({"waiting for the hand-over": _render(stories.traded_in())})


def mismatched() -> Example:
    body = {"outcome": "mismatched", "grounds": ["PH_CONDITION_MISMATCH"], "evidence": ["photo:8f14e45f"]}
    return Example({"not as declared": _render(stories.mismatched())}, body)


def not_handed_over() -> Example:
    return Example({"everything back": _render(stories.not_handed_over())}, {"by": "courier"})


def _render(story: Story) -> Json:
    return trade_ins_render.trade_in_full(story.deposit, DEFAULT)

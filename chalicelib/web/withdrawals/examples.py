"""Examples of the two receipts of a withdrawal from a standard configuration."""

from typing import Final

from chalicelib.core.common.instants import duration_ms
from chalicelib.core.ending import withdrawal
from chalicelib.core.ending.withdrawal import ConfirmWithdrawal, Receipt, Sender, StateWithdrawal
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.route import Example
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    ORDERED,
    Json,
    Story,
)
from chalicelib.web.withdrawals import render as withdrawals_render

SENDER: Final = Sender("A. Buyer", "a.buyer@example.org", DEFAULT)


def stated() -> Example:
    paid, story = _paid(), _stated()
    receipt = withdrawal.build_statement_receipt(paid.deposit, SENDER, story.outcome.at, paid.terms)
    return Example({"stated": _render(story, receipt)}, {"name": SENDER.name, "reach": SENDER.reach})


def confirmed() -> Example:
    before = _stated()
    story = before.then(ConfirmWithdrawal(1, SENDER), before.outcome.at + duration_ms("PT1M"))
    receipt = withdrawal.build_confirmation_receipt(before.deposit, 1, SENDER, story.outcome.at, _paid().terms)
    return Example({"confirmed": _render(story, receipt)})


def _paid() -> Story:
    return stories.paid(made_to_spec=False)


def _stated() -> Story:
    return _paid().then(StateWithdrawal(SENDER), ORDERED + duration_ms("P2D"))


def _render(story: Story, receipt: Receipt) -> Json:
    return withdrawals_render.withdrawal(story.deposit, story.deposit.withdrawals[0], receipt)

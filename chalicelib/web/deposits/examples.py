"""Examples of deposits: ordered, paid, changed, cancelled; previews and history."""

from typing import Final

from chalicelib.core.common.instants import duration_ms
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.ending import entitlement
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.web.deposits import render as deposits_render
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.route import Example
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    DEPOSIT_ID,
    OFFER_ID,
    ORDERED,
    page,
)

TOKEN: Final = f"wdt_{DEPOSIT_ID.partition('_')[2]}_0f1e2d3c4b5a6978_2c26b46b68ffc68ff99b453c1d"


def ordered() -> Example:
    body = {
        "offer": OFFER_ID,
        "items": [{"sku": "su7-max", "quantity": 1}],
        "payment_method": "card",
        "terms_hash": stories.sale("su7_2024").offer.made.terms_hash,
    }
    return Example({"awaiting payment": {**stories.ordered().shown(), "withdrawal_token": TOKEN}}, body)


def listed() -> Example:
    return Example({"one page": page(stories.cancelled().shown())})


def shown() -> Example:
    return Example(
        {
            "awaiting payment": stories.ordered().shown(),
            "cooling off": stories.paid().shown(),
            "locked": stories.locked().shown(),
            "cancelled, money back": stories.returned().shown(),
        }
    )


def cancelled() -> Example:
    return Example({"cancelled in the window": stories.cancelled().shown()}, {"note": None})


def method_changed() -> Example:
    story = stories.ordered().then(ChangePaymentMethod("alipay"), ORDERED + duration_ms("PT1M"))
    return Example({"another method": story.shown()}, {"payment_method": "alipay"})


def items_changed() -> Example:
    return Example({"changed": stories.changed().shown()}, {"items": [{"sku": "su7-max", "quantity": 1}]})


def previewed() -> Example:
    story, cause = stories.paid(), Cause.BUYER_CANCEL
    at = story.outcome.at
    owed = entitlement.compute_entitlement(story.deposit, story.terms, cause, at)
    return Example({"inside the window": deposits_render.preview(owed, cause, at, DEFAULT)})


def curve() -> Example:
    story = stories.paid()
    steps = entitlement.compute_curve(story.deposit, story.terms, story.outcome.at)
    return Example({"free until, then": {"points": [deposits_render.curve_point(step, DEFAULT) for step in steps]}})


def history() -> Example:
    story = stories.returned()
    entries = enumerate(story.outcome.journal, start=1)
    rows = [deposits_render.event(story.deposit.id, version, entry) for version, entry in entries]
    return Example({"the whole history": page(*rows)})

"""Examples of refunds: decided, carried out, rerouted; and a proof."""

from chalicelib.core import proof
from chalicelib.web.edge.route import Example
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    DEPOSIT_ID,
    Json,
    page,
)


def shown() -> Example:
    return Example({"decided": stories.cancelled().refunded(), "carried out": stories.returned().refunded()})


def listed() -> Example:
    return Example({"one page": page(stories.returned().refunded())})


def granted() -> Example:
    body = {
        "deposit": DEPOSIT_ID,
        "amount": {"amount": "500", "currency": "CNY"},
        "expected_refundable": {"amount": "5088", "currency": "CNY"},
        "note": None,
    }
    return Example({"goodwill": stories.granted().refunded()}, body)


def account_named() -> Example:
    body = {"kind": "bank_account", "holder": "A. Buyer", "bank": "BCA", "account": "1234567890", "consent": True}
    return Example({"an account": stories.named().refunded()}, body)


def rerouted() -> Example:
    return Example({"to be named": stories.rerouted().refunded()}, {"kind": "payout", "note": None})


def proved() -> Example:
    return Example({"a cancel inside the window": make_proof()})


def verified() -> Example:
    return Example({"it holds": {"valid": True, "differences": []}}, make_proof())


def make_proof() -> Json:
    """The proof of the refund of a cancel inside the window."""
    story = stories.cancelled()
    events = [entry.event for entry in story.outcome.journal]
    return proof.build_proof(DEPOSIT_ID, events, 1, story.terms)

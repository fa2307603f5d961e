"""Examples of delivery: ready, balance, shipment, arrival, default."""

from chalicelib.web.edge.route import Example
from chalicelib.web.service import stories


def ready() -> Example:
    body = {"lines": [1], "inspect_at": "2027-05-21T10:00:00.000Z", "evidence": ["photo:8f14e45f"]}
    return Example({"the balance falls due": stories.ready().shown()}, body)


def balance_opened() -> Example:
    return Example({"to be paid": stories.balance_opened().shown()}, {"payment_method": "card"})


def shipped() -> Example:
    return Example({"completed": stories.shipped().shown()}, {"lines": [{"line": 1, "quantity": 1}]})


def delivered() -> Example:
    body = {"lines": [1], "delivered_at": "2027-05-27T10:00:00.000Z", "evidence": ["photo:handover"]}
    return Example({"arrived": stories.delivered().shown()}, body)


def received() -> Example:
    return Example({"arrived": stories.received().shown()})


def defaulted() -> Example:
    return Example({"ended": stories.defaulted().shown()})

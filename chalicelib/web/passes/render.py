"""A priority pass as an answer."""

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.priority_pass import Pass
from chalicelib.web.edge.values import money
from chalicelib.web.passes.answers import PassAnswer


def priority_pass(of: Deposit, one: Pass) -> PassAnswer:
    granted = one.granted
    return {
        "id": child("pas", of.id, one.n),
        "object": "priority_pass",
        "merchant": of.created.merchant,
        "skus": list(granted.skus),
        "price_cap": money(granted.price_cap),
        "valid_until": format_instant(granted.valid_until),
        "status": one.status.value,
        "origin": of.id,
        "reason": granted.reason,
        "used_for": one.used_for if one.status.value == "used" else None,
        "created_at": format_instant(granted.at),
    }

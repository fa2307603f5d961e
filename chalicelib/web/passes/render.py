"""A priority pass as an answer."""

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.priority_pass import Pass
from chalicelib.web.edge.values import money
from chalicelib.web.passes.answers import PassAnswer


def priority_pass(deposit: Deposit, priority_pass: Pass) -> PassAnswer:
    granted = priority_pass.granted
    return {
        "id": child("pas", deposit.id, priority_pass.n),
        "object": "priority_pass",
        "merchant": deposit.created.merchant,
        "skus": list(granted.skus),
        "price_cap": money(granted.price_cap),
        "valid_until": format_instant(granted.valid_until),
        "status": priority_pass.status.value,
        "origin": deposit.id,
        "reason": granted.reason,
        "used_for": priority_pass.used_for if priority_pass.status.value == "used" else None,
        "created_at": format_instant(granted.at),
    }

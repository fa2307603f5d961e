"""A text that lists the goods of a deposit."""

from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.policy.terms import Terms


def describe_goods(deposit: Deposit, terms: Terms) -> str:
    """``2 x SU7 Max, 1 x Wheel``: quantity and name of each line; the SKU where the terms have no name."""
    rows = ((line, terms.find_item(line.sku)) for line in deposit.lines)
    return ", ".join(f"{line.quantity} x {item.name if item is not None else line.sku}" for line, item in rows)

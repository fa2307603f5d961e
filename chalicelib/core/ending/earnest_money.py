"""Earnest money: what a default forfeits or compensates, by whose default it is.

Source for China: PRC Civil Code art. 586 to 588, SPC interpretation 2023-13 art. 67 and 68; everywhere the market's policy
file.
"""

from typing import Literal

from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.policy.market import Market

Default = Literal["buyer", "seller", "both", "force_majeure"]


class Settlement(Struct, frozen=True):
    """How a deposit is divided: deposit == forfeited + refund + credited.

    ``credited`` pays for goods that came. ``compensation`` is owed by the merchant on top of the deposit.
    """

    forfeited: Money
    refund: Money
    credited: Money
    compensation: Money


def settle_earnest_money(
    deposit: Money, price: Money, undelivered: Money, *, default: Default, earnest: bool, keepable: bool, law: Market
) -> Settlement:
    """Divide a deposit on goods worth ``price``, of which ``undelivered`` were not delivered or not kept.

    ``earnest``: the money was agreed to be earnest money. ``keepable``: terms and market allow a forfeit.
    The cap and the forfeit are rounded down, amounts owed to the buyer are rounded up.
    """
    zero = Money.zero(deposit.currency)
    refundable = deposit.share_ceil(undelivered.minor, price.minor)
    capped = cap_earnest_money(deposit, price, law) if earnest else zero
    forfeited = compensation = zero
    if default not in law.default.excused:
        if default == "buyer" and keepable:
            forfeited = min(_scale_to_undelivered(capped, undelivered, price, law, up=False), refundable)
        if default == "seller":
            compensation = _scale_to_undelivered(capped, undelivered, price, law, up=True) * (
                law.seller_default.multiplier - 1
            )
    return Settlement(forfeited, refundable - forfeited, deposit - refundable, compensation)


def cap_earnest_money(deposit: Money, price: Money, law: Market) -> Money:
    """The part that counts as earnest money, rounded down. What exceeds the cap does not (PRC Civil Code art. 586)."""
    if law.forfeit.cap_percent is None:
        return deposit
    return min(deposit, price.percent_floor(law.forfeit.cap_percent))


def _scale_to_undelivered(capped: Money, undelivered: Money, price: Money, law: Market, *, up: bool) -> Money:
    if not law.default.proportional:
        return capped
    share = capped.share_ceil if up else capped.share_floor
    return share(undelivered.minor, price.minor)

"""The earnest rule: what a default costs, whose it is, and what it is measured by."""

from typing import Literal

from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.policy.market import Market

Default = Literal["buyer", "seller", "both", "force_majeure"]


class Settlement(Struct, frozen=True):
    """Where a deposit goes. ``credited`` stays as payment for goods that came; ``compensation`` is a leg on top.

    deposit == forfeited + refund + credited.
    """

    forfeited: Money
    refund: Money
    credited: Money
    compensation: Money


def settle_earnest_money(
    deposit: Money, price: Money, undelivered: Money, *, default: Default, earnest: bool, keepable: bool, law: Market
) -> Settlement:
    """Settle a deposit on goods worth ``price``, of which ``undelivered`` did not come or were not kept.

    ``earnest``: the money was agreed to be earnest money; ``keepable``: the terms and the market let it be kept at all.
    Caps and what is kept are floored, what is owed to the buyer is rounded up. Source for China: PRC Civil Code
    art. 586 to 588, SPC interpretation 2023-13 art. 67 and 68; everywhere the market's own policy file.
    """
    zero = Money.zero(deposit.currency)
    back = deposit.share_ceil(undelivered.minor, price.minor)
    counted = cap_earnest_money(deposit, price, law) if earnest else zero
    forfeited = compensation = zero
    if default not in law.default.excused:
        if default == "buyer" and keepable:
            forfeited = min(_scale_to_undelivered(counted, undelivered, price, law, up=False), back)
        if default == "seller":
            compensation = _scale_to_undelivered(counted, undelivered, price, law, up=True) * (
                law.seller_default.multiplier - 1
            )
    return Settlement(forfeited, back - forfeited, deposit - back, compensation)


def cap_earnest_money(deposit: Money, price: Money, law: Market) -> Money:
    """The part with an earnest effect: PRC Civil Code art. 586, what exceeds the cap has none. Floored."""
    if law.forfeit.cap_percent is None:
        return deposit
    return min(deposit, price.percent_floor(law.forfeit.cap_percent))


def _scale_to_undelivered(counted: Money, undelivered: Money, price: Money, law: Market, *, up: bool) -> Money:
    if not law.default.proportional:
        return counted
    share = counted.share_ceil if up else counted.share_floor
    return share(undelivered.minor, price.minor)

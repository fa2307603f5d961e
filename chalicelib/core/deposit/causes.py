"""Why a refund is made, and what its lines say. Both are part of the contract: the order is the one that it lists."""

from enum import StrEnum


class Cause(StrEnum):
    """Why money goes back. Each cause has a rule that decides its refunds again: see ``proof.CAUSES``."""

    BUYER_CANCEL = "buyer_cancel"
    WITHDRAWAL = "withdrawal"
    MERCHANT_CANCEL = "merchant_cancel"
    BUYER_DEFAULT = "buyer_default"
    TRADE_IN_MISMATCH = "trade_in_mismatch"
    TRADE_IN_CANCEL = "trade_in_cancel"
    CHANGE = "change"
    CLAIM = "claim"
    GOODWILL = "goodwill"
    AMOUNT_MISMATCH = "amount_mismatch"
    OVERPAYMENT = "overpayment"
    DUPLICATE_PAYMENT = "duplicate_payment"
    LATE_PAYMENT = "late_payment"
    CHARGEBACK = "chargeback"
    COMPENSATION = "seller_default_compensation"

    @property
    def own_money(self) -> bool:
        """Whether it gives back money that the buyer paid. A compensation is the merchant's, without a capture."""
        return self is not Cause.COMPENSATION


# Money that did not count: it goes back by itself and says nothing about the deposit.
SENT_BACK = frozenset({Cause.AMOUNT_MISMATCH, Cause.OVERPAYMENT, Cause.DUPLICATE_PAYMENT, Cause.LATE_PAYMENT})


class LineCode(StrEnum):
    """What one line of a refund is."""

    PAID = "paid"
    ALREADY_REFUNDED = "already_refunded"
    SHIPPING_KEPT = "shipping_kept"
    TRADE_IN_FEE = "trade_in_fee"
    FORFEITED = "forfeited"
    GOODS_KEPT = "goods_kept"
    GOODWILL = "goodwill"
    OWED = "owed"
    COMPENSATION = "compensation"


FEES = frozenset({LineCode.SHIPPING_KEPT, LineCode.TRADE_IN_FEE})
# Lines below zero: each cites the rule that allows it.
DEDUCTIONS = FEES | {LineCode.FORFEITED, LineCode.GOODS_KEPT}

"""Why a refund is made, and what its lines say. Both are part of the contract: the order is the one that it lists."""

from enum import StrEnum


class Cause(StrEnum):
    """Why a refund is made. ``proof.CAUSES`` has for each cause the rule that computes its refunds again."""

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
        """Whether the refund returns the buyer's payment. A compensation is paid by the merchant and has no capture."""
        return self is not Cause.COMPENSATION


# Payments that did not count for the order. They are refunded without a request and do not change the status.
SENT_BACK = frozenset({Cause.AMOUNT_MISMATCH, Cause.OVERPAYMENT, Cause.DUPLICATE_PAYMENT, Cause.LATE_PAYMENT})


class LineCode(StrEnum):
    """What one line of a refund stands for."""

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
# Lines with a negative amount. Each cites the rule that allows it.
DEDUCTIONS = FEES | {LineCode.FORFEITED, LineCode.GOODS_KEPT}

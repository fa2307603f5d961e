"""Requirements and effects of each merchant reason, copied by hand from the published catalogue. Times in milliseconds.

Independent of the code under test and of the data that it reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chalicelib.core.common.instants import DAY, HOUR

ANSWER_WITHIN: Final = 48 * HOUR
APPROVE_WITHIN: Final = 72 * HOUR
VALID: Final = 180 * DAY
REMINDED: Final = (30 * DAY, 7 * DAY)  # before a pass lapses
RESERVE_LASTS: Final = 24 * HOUR
# Of the few deposits that a history has one person cancels one alone.
MAX_ALONE: Final = 1


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """``evidence`` is the least number of different items; ``doubles`` and ``grants`` what it pays besides the refund.

    ``counted``: the units stay with the buyer's limit. ``second``: another person must agree.
    """

    evidence: int = 1
    doubles: bool = False
    grants: bool = False
    counted: bool = False
    second: bool = False
    question: str = ""
    unpaid: bool = False
    final: bool = False  # cannot be appealed


BUYERS_FAULT: Final = ReasonRule(counted=True)
REASON_RULES: Final = {
    "LIMIT_ACCOUNT": BUYERS_FAULT,
    "LIMIT_IDENTITY": BUYERS_FAULT,
    "LIMIT_PAYMENT": BUYERS_FAULT,
    "LIMIT_ADDRESS": BUYERS_FAULT,
    "BOT_AUTOMATION": ReasonRule(2, counted=True),
    "QUEUE_BYPASS": ReasonRule(),
    "RESALE_LISTING": BUYERS_FAULT,
    "PAYMENT_FRAUD": BUYERS_FAULT,
    "PAYMENT_TIMEOUT": ReasonRule(unpaid=True, final=True),
    "ADDRESS_INVALID": ReasonRule(2, question="address"),
    "ADDRESS_UNSERVED": ReasonRule(grants=True),
    "BUYER_UNREACHABLE": ReasonRule(3, question="contact"),
    "OUT_OF_STOCK": ReasonRule(doubles=True, grants=True),
    "PRICE_ERROR": ReasonRule(doubles=True, grants=True),
    "DISCONTINUED": ReasonRule(doubles=True),
    "DELIVERY_DELAY": ReasonRule(doubles=True),
    "DUPLICATE_ORDER": ReasonRule(final=True),
    "REGULATORY": ReasonRule(),
    "SYSTEM_ERROR": ReasonRule(grants=True),
    "FORCE_MAJEURE": ReasonRule(),
    "MERCHANT_OTHER": ReasonRule(doubles=True, grants=True, second=True),
}
UNLISTED: Final = "MERCHANT_OTHER"  # in nobody's list who does not ask for it
USUAL: Final = frozenset(REASON_RULES) - {UNLISTED}


def count_evidence(evidence: Sequence[str]) -> int:
    """The number of different items; an automated score does not count."""
    return len({item for item in evidence if not item.lower().startswith("score:")})

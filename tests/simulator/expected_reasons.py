"""What each reason of a merchant asks for and leads to, read from the published catalogue by hand; times in milliseconds.

Nothing of it is asked of the code under test, or of the data that it reads.
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
class Cause:
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


BUYERS_FAULT: Final = Cause(counted=True)
CAUSES: Final = {
    "LIMIT_ACCOUNT": BUYERS_FAULT,
    "LIMIT_IDENTITY": BUYERS_FAULT,
    "LIMIT_PAYMENT": BUYERS_FAULT,
    "LIMIT_ADDRESS": BUYERS_FAULT,
    "BOT_AUTOMATION": Cause(2, counted=True),
    "QUEUE_BYPASS": Cause(),
    "RESALE_LISTING": BUYERS_FAULT,
    "PAYMENT_FRAUD": BUYERS_FAULT,
    "PAYMENT_TIMEOUT": Cause(unpaid=True, final=True),
    "ADDRESS_INVALID": Cause(2, question="address"),
    "ADDRESS_UNSERVED": Cause(grants=True),
    "BUYER_UNREACHABLE": Cause(3, question="contact"),
    "OUT_OF_STOCK": Cause(doubles=True, grants=True),
    "PRICE_ERROR": Cause(doubles=True, grants=True),
    "DISCONTINUED": Cause(doubles=True),
    "DELIVERY_DELAY": Cause(doubles=True),
    "DUPLICATE_ORDER": Cause(final=True),
    "REGULATORY": Cause(),
    "SYSTEM_ERROR": Cause(grants=True),
    "FORCE_MAJEURE": Cause(),
    "MERCHANT_OTHER": Cause(doubles=True, grants=True, second=True),
}
UNLISTED: Final = "MERCHANT_OTHER"  # in nobody's list who does not ask for it
USUAL: Final = frozenset(CAUSES) - {UNLISTED}


def counting(evidence: Sequence[str]) -> int:
    """Different items, of which an automated score is none."""
    return len({item for item in evidence if not item.lower().startswith("score:")})

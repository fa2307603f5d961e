"""Who may see a deposit."""

from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit


def authorize_access(deposit: Deposit, caller: Caller) -> None:
    """Refused(NOT_FOUND) unless the caller may see the deposit.

    A buyer sees their own, a merchant's staff their merchant's; platform, jobs and signed provider events see all. The id
    of a withdrawal token's holder is the deposit's.
    """
    allowed = {
        "buyer": deposit.created.buyer == caller.id,
        "merchant": deposit.created.merchant == caller.merchant,
        "inspector": deposit.created.merchant == caller.merchant and deposit.trade_in is not None,
        "platform": True,
        "service": True,
        "provider": True,
        "holder": deposit.id == caller.id,
    }
    if not allowed.get(caller.role, False):
        raise Refused(Reason.NOT_FOUND)

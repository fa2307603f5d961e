"""Who may see a deposit."""

from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit


def authorize_access(deposit: Deposit, caller: Caller) -> None:
    """A buyer sees their own, staff their merchant's; platform, jobs and proved provider events everything.

    The holder of a withdrawal token is known by the deposit alone.
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

"""Status and lock of a deposit at an instant. A passed deadline counts whether its event is written or not."""

from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.lock import Lock
from chalicelib.core.deposit.status import FINAL, Status


def status_at(deposit: Deposit, at: int) -> Status:
    """The status at an instant. The same before and after a job writes the deadline event."""
    if deposit.status in FINAL:
        return deposit.status
    if deposit.paid is None:
        return Status.EXPIRED if at >= deposit.created.due_at else Status.AWAITING_PAYMENT
    return Status.LOCKED if lock_at(deposit, at) is not None else Status.COOLING_OFF


def lock_at(deposit: Deposit, at: int) -> Lock | None:
    """The lock at an instant: the recorded one, or the one that the window's end makes. None before a lock.

    A request from before the lock that is processed after it gets None. Cancelled and expired deposits keep their lock.
    """
    if deposit.status in {Status.CANCELLED, Status.EXPIRED}:
        return deposit.lock
    if deposit.lock is not None:
        return deposit.lock if at >= deposit.lock.at else None
    ends_at = deposit.window.ends_at if deposit.window is not None else None
    return Lock("window_end", ends_at) if ends_at is not None and at >= ends_at else None

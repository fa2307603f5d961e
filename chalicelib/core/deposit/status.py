"""The statuses of a deposit.

Theory of operation
-------------------
A deposit has one status machine (this one) and several machines of its parts: payments, refunds, claims, questions and
priority passes, each with a transition table beside its record. ``fold`` puts the status machine together from the rows
that the capabilities declare (``EVENTS`` in ``payment``, ``lock``, ``goods`` ...).

What couples them:
- An event first passes the status machine, then the machine of the part that it names. Either may raise KeyError.
- Events of refunds, claims, questions, passes and chargebacks may happen in every status and never change it (``FREE``).
  Money goes back after the end, too, so a refund outlives its deposit.
- The end of a deposit (``Completed``, ``Cancelled``, ``Expired``) frees stock and limits and drops what was not shipped.

What the table does not tell:
- The status is a function of facts and clock. A cooling-off window that has ended IS a lock, whether ``LockedByWindowEnd``
  was written or not; an unpaid deposit past its due time IS expired. ``clock.status_at`` gives the status at an instant.
- An event meets the status at its own instant (``fold._standing``), not at the time of writing. A cancel asked a
  millisecond before the window's end finds the window open even if the lock was written first.
- Announcements (reminders, ``LockBecameFinal``, ``LockedByWindowEnd``, ``BalanceOverdue``) repeat what the clock already
  says. No decision reads them. ``Expired`` and claims granted by silence are irreversible: ``deadlines`` says when they may
  be written.
"""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where a deposit stands."""

    AWAITING_PAYMENT = "awaiting_payment"
    COOLING_OFF = "cooling_off"
    LOCKED = "locked"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL: Final = frozenset({Status.COMPLETED, Status.CANCELLED, Status.EXPIRED})

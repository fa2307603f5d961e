"""The statuses of a deposit.

Theory of operation
-------------------
A deposit has one status machine (this one) and several machines of its parts: payments, refunds, claims, questions and
priority passes, each with a transition table beside its record. ``fold`` puts the status machine together from the rows
that the capabilities declare (``EVENTS`` in ``payment``, ``lock``, ``goods`` ...).

How they depend on each other:
- An event first passes the status machine, then the machine of the part that it names. Either may raise KeyError.
- Events of refunds, claims, questions, passes and chargebacks may happen in every status and never change it (``FREE``).
  Money goes back after the end, too, so a refund outlives its deposit.
- The end of a deposit (``Completed``, ``Cancelled``, ``Expired``) frees stock and limits and drops what was not shipped.

What the table does not show:
- The status depends on the clock, too. A deposit whose window has ended is locked, whether ``LockedByWindowEnd`` is
  written or not; an unpaid deposit past its due time is expired. ``clock.status_at`` gives the status at an instant.
- An event is checked against the status at its own instant (``fold._find_effective_status``), not at the time of writing. A cancel sent a
  millisecond before the window's end finds the window open even if the lock was written first.
- Announcements (reminders, ``LockBecameFinal``, ``LockedByWindowEnd``, ``BalanceOverdue``) repeat what the clock already
  implies. No decision reads them. ``Expired`` and claims granted by silence are irreversible: ``deadlines`` says when they may
  be written.
"""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """The status of a deposit."""

    AWAITING_PAYMENT = "awaiting_payment"
    COOLING_OFF = "cooling_off"
    LOCKED = "locked"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL: Final = frozenset({Status.COMPLETED, Status.CANCELLED, Status.EXPIRED})

"""The classes of faults, their rates and how often they struck. A class that never strikes fails the run."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Final

IO: Final = ("store.", "process.")
CLASSES: Final = (
    # the store, around one call
    "store.throttled",
    "store.conflict",
    "store.internal_error_before",
    "store.internal_error_after",
    "store.answer_lost",
    "store.answer_lost_and_sent_again",
    "store.not_reached",
    "store.index_lag",
    "store.batch_unprocessed",
    "store.cursor_answer_lost",
    # the process
    "process.crash_before_io",
    "process.crash_after_io",
    "process.frozen",
    "process.deadline",
    "process.clock_skew",
    # the provider, on a refund
    "refund.fails_before",
    "refund.error_before",
    "refund.error_after",
    "refund.executes_then_times_out",
    "refund.executes_late",
    "refund.declined",
    "refund.pending",
    "refund.pending_then_declined",
    "refund.returned_later",
    "refund.wrong_amount",
    "refund.rate_limited",
    "payout.executes_then_times_out",
    # the provider's memory of keys: not drawn, one of them is in every history that sends a refund
    "keys.kept_a_day",
    "keys.kept_a_minute",
    # the banks of buyers
    "bank.no_answer",
    "bank.unknown_account",
    "bank.other_name",
    # the settlement report
    "report.unavailable",
    "report.line_missing",
    "report.wrong_amount",
    "report.line_twice",
    "report.line_late",
    "report.stranger",
    # the provider, on a look
    "look.unavailable",
    "look.stale",
    # the provider, on a payment
    "payment.failed",
    "payment.pending",
    "payment.too_little",
    "payment.too_much",
    "payment.other_currency",
    "payment.twice",
    "payment.late",
    "payment.on_replaced",
    # provider events
    "event.lost",
    "event.duplicated",
    "event.delayed",
    "event.reordered",
    "event.bad_signature",
    "event.old_timestamp",
    "event.unknown_subject",
    "event.balance_lost",
    "event.dispute_lost",
    "event.former_secret",
    # clients
    "client.double_tap",
    "client.new_key",
    "client.replay_after_a_day",
    "client.other_body",
    "client.gives_up",
    "client.stale_version",
    "client.not_the_owner",
    # schedules
    "job.twice",
    "job.missed",
)
# Percent; each history draws one for each class. What may strike at every I/O strikes seldom, or nothing would finish.
RATES_OF_IO: Final = (0, 0, 2, 8)
RATES: Final = (0, 15, 40)
# What meets few calls, or only what another fault has left, strikes often where it strikes.
RARE: Final = frozenset(
    {
        "store.batch_unprocessed",
        "refund.pending",
        "refund.pending_then_declined",
        "refund.returned_later",
        "refund.wrong_amount",
        "event.balance_lost",
        "event.dispute_lost",
        "payout.executes_then_times_out",
        "store.cursor_answer_lost",
    }
)
RATES_OF_RARE: Final = (0, 40, 80)
# Most lines are right, or nothing could be compared.
LINES: Final = frozenset(
    {"report.line_missing", "report.wrong_amount", "report.line_twice", "report.line_late", "report.stranger"}
)
RATES_OF_LINES: Final = (0, 0, 0, 20)


@dataclass
class Faults:
    """The rates of one history. ``off``: no fault strikes any more, to check liveness."""

    rates: dict[str, float]
    hits: Counter[str] = field(default_factory=Counter)
    off: bool = False
    fast_reads: bool = False  # reads take no time, so no other actor runs in between

    @classmethod
    def drawn(cls, random: Random) -> "Faults":
        return cls({name: random.choice(rates_of(name)) for name in CLASSES})

    def strikes(self, name: str, random: Random) -> bool:
        """Whether this fault strikes now. A number is drawn even when faults are off, so that plans stay comparable."""
        assert name in self.rates, name
        hit = random.random() * 100 < self.rates[name]
        if not hit or self.off:
            return False
        self.hits[name] += 1
        return True

    def happened(self, name: str) -> None:
        """Count a fault that is part of the plan and not drawn, once."""
        if not self.off:
            self.hits[name] = 1


def rates_of(name: str) -> tuple[int, ...]:
    """The rates that a history draws from for a class."""
    if name in RARE:
        return RATES_OF_RARE
    if name.startswith("keys."):
        return (0,)
    if name in LINES:
        return RATES_OF_LINES
    return RATES_OF_IO if name.startswith(IO) else RATES

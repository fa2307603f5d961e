"""A plan is made before anything runs: a list of actions with instants, from one seed. Shrinking drops whole actions."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND
from chalicelib.core.reconciliation import lines
from chalicelib.flows.reconciliation import worker
from chalicelib.jobs import sweep
from chalicelib.store import bulks, deposits, movements
from tests.simulator.expected_reasons import RESERVE_LASTS, VALID
from tests.simulator.sales import AGAIN, DEARER, EARLY, PHONES, SALES, SWAPS, Sale

# Where windows and zones are hard: a leap day, both changes of summer time in Europe, a new year, an ordinary day.
STARTS: Final = (
    1_835_395_200_000,  # 2028-02-29T00:00Z
    1_774_735_200_000,  # 2026-03-28T22:00Z
    1_792_879_200_000,  # 2026-10-24T22:00Z
    1_798_757_940_000,  # 2026-12-31T22:59Z
    1_781_524_800_000,  # 2026-06-15T12:00Z
)
BUYERS: Final = 3
ORDERS: Final = frozenset({"order", "pass_order"})


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that somebody does. ``order`` names the order action it is about, ``how`` the way it is done."""

    id: int
    at: int
    kind: str
    buyer: int = 0
    offer: int = 0
    order: int | None = None
    quantity: int = 1
    how: str = ""
    method: str = "card"

    def told(self) -> str:
        """For people, in a script."""
        about = f" of order {self.order}" if self.order is not None else ""
        way = self.method if self.kind == "order" else self.how
        how = f" ({way})" if way else ""
        return f"+{self.at / 1000:>10.3f} s  #{self.id:<3} buyer {self.buyer} {self.kind}{how}{about}"


@dataclass(frozen=True, slots=True)
class Grain:
    """How finely jobs and reconciliation are cut: histories are small, and often every deposit makes a page of its own."""

    chunk: int = 2_000
    report: int = 100
    rows: int = 500
    shards: int = 16
    due: int = 16

    def sizes(self) -> Iterator[tuple[Any, str, int]]:
        yield worker, "CHUNK_LINES", self.chunk
        yield worker, "REPORT_PAGE", self.report
        yield movements, "PAGE_ROWS", self.rows
        yield lines, "SHARDS", self.shards
        yield worker, "SHARDS", self.shards
        yield deposits, "DUE_SHARDS", self.due
        yield bulks, "DUE_SHARDS", self.due
        yield worker, "DUE_SHARDS", self.due
        yield sweep, "DUE_SHARDS", self.due


@dataclass(frozen=True, slots=True)
class Plan:
    """One history's actions and its provider's memory."""

    seed: int
    start: int
    key_retention_ms: int
    actions: tuple[Action, ...]
    grain: Grain = Grain()


def make(seed: int) -> Plan:
    """The plan of a seed: the same seed, the same plan."""
    random = Random(f"plan/{seed}")
    actions: list[Action] = []
    for _ in range(random.choice((3, 3, 4, 4))):
        random.choice(STORIES)(random, actions)
    _jobs(random, actions)
    if not random.randrange(3):
        actions.append(Action(len(actions), random.randrange(20 * MINUTE), "close", offer=random.choice(actions).offer))
    retention = random.choice((DAY, MINUTE))
    grain = Grain(
        chunk=random.choice((1, 1, 2_000)),
        report=random.choice((1, 2, 100)),
        rows=random.choice((1, 500)),
        shards=random.choice((1, 2, 2, 3, 3, 4, 16)),
        due=random.choice((1, 2, 2, 4, 4, 16)),
    )
    ordered = tuple(sorted(actions, key=lambda one: (one.at, one.id)))
    return Plan(seed, random.choice(STARTS), retention, ordered, grain)


class _Story:
    """One order and what is done about it. Offsets count from the order."""

    def __init__(
        self,
        random: Random,
        actions: list[Action],
        offers: Sequence[int],
        quantities: Sequence[int] = (1, 1, 1, 2),
        *,
        any_method: bool = False,
    ) -> None:
        self.random = random
        self.actions = actions
        self.buyer, self.offer = random.randrange(BUYERS), random.choice(offers)
        self.begins = random.randrange(10 * MINUTE)
        self.order = len(actions)
        self.sale = SALES[self.offer]
        quantity = random.choice(quantities)
        method = random.choice(self.sale.methods if any_method else ("card", *self.sale.methods))
        self.actions.append(
            Action(self.order, self.begins, "order", self.buyer, self.offer, None, quantity, method=method)
        )

    def then(self, kind: str, earliest: int, latest: int, how: str = "") -> int:
        """An action somewhere in a span; gives its offset."""
        after = self.random.randrange(earliest, latest)
        at = self.begins + after
        self.actions.append(Action(len(self.actions), at, kind, self.buyer, self.offer, self.order, how=how))
        return after

    def again(self, kind: str, offer: int, earliest: int, latest: int, how: str = "") -> "_Story":
        """Another order, of the same buyer's when it is made with the pass of this one; what follows is about that."""
        other = copy(self)
        other.order, other.offer, other.sale = len(self.actions), offer, SALES[offer]
        about = self.order if kind == "pass_order" else None
        if kind != "pass_order":
            other.buyer = self.random.randrange(BUYERS)
        other.begins = self.begins + self.random.randrange(earliest, latest)
        other.begins += max(_wakes(other.sale, how) - other.begins, 0) if how != "lapsing" else VALID - 3 * HOUR
        self.actions.append(Action(other.order, other.begins, kind, other.buyer, offer, about, how=how))
        return other

    def perhaps(self, one_in: int) -> bool:
        return not self.random.randrange(one_in)

    def come_round(self) -> None:
        """The schedule comes round soon after, as it does in life."""
        ends = self.actions[-1].at
        for wait in (MINUTE, 3 * MINUTE, 10 * MINUTE, 40 * MINUTE):
            if self.random.randrange(2):
                at = ends + self.random.randrange(wait)
                self.actions.append(Action(len(self.actions), at, "send_refunds"))

    def paid(self) -> int:
        """Soon and mostly without any trouble: what this story is about comes later. Gives the offset."""
        return self.then("pay", 1_000, 3 * MINUTE, self.random.choice(("surely", "surely", "surely", ""))) + 10 * SECOND

    def lock(self, after: int, how: str = "right") -> int:
        """A look at what it means, and the lock a little later."""
        shown = self.then("intent", after, after + MINUTE)
        wait = self.random.choice((2, 9, 11, 40, 300)) * SECOND
        return self.then("lock", shown + wait, shown + 2 * wait, how)


def _leaving(random: Random, actions: list[Action]) -> None:
    """Ordered, mostly paid, and perhaps cancelled, at hard instants too."""
    story = _Story(random, actions, range(len(SALES)))
    if random.randrange(5):
        story.then("pay", 1_000, 14 * MINUTE)
    if story.perhaps(4):
        story.then("method", 1_000, 10 * MINUTE)
        story.then("pay", 10_000, 14 * MINUTE)
    if story.perhaps(3):
        story.then("unlock", MINUTE, 90 * MINUTE)
    for _ in range(random.randrange(3)):
        story.then("cancel", MINUTE, random.choice((20 * MINUTE, 3 * HOUR, 169 * HOUR)))
        story.come_round()
    for _ in range(random.randrange(3)):
        story.then(random.choice(("look", "list")), 1_000, 4 * HOUR)
    window = story.sale.window
    if window is not None and random.randrange(2):
        story.then("edge_cancel", window - 2_000, window + 14 * MINUTE)


HOWS: Final = ("right", "right", "right", "right", "early", "words", "hash", "old", "foreign", "expiring")


def _locking(random: Random, actions: list[Action]) -> None:
    """Shown, changed, locked in right and wrong ways, undone, and lost in races."""
    story = _Story(random, actions, EARLY)
    at = story.paid()
    for _ in range(random.randrange(1, 4)):
        if story.perhaps(2):
            at = story.then("change", at, at + 10 * MINUTE)
        at = story.lock(at, random.choice(HOWS))
        if story.perhaps(3):
            story.then("change", at - 5 * SECOND, at + MINUTE)
        if story.perhaps(3):
            at = story.then("unlock", at + SECOND, at + 70 * MINUTE, random.choice(("", "", "edge")))
        if story.perhaps(3):
            # Undone soon, and then once more by what was shown before.
            at = story.then("unlock", at + SECOND, at + 2 * MINUTE)
            at = story.then("lock", at + SECOND, at + 3 * MINUTE)
    if story.perhaps(2):
        at = story.then("race", at, at + 20 * MINUTE, random.choice(("cancel", "cancel", "change", "unlock")))
    window = story.sale.window
    if window is not None and story.perhaps(2):
        edge = random.choice(("edge_lock", "edge_lock", "edge_change", "edge_cancel"))
        story.then(edge, window - 20 * MINUTE, window - MINUTE)
    if story.perhaps(2):
        story.then("cancel", at, at + random.choice((20 * MINUTE, 3 * HOUR)), random.choice(("", "edge")))
        story.come_round()


def _fulfilling(random: Random, actions: list[Action]) -> None:
    """Locked for good, made ready, paid, shipped, received; or the buyer's default. Each waits for what it needs."""
    story = _Story(random, actions, range(len(SALES)), (1, 2))
    at = story.paid()
    if story.sale.early and random.randrange(3):
        if story.perhaps(4):
            at = story.then("change", at, at + 5 * MINUTE)
        at = story.lock(at)
    if story.perhaps(3):
        story.then("ready", at, at + 10 * MINUTE, "final")
        story.then("default", at, at + HOUR, random.choice(("edge", "edge", "late", "at_once")))
        if story.perhaps(2):
            story.then("balance", at, at + 10 * MINUTE, "in_time")
    else:
        story.then("ready", at, at + 10 * MINUTE, random.choice(("final", "edge", "at_once")))
        how = random.choice(("surely", "surely", "final", "edge", "late", "at_once"))
        story.then("balance", at, at + 10 * MINUTE, how)
    for _ in range(random.randrange(1, 3)):
        story.then("ship", at, at + HOUR, random.choice(("one", "rest", "rest", "at_once", "too_many")))
    if story.perhaps(2):
        story.then("deliver", at, at + HOUR)
    if story.perhaps(2):
        story.then("receipt", at, at + HOUR)
    _doubting(story, at)
    if story.perhaps(6):
        story.then("goodwill", at, at + 3 * HOUR, random.choice(GRANTS))
    if story.perhaps(4):
        taken = story.then("chargeback", at + HOUR, at + 6 * HOUR, random.choice(("won", "lost")))
        story.then("goodwill", taken, taken + 2 * HOUR)
    if story.perhaps(4):
        story.then("cancel", at + MINUTE, at + 9 * HOUR)
        story.come_round()
    if story.perhaps(3):
        story.then("withdraw", at, at + random.choice((2 * HOUR, 9 * HOUR)), random.choice(("buyer", "holder")))
        story.come_round()


def _withdrawing(random: Random, actions: list[Action]) -> None:
    """The right to withdraw, before payment and after it, with and without a login."""
    story = _Story(random, actions, range(len(SALES)))
    if random.randrange(5):
        story.paid()
    if story.sale.early and story.perhaps(3):
        story.lock(3 * MINUTE)
    for _ in range(random.randrange(1, 3)):
        story.then("withdraw", MINUTE, random.choice((20 * MINUTE, 4 * HOUR)), random.choice(("buyer", "holder")))
        story.come_round()
    if story.perhaps(4):
        story.then("cancel", MINUTE, 3 * HOUR)


def _trading_in(random: Random, actions: list[Action]) -> None:
    """An old phone for a new one: inspected, cancelled by either side, both at once, and twice."""
    story = _Story(random, actions, SWAPS)
    at = story.paid()
    if story.perhaps(5):
        at = story.then("inspect", at, at + HOUR, random.choice(("unproved", "no_ground", "other_category")))
    if story.perhaps(3):
        at = story.then("inspect", at, at + HOUR, "matched")
    kinds = random.choice((("inspect",), ("inspect",), ("fall_through",), ("cancel",), ("inspect", "cancel")))
    for kind in kinds:
        story.then(kind, at, at + HOUR, "mismatched" if kind == "inspect" else "")
    if story.perhaps(2):
        story.then("inspect_race", at, at + HOUR, random.choice(("cancel", "fall_through", "inspect")))
    story.come_round()
    if story.perhaps(3):
        story.then("claim", at, at + 2 * HOUR, random.choice(("trade_in", "trade_in", "other", "part")))
        _answering(story, at)
    if story.perhaps(5):
        story.then("goodwill", at, at + HOUR, random.choice(GRANTS))
    if story.perhaps(4):
        story.then("withdraw", at, at + 4 * HOUR, random.choice(("buyer", "holder")))


SEVERAL_WAYS: Final = tuple(number for number, sale in enumerate(SALES) if len(sale.methods) > 2)
GRANTS: Final = ("", "", "all", "too_much", "stale", "race", "race", "other_deposit")
NAMINGS: Final = ("", "", "changed", "changed", "hurried", "twice", "no_consent", "early")
SPANS: Final = ("whole", "whole", "day", "hour", "future")


def _refunding(random: Random, actions: list[Action]) -> None:
    """Money goes back in every way: granted, owed, declined, paid out, taken by a bank; and the books are compared."""
    story = _Story(random, actions, (*range(len(SALES)), *SEVERAL_WAYS), any_method=True)
    at = story.then("pay", 1_000, 3 * MINUTE, "surely") + 10 * SECOND
    if story.perhaps(4):
        story.then("chargeback", at, at + 2 * HOUR, random.choice(("won", "lost")))
    for _ in range(random.choice((0, 1, 1, 2))):
        story.then("goodwill", at, at + random.choice((HOUR, 8 * HOUR)), random.choice(GRANTS))
        story.come_round()
    if random.randrange(4):
        left = story.then("cancel", at, at + random.choice((20 * MINUTE, 3 * HOUR)))
        story.come_round()
        if story.perhaps(2):
            story.then("chargeback", max(left - 5 * MINUTE, at), left + 20 * MINUTE, random.choice(("won", "lost")))
        at = left
    _claiming(story, at)
    if story.perhaps(2):
        _booking(story)


def _claiming(story: _Story, at: int) -> None:
    """What became of a refund, and what people do about it in the next days."""
    random = story.random
    if random.randrange(4):
        story.then("destination", at, at + 2 * HOUR, random.choice(NAMINGS))
    if story.perhaps(2):
        story.then("destination", at + DAY, at + 50 * HOUR, random.choice(NAMINGS))
    if story.perhaps(4):
        story.then("reroute", at, at + random.choice((HOUR, 30 * HOUR)))
        story.then("destination", at + HOUR, at + 34 * HOUR, random.choice(NAMINGS))
    if random.randrange(3):
        stuck = story.then("reroute", at, at + 20 * MINUTE, "stuck")
        story.then("destination", stuck + 5 * HOUR, stuck + 6 * HOUR, random.choice(NAMINGS))
    if story.perhaps(6):
        story.then("chargeback", at + HOUR, at + 30 * HOUR, random.choice(("won", "lost")))
    if story.perhaps(3):
        story.then("prove", at, at + 30 * HOUR)


def _booking(story: _Story) -> None:
    """Runs on demand and by the schedule, again and again until one gets through."""
    late = story.perhaps(2)  # when promises of a week have been missed
    begins, ends = (7 * DAY + 4 * HOUR, 9 * DAY) if late else (26 * HOUR, 80 * HOUR)
    begins = story.then("run", begins, ends, "whole" if late else story.random.choice(SPANS))
    for _ in range(story.random.randrange(3)):
        story.then("reconcile", begins - HOUR, begins + 3 * HOUR)


def _wakes(sale: Sale, how: str) -> int:
    """When people get up who order at an instant of a sale."""
    opens = sale.opens_after - 5 * MINUTE
    return {"opening": opens, "open": opens, "ended": opens + RESERVE_LASTS}.get(how, 0)


# How a merchant cancels: rightly, at the merchant's own fault, at the buyer's, and in every wrong way.
REASONS: Final = (
    *("", "", "default", "default", "limit", "unpaid"),
    *("unproved", "score", "same", "unasked", "alone", "unpublished"),
)
RIVALS: Final = ("cancel", "cancel", "unlock", "intent", "pay", "expiry", "twice")


def _taking_back(random: Random, actions: list[Action]) -> None:
    """The merchant cancels, with and without the right to it, and in races; money and what is on top go back."""
    story = _Story(random, actions, (*range(len(SALES)), PHONES, PHONES))
    at = story.paid() if random.randrange(5) else MINUTE
    if story.sale.early and story.perhaps(3):
        at = story.lock(at)
    if story.perhaps(3):
        story.then("balance", at, at + 10 * MINUTE, "surely")
        at = story.then("ship", at + HOUR, at + 3 * HOUR, "one")
    if story.perhaps(4):
        story.then("goodwill", at, at + HOUR)
    if story.perhaps(3):
        story.then("merchant_race", at, at + random.choice((MINUTE, 3 * HOUR)), random.choice(RIVALS))
        story.come_round()
    for _ in range(random.randrange(1, 4)):
        at = story.then(
            "merchant_cancel", at, at + random.choice((MINUTE, 3 * HOUR, 30 * HOUR)), random.choice(REASONS)
        )
        story.come_round()
    if story.perhaps(2):
        _claiming(story, at)
    if story.perhaps(3):
        story.then("claim", at, at + 2 * HOUR, "appeal")
        _answering(story, at)
    if story.perhaps(4):
        story.then("cancel", MINUTE, at + HOUR)


def _asking(random: Random, actions: list[Action]) -> None:
    """Questions, answers in time or not, and cancellations on the silence, to the millisecond."""
    story = _Story(random, actions, range(len(SALES)))
    at = story.paid() if random.randrange(8) else MINUTE
    for _ in range(random.choice((1, 1, 2))):
        kind = random.choice(("address", "address", "contact", "verification"))
        asked = story.then("ask", at, at + HOUR, kind)
        if story.perhaps(2):
            story.then("answer", asked + MINUTE, asked + 2 * HOUR, random.choice(("", "edge", "edge", "late", "late")))
        if random.randrange(5):
            story.then("merchant_cancel", asked + MINUTE, asked + 2 * HOUR, "question")
        if story.perhaps(4):
            late = asked + 49 * HOUR
            story.then(random.choice(("answer", "merchant_cancel", "close_windows")), late, late + HOUR, "question")
    if story.perhaps(4):
        story.then("cancel", at, at + 50 * HOUR)


AGREED: Final = ("", "", "", "same", "both", "never", "last", "one", "unproved", "unpublished")


def _clearing(random: Random, actions: list[Action]) -> None:
    """Several orders of one sale, cancelled at once, with a second person or without one."""
    story = _Story(random, actions, (PHONES, PHONES, PHONES, 0, 2, 4))
    story.paid()
    for _ in range(random.randrange(1, 3)):
        other = story.again("order", story.offer, 1_000, 20 * MINUTE)
        if random.randrange(3):
            other.paid()
    at = story.then("bulk", 20 * MINUTE, 3 * HOUR, random.choice(AGREED))
    for kind in ("merchant_cancel", "cancel", "bulk"):
        if story.perhaps(3):
            how = random.choice(AGREED) if kind == "bulk" else ""
            story.then(kind, at, at + random.choice((10 * MINUTE, 2 * HOUR)), how)
    for _ in range(random.randrange(3)):
        actions.append(Action(len(actions), story.begins + at + random.randrange(3 * HOUR), "close_windows"))


SPENT: Final = ("", "", "", "opening", "open", "twice", "twice", "foreign", "two", "dear", "ended", "lapsing")
EVERYBODY: Final = ("opening", "opening", "open", "ended", "ended", "")


def _second_chance(random: Random, actions: list[Action]) -> None:
    """Cancelled at the merchant's fault, and first in line at the next sale, beside everybody else."""
    story = _Story(random, actions, (PHONES,), (1, 1, 2))
    at = story.paid() if random.randrange(6) else MINUTE
    at = story.then("merchant_cancel", at, at + HOUR, "default")
    story.come_round()
    for _ in range(random.choice((1, 2, 2, 3))):
        how = random.choice(SPENT)
        offer = DEARER if how == "dear" else random.choice((AGAIN, AGAIN, AGAIN, PHONES))
        _spending(story.again("pass_order", offer, at, at + 2 * HOUR, how))
    for _ in range(random.randrange(3)):
        offer, how = random.choice((AGAIN, AGAIN, DEARER)), random.choice(EVERYBODY)
        other = story.again("order", offer, at, at + 2 * HOUR, how)
        other.then("pay", MINUTE, 10 * MINUTE, "surely")
        if other.perhaps(3):
            other.again("order", offer, 1, MINUTE, how)


def _spending(story: _Story) -> None:
    """What becomes of an order with a pass: paid in time or late, left, taken back again, or forgotten."""
    random = story.random
    end = random.choice(("pay", "pay", "late", "cancel", "merchant_cancel", "merchant_cancel", "race", ""))
    if end == "pay" or (end == "merchant_cancel" and story.perhaps(2)):
        story.paid()
    if end == "late":
        story.then("pay", 13 * MINUTE, 20 * MINUTE)
    if end == "cancel":
        story.then("cancel", MINUTE, 20 * MINUTE)
    if end == "merchant_cancel":
        at = story.then(
            "merchant_cancel", MINUTE, 14 * MINUTE, random.choice(("default", "limit", "limit", "unpaid", ""))
        )
        if story.perhaps(2):
            story.then("claim", at, at + HOUR, "appeal")
            _answering(story, at)
    if end == "race":
        story.then("merchant_race", MINUTE, 10 * MINUTE, random.choice(RIVALS))
    for _ in range(random.randrange(3)):
        story.then("close_windows", 14 * MINUTE, 40 * MINUTE)


# Sales in which not everything is promised for half a year from now.
SOON_THERE: Final = (*range(len(SALES)), *(number for number, sale in enumerate(SALES) if (sale.promised or 0) < DAY))
# Sales that are paid at once and promise no time.
AT_ONCE: Final = tuple(n for n, sale in enumerate(SALES) if not (sale.promised or sale.deposit or sale.credit))
# Claims: what they are about, and what people do about them, in time, at its very end, too late, or never.
OWED: Final = (
    "goods",
    "goods",
    "goods",
    "part",
    "part",
    "part",
    "other",
    "refund_amount",
    "privacy",
    "mistake",
    "mistake",
    "wrong",
)
EDGY: Final = ("", "", "", "", "/edge", "/edge", "/late")
ANSWERS: Final = ("accept", "equal", "equal", "equal", "more", "more", "low", "reject", "reject")
TAKEN: Final = ("accept", "accept", "escalate", "withdraw", "evidence", "evidence")
RULED: Final = ("uphold", "partly", "dismiss")

# What leads to a decision most directly.
COURSES: Final = (
    (("respond", "equal"), ("take", "accept")),
    (("respond", "equal"), ("take", "escalate"), ("rule", "uphold")),
    (("respond", "equal"), ("rule", "uphold")),
    (("respond", "more"), ("take", "accept")),
    (("respond", "reject"), ("rule", "partly")),
    (("respond", "reject"), ("rule", "uphold")),
    (("respond", "low"), ("respond", "reject")),
    (("respond", "accept"),),
    (),
)


def _answering(story: _Story, at: int) -> None:
    """What both sides and the platform do about claims, and what else happens meanwhile."""
    random = story.random
    for kind, how in random.choice(COURSES):
        story.then(kind, at, at + 2 * HOUR, how + random.choice(EDGY))
    for kind, hows, times in (
        ("respond", ANSWERS, (0, 0, 1, 2)),
        ("take", TAKEN, (0, 0, 1, 2)),
        ("rule", RULED, (0, 1)),
    ):
        for _ in range(random.choice(times)):
            story.then(kind, at, at + random.choice((2 * HOUR, 60 * HOUR)), random.choice(hows) + random.choice(EDGY))
    for _ in range(random.randrange(3)):
        story.then("look_at_claim", at, at + random.choice((HOUR, 80 * HOUR)), random.choice(("edge", "edge", "")))
    for _ in range(random.randrange(3)):
        later = story.begins + at + random.randrange(8 * DAY)
        story.actions.append(Action(len(story.actions), later, random.choice(("send_refunds", "close_windows"))))


def _doubting(story: _Story, at: int) -> None:
    """Some who get their goods say that they did not."""
    if story.perhaps(4):
        story.then("claim", at, at + 6 * HOUR, story.random.choice(OWED))
        _answering(story, at)


def _disputing(random: Random, actions: list[Action]) -> None:
    """Goods that did not come, money that was kept, a lock that was a slip; and all else that goes on with an order."""
    story = _Story(random, actions, SOON_THERE, (1, 2, 2))
    at = story.then("pay", MINUTE, 6 * MINUTE, "surely") + 10 * SECOND
    if story.sale.early and story.perhaps(2):
        at = story.lock(at)
    if random.randrange(4):
        story.then("balance", at, at + 10 * MINUTE, "surely")
    for _ in range(random.randrange(3)):
        story.then("ship", at, at + 3 * HOUR, random.choice(("one", "one", "rest")))
    for _ in range(random.choice((1, 2, 3))):
        how = random.choice(OWED)
        edge = {"part": ("", "/promised"), "goods": ("", "", "/promised", "/last"), "mistake": ("", "/mistaken")}
        story.then("claim", at, at + 3 * HOUR, how + random.choice(edge.get(how, ("",))))
    _answering(story, at)
    others = (("goodwill", GRANTS), ("cancel", ("",)), ("merchant_cancel", ("", "default")), ("ship", ("one", "rest")))
    for kind, hows in others:
        if story.perhaps(4):
            story.then(kind, at, at + random.choice((9 * HOUR, 90 * HOUR)), random.choice(hows))
    if story.perhaps(2):
        story.then("claim", at + 3 * HOUR, at + 160 * HOUR, "again")
    if story.perhaps(2):
        story.then("ship", at + 70 * HOUR, at + 150 * HOUR, random.choice(("one", "rest", "too_many", "too_many")))
    if story.perhaps(6):
        story.then("unlock", at, at + 2 * HOUR)
    if story.perhaps(6):
        story.then("chargeback", at, at + 20 * HOUR, random.choice(("won", "lost")))
    if story.perhaps(6):
        story.then("withdraw", at, at + 20 * HOUR, random.choice(("buyer", "holder")))


def _going_short(random: Random, actions: list[Action]) -> None:
    """A unit is paid back while all is still to be shipped; it must not leave as well, and the rest must.

    Or all has left, and the buyer calls it a slip: then the goods are paid for, whatever is offered. Or a part has left,
    the buyer leaves as well, and what is in question meets goodwill.
    """
    story = _Story(random, actions, AT_ONCE, (2,))
    at = story.then("pay", MINUTE, 6 * MINUTE, "surely") + 10 * SECOND
    if story.perhaps(2):
        story.then("ship", at, at + HOUR, "rest")
        story.then("claim", at + 7 * HOUR, at + 9 * HOUR, "mistake")
        story.then("respond", at + 7 * HOUR, at + 9 * HOUR, random.choice(("more", "more", "equal")))
        story.then("take", at + 9 * HOUR, at + 40 * HOUR, "accept")
        return
    if story.perhaps(2):
        story.then("ship", at, at + HOUR, "one")
        story.then("claim", at + 7 * HOUR, at + 9 * HOUR, "again")
        story.then("cancel", at + 10 * HOUR, at + 12 * HOUR)
        story.then("goodwill", at + 12 * HOUR, at + 40 * HOUR, random.choice(("", "all")))
        return
    story.then("claim", at, at + 4 * HOUR, "part")
    for kind, how in random.choice(COURSES):
        story.then(kind, at, at + 2 * HOUR, how + random.choice(EDGY))
    for _ in range(2):
        story.then("ship", at + 12 * HOUR, at + 170 * HOUR, random.choice(("too_many", "too_many", "one", "rest")))


def _appealing(random: Random, actions: list[Action]) -> None:
    """Cancelled by the merchant, or at a cost, and disputed; what an appeal gives is spent."""
    story = _Story(random, actions, (*range(len(SALES)), PHONES, PHONES))
    at = story.paid() if random.randrange(5) else MINUTE
    kinds: tuple[str, ...] = ("appeal", "appeal", "appeal", "appeal", "part", "privacy")
    if random.randrange(3):
        how = random.choice(("limit", "limit", "limit", "", "default", "unpaid"))
        at = story.then("merchant_cancel", at, at + HOUR, how)
    else:
        at = story.then("cancel", at + 2 * HOUR, at + 5 * HOUR)
        kinds = ("mistake", "mistake", "other", "trade_in")
    for _ in range(random.choice((1, 2))):
        story.then("claim", at, at + 5 * HOUR, random.choice(kinds))
    _answering(story, at)
    if story.perhaps(4):
        story.then("goodwill", at, at + HOUR, random.choice(GRANTS))
    if story.offer == PHONES and story.perhaps(2):
        late = at + random.choice((HOUR, 80 * HOUR))
        _spending(story.again("pass_order", random.choice((AGAIN, PHONES)), at, late))
    if story.perhaps(3):
        _claiming(story, at)


STORIES: Final[tuple[Callable[[Random, list[Action]], None], ...]] = (
    *(_leaving, _leaving, _leaving),
    *(_locking, _locking),
    *(_fulfilling, _fulfilling, _fulfilling),
    _withdrawing,
    _trading_in,
    *(_refunding, _refunding, _refunding, _refunding, _refunding),
    *(_taking_back, _taking_back, _taking_back),
    *(_asking, _asking),
    *(_clearing, _clearing),
    *(_second_chance, _second_chance, _second_chance),
    *(_disputing, _disputing, _disputing, _disputing, _disputing),
    *(_appealing, _appealing, _appealing),
    _going_short,
)


def _jobs(random: Random, actions: list[Action]) -> None:
    for _ in range(random.randrange(4, 10)):
        spread = random.choice((30 * MINUTE, 4 * HOUR, 170 * HOUR))
        kind = random.choice(("send_refunds", "close_windows"))
        actions.append(Action(len(actions), random.randrange(spread), kind))

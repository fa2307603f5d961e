"""A plan is made before anything runs: a list of actions with instants, from one seed. Shrinking drops whole actions."""

from dataclasses import dataclass
from random import Random
from typing import Any, Final

from chalicelib.core.instants import DAY, HOUR, MINUTE

# Where windows and zones are hard: a leap day, both changes of summer time in Europe, a new year, an ordinary day.
STARTS: Final = (
    1_835_395_200_000,  # 2028-02-29T00:00Z
    1_774_735_200_000,  # 2026-03-28T22:00Z
    1_792_879_200_000,  # 2026-10-24T22:00Z
    1_798_757_940_000,  # 2026-12-31T22:59Z
    1_781_524_800_000,  # 2026-06-15T12:00Z
)
BUYERS: Final = 3


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that somebody does. ``order`` names the order action it is about."""

    id: int
    at: int
    kind: str
    buyer: int = 0
    offer: int = 0
    order: int | None = None
    quantity: int = 1

    def told(self) -> str:
        """For people, in a script."""
        about = f" of order {self.order}" if self.order is not None else ""
        return f"+{self.at / 1000:>10.3f} s  #{self.id:<3} buyer {self.buyer} {self.kind}{about}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One history's actions and its provider's memory."""

    seed: int
    start: int
    key_retention_ms: int
    actions: tuple[Action, ...]


OFFERS: Final[tuple[dict[str, Any], ...]] = (
    {
        "title": "few",
        "market": "CN",
        "preset": "su7_2024",
        "limits": {"per_buyer": 2},
        "window": {"kind": "elapsed", "length": "PT2H"},
        "items": [{"sku": "few", "name": "Few", "price": {"amount": "100", "currency": "CNY"}, "stock": 3}],
        "payment": {"deposit": {"amount": "30", "currency": "CNY"}},
        "shipping": {"amount": "7.50", "currency": "CNY"},
    },
    {
        "title": "founders",
        "market": "CN",
        "preset": "su7_founders_2024",
        "limits": {"per_buyer": None},
        "items": [{"sku": "founders", "name": "Founders", "price": {"amount": "215900", "currency": "CNY"}}],
    },
    {
        "title": "flash",
        "market": "ID",
        "currency": "IDR",
        "preset": "flash_sale",
        "items": [{"sku": "flash", "name": "Flash", "price": {"amount": "1900000", "currency": "IDR"}, "stock": 20}],
        "shipping": {"amount": "18000", "currency": "IDR"},
    },
    {
        "title": "bike",
        "market": "EU",
        "currency": "EUR",
        "preset": "recommended",
        "payment": {"deposit": {"amount": "33.33", "currency": "EUR"}},
        "items": [
            {"sku": "bike", "name": "Bike", "price": {"amount": "1000", "currency": "EUR"}, "made_to_spec": True}
        ],
    },
)
# Milliseconds of each offer's elapsed window, of its undo, and whether a cancel after the lock keeps something.
WINDOWS: Final = (2 * HOUR, None, None, 168 * HOUR)
UNDOS: Final = (None, HOUR, None, None)
FORFEITS: Final = (True, True, False, True)


def make(seed: int) -> Plan:
    """The plan of a seed: the same seed, the same plan."""
    random = Random(f"plan/{seed}")
    actions: list[Action] = []
    for _ in range(random.randrange(3, 7)):
        _story(random, actions)
    _jobs(random, actions)
    if not random.randrange(3):
        actions.append(Action(len(actions), random.randrange(20 * MINUTE), "close", offer=random.choice(actions).offer))
    retention = DAY if random.randrange(4) else MINUTE
    return Plan(seed, random.choice(STARTS), retention, tuple(sorted(actions, key=lambda one: (one.at, one.id))))


def _story(random: Random, actions: list[Action]) -> None:
    """One order and what is done about it, by its buyer, the provider and a stranger."""
    buyer, offer = random.randrange(BUYERS), random.randrange(len(OFFERS))
    begins = random.randrange(10 * MINUTE)
    order = len(actions)
    actions.append(Action(order, begins, "order", buyer, offer, None, random.choice((1, 1, 1, 2))))

    def then(kind: str, earliest: int, latest: int) -> None:
        at = begins + random.randrange(earliest, latest)
        actions.append(Action(len(actions), at, kind, buyer, offer, order))

    if random.randrange(5):
        then("pay", 1_000, 14 * MINUTE)
    if not random.randrange(4):
        then("method", 1_000, 10 * MINUTE)
        then("pay", 10_000, 14 * MINUTE)
    if not random.randrange(3):
        then("unlock", MINUTE, 90 * MINUTE)
    for _ in range(random.randrange(3)):
        spread = random.choice((20 * MINUTE, 3 * HOUR, 169 * HOUR))
        then("cancel", MINUTE, spread)
        # The schedule comes round soon after, as it does in life.
        ends = actions[-1].at
        for wait in (MINUTE, 3 * MINUTE, 10 * MINUTE, 40 * MINUTE):
            if random.randrange(2):
                actions.append(Action(len(actions), ends + random.randrange(wait), "send_refunds"))
    for _ in range(random.randrange(3)):
        then(random.choice(("look", "list")), 1_000, 4 * HOUR)
    window = WINDOWS[offer]
    if random.randrange(2) and window is not None:
        then("edge_cancel", window - 2_000, window + 14 * MINUTE)


def _jobs(random: Random, actions: list[Action]) -> None:
    for _ in range(random.randrange(4, 10)):
        spread = random.choice((30 * MINUTE, 4 * HOUR, 170 * HOUR))
        kind = random.choice(("send_refunds", "close_windows"))
        actions.append(Action(len(actions), random.randrange(spread), kind))

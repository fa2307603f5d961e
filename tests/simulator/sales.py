"""The offers of every plan and their figures, computed by hand and independent of the code under test.

Durations in milliseconds, amounts in minor units.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND, format_instant
from tests.simulator.expected_reasons import USUAL

REVIEW: Final = 10 * SECOND
INTENT_TTL: Final = 15 * MINUTE
COOL_DOWN: Final = 24 * HOUR  # until another account than the first one is paid


@dataclass(frozen=True, slots=True)
class RefundRoute:
    """How a payment method gives money back: for how many days, a part of it too, and at which hours of the day (UTC) not."""

    days: int | None = None
    partial: bool = True
    to_source: bool = True
    quiet: tuple[int, int] | None = None

    def quiet_at(self, at: int) -> bool:
        return self.quiet is not None and self.quiet[0] <= at % DAY < self.quiet[1]


REFUND_ROUTES: Final = {
    "card": RefundRoute(330),
    "alipay": RefundRoute(365),
    "wechat_pay": RefundRoute(365),
    "gopay": RefundRoute(45),
    "ovo": RefundRoute(7, partial=False),
    "qris": RefundRoute(7, partial=False),
    # From 23:55 to 06:00, seven hours ahead.
    "shopeepay": RefundRoute(365, quiet=(16 * HOUR + 55 * MINUTE, 23 * HOUR)),
    "virtual_account": RefundRoute(to_source=False),
}


@dataclass(frozen=True, slots=True)
class Sale:
    """One offer. ``deposit`` is for a unit, None takes everything at once; ``cap`` is the percentage that may be kept.

    ``credit`` is what an old device pays, ``fee`` what its published band charges for a mismatch.
    ``methods`` are the ways to pay, as far as plans use them.
    ``window`` None locks at payment; ``reminders`` are distances before its end; ``counted`` are the SKUs with a stock.
    ``codes`` are the published reasons; ``doubles``: a seller in default pays earnest money once more. It opens so long
    after the history begins (0 is at once), and ``kept_from`` says from which shard on a SKU's units are for passes.
    ``promised`` is from the lock to delivery; before that nobody can claim what did not leave.
    """

    body: dict[str, Any]
    prices: dict[str, int]
    shipping: int = 0
    deposit: int | None = None
    methods: tuple[str, ...] = ("card",)
    counted: frozenset[str] = frozenset()
    limited: bool = False
    window: int | None = None
    undo: int | None = None
    early: bool = False
    reminders: tuple[int, ...] = ()
    forfeits: bool = False
    cap: int | None = None
    withdrawal: bool = True
    credit: int = 0
    fee: int = 0
    balance_due: int = 3 * HOUR
    cure: int = 2 * HOUR
    codes: frozenset[str] = USUAL
    doubles: bool = False
    opens_after: int = 0
    kept_from: dict[str, int] = field(default_factory=dict)
    promised: int | None = None

    def published(self, start: int) -> dict[str, Any]:
        """The body as it is sent in a history that begins then."""
        opens_at = format_instant(start + self.opens_after) if self.opens_after else None
        return {**self.body, "opens_at": opens_at}

    @property
    def title(self) -> str:
        return str(self.body["title"])

    def at_stake(self, ordered: int, goods: int) -> int:
        """What a buyer who leaves after the lock loses, of goods worth ``goods`` of which nothing was shipped.

        ``ordered`` is what the goods were worth when the deposit was taken, ``deposit`` for each of their units.
        """
        if not self.forfeits:
            return 0
        earnest = min(ordered, goods)
        return earnest if self.cap is None else min(earnest, goods * self.cap // 100)

    def on_top(self, ordered: int, goods: int, left: int) -> int:
        """What a seller in default pays besides, when goods worth ``left`` did not come: rounded up."""
        return -(-self.at_stake(ordered, goods) * left // goods) if self.doubles else 0


SWAP_METHODS: Final = ("card", "shopeepay", "virtual_account")


def _swap(name: str, price: str, credit: str) -> dict[str, Any]:
    """A new phone for money and an old one."""
    return {
        "title": name,
        "market": "ID",
        "currency": "IDR",
        "preset": "trade_in_id",
        "limits": {"per_buyer": None},
        "items": [
            {"sku": name, "name": name, "category": "phone", "price": {"amount": price, "currency": "IDR"}},
        ],
        "shipping": {"amount": "18000", "currency": "IDR"},
        "payment": {"methods": list(SWAP_METHODS)},
        "trade_in": {"schedule": "id-tukar-tambah", "values": {"old": {"amount": credit, "currency": "IDR"}}},
    }


PHONE: Final = ("card", "alipay")
FEW_CODES: Final = frozenset(
    {
        *("OUT_OF_STOCK", "SYSTEM_ERROR", "MERCHANT_OTHER", "DELIVERY_DELAY", "LIMIT_ACCOUNT", "BOT_AUTOMATION"),
        *("PAYMENT_TIMEOUT", "ADDRESS_INVALID", "BUYER_UNREACHABLE"),
    }
)


def _phones(
    name: str, price: str, stock: int, reserved: int, opens_after: int = 0, codes: frozenset[str] = USUAL
) -> Sale:
    """Sales of one merchant with one SKU: who lost a phone in one may have a pass for another."""
    item = {"sku": "phone", "name": "Phone", "category": "phone", "price": _cny(price), "stock": stock}
    return Sale(
        body={
            "title": name,
            "market": "CN",
            "preset": "su7_founders_2024",
            "limits": {"per_buyer": 2},
            "items": [item],
            "payment": {"deposit": _cny("15")},
            "shipping": _cny("5"),
            "balance": SOON,
            "cancellation_reasons": sorted(codes),
            "priority": {"reserved": {"phone": reserved}},
        },
        prices={"phone": int(price) * 100},
        methods=PHONE,
        shipping=500,
        deposit=1_500,
        counted=frozenset({"phone"}),
        limited=True,
        undo=HOUR,
        forfeits=True,
        cap=20,
        doubles=True,
        codes=codes,
        opens_after=opens_after,
        kept_from={"phone": 1},
        promised=210 * DAY,
    )


def _cny(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}


SOON: Final = {"starts": "ready", "due_within": "PT3H", "cure": "PT2H"}

SALES: Final = (
    Sale(
        body={
            "title": "few",
            "market": "CN",
            "preset": "su7_2024",
            "limits": {"per_buyer": 2},
            "window": {"kind": "elapsed", "length": "PT2H"},
            "lock": {"remind_before": ["PT1H", "PT20M"]},
            "items": [
                {"sku": "few", "name": "Few", "price": {"amount": "100", "currency": "CNY"}, "stock": 3},
                {"sku": "less", "name": "Less", "price": {"amount": "60", "currency": "CNY"}, "stock": 2},
            ],
            "payment": {"deposit": {"amount": "30", "currency": "CNY"}},
            "shipping": {"amount": "7.50", "currency": "CNY"},
            "balance": SOON,
            "delivery": {"within": "PT4H"},
        },
        prices={"few": 10_000, "less": 6_000},
        promised=4 * HOUR,
        methods=("card", "alipay"),
        shipping=750,
        deposit=3_000,
        counted=frozenset({"few", "less"}),
        limited=True,
        window=2 * HOUR,
        undo=HOUR,
        early=True,
        reminders=(HOUR, 20 * MINUTE),
        forfeits=True,
        cap=20,
        doubles=True,
    ),
    Sale(
        body={
            "title": "founders",
            "market": "CN",
            "preset": "su7_founders_2024",
            "limits": {"per_buyer": None},
            "items": [{"sku": "founders", "name": "Founders", "price": {"amount": "215900", "currency": "CNY"}}],
            "balance": SOON,
        },
        prices={"founders": 21_590_000},
        promised=210 * DAY,
        deposit=2_000_000,
        undo=HOUR,
        forfeits=True,
        cap=20,
        doubles=True,
    ),
    Sale(
        body={
            "title": "flash",
            "market": "ID",
            "currency": "IDR",
            "preset": "flash_sale",
            "limits": {"per_buyer": 2},
            "items": [
                {"sku": "flash", "name": "Flash", "price": {"amount": "1900000", "currency": "IDR"}, "stock": 20}
            ],
            "shipping": {"amount": "18000", "currency": "IDR"},
            "payment": {"methods": ["card", "gopay", "shopeepay", "ovo", "qris", "virtual_account"]},
        },
        prices={"flash": 190_000_000},
        shipping=1_800_000,
        methods=("card", "gopay", "shopeepay", "ovo", "qris", "virtual_account"),
        counted=frozenset({"flash"}),
        limited=True,
    ),
    Sale(
        body={
            "title": "bike",
            "market": "EU",
            "currency": "EUR",
            "preset": "recommended",
            "payment": {"deposit": {"amount": "33.33", "currency": "EUR"}},
            "items": [
                {"sku": "bike", "name": "Bike", "price": {"amount": "1000", "currency": "EUR"}, "made_to_spec": True}
            ],
            "balance": SOON,
        },
        prices={"bike": 100_000},
        deposit=3_333,
        window=168 * HOUR,
        undo=HOUR,
        early=True,
        reminders=(72 * HOUR, 24 * HOUR, 2 * HOUR),
        forfeits=True,
        withdrawal=False,
    ),
    Sale(
        body={
            "title": "rooms",
            "market": "EU",
            "currency": "EUR",
            "preset": "recommended",
            "payment": {"take": "full", "nature": "advance"},
            "window": {"kind": "elapsed", "length": "PT3H"},
            "lock": {"undo": "PT30M", "remind_before": ["PT2H", "PT15M"]},
            "items": [
                {"sku": "table", "name": "Table", "price": {"amount": "500", "currency": "EUR"}, "stock": 4},
                {"sku": "stool", "name": "Stool", "price": {"amount": "120.50", "currency": "EUR"}, "stock": 6},
                {"sku": "lamp", "name": "Lamp", "price": {"amount": "40", "currency": "EUR"}},
            ],
            "shipping": {"amount": "12", "currency": "EUR"},
            "balance": SOON,
        },
        prices={"table": 50_000, "stool": 12_050, "lamp": 4_000},
        shipping=1_200,
        counted=frozenset({"table", "stool"}),
        window=3 * HOUR,
        undo=30 * MINUTE,
        early=True,
        reminders=(2 * HOUR, 15 * MINUTE),
    ),
    # The fee of the first band that holds exactly its upper edge, and one that is more than what was paid for goods.
    Sale(
        body=_swap("swap", "3000000", "800000"),
        prices={"swap": 300_000_000},
        shipping=1_800_000,
        methods=SWAP_METHODS,
        credit=80_000_000,
        fee=4_000_000,
    ),
    Sale(
        body=_swap("cheap", "60000", "40000"),
        prices={"cheap": 6_000_000},
        shipping=1_800_000,
        methods=SWAP_METHODS,
        credit=4_000_000,
        fee=3_500_000,
    ),
    # The first, where orders are lost; the second for the same price, and one that is dearer.
    _phones("phones", "100", 6, 1, codes=FEW_CODES),
    _phones("again", "100", 4, 2, opens_after=20 * HOUR),
    _phones("dearer", "101", 3, 1, opens_after=2 * HOUR),
)
PHONES, AGAIN, DEARER = range(len(SALES) - 3, len(SALES))
SWAPS: Final = tuple(number for number, sale in enumerate(SALES) if sale.credit)
EARLY: Final = tuple(number for number, sale in enumerate(SALES) if sale.early)

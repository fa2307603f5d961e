"""Values to store: any event of a class by its annotations, and minimal deposits and offers."""

import types
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import count
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.instants import LAST_INSTANT
from chalicelib.core.common.journal import Caller, Entry, Key
from chalicelib.core.common.money import Money
from chalicelib.core.deposit import fold
from chalicelib.core.deposit import order as orders
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.order import Created, Line, TakenStock
from chalicelib.core.policy import offer_terms
from chalicelib.core.policy.terms import Draft, compute_terms_hash
from chalicelib.core.selling import offer as offers
from chalicelib.core.selling.offer import Offer, OfferMade
from chalicelib.core.selling.stock import StockDelta
from chalicelib.flows.ports.effects import KeyTaken, LimitCount, ReasonCounted, SealedText, StockMove, Stored
from chalicelib.store import stock
from chalicelib.store.offers import OfferStore
from chalicelib.store.requests import key
from tests.conftest import Tables

T0: Final = 1_795_269_600_000  # 2026-11-21T14:00:00Z, the instant at which these stories begin
DEPOSIT: Final = Money(500_000, "CNY")
BUYER: Final = Caller("usr_00000000000000000000000001", "buyer")
STAFF: Final = Caller("usr_00000000000000000000000002", "merchant", "mer_shop")
_numbers: Final = count(1)

MONEY: Final = st.builds(Money, st.integers(-(10**15), 10**15), st.sampled_from(["CNY", "IDR", "EUR", "JPY"]))
SIMPLE: Final[dict[Any, st.SearchStrategy[Any]]] = {
    Money: MONEY,
    bool: st.booleans(),
    int: st.integers(-LAST_INSTANT, LAST_INSTANT),
    str: st.text(max_size=40),
    bytes: st.binary(max_size=8),
}


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of that annotation."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    if get_origin(hint) in {Union, types.UnionType}:
        return st.one_of([st.none() if kind is type(None) else any_of(kind) for kind in get_args(hint)])
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(any_of(get_args(hint)[0]), max_size=3).map(tuple)
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    hints = {name: part for name, part in get_type_hints(hint).items() if name != "TYPE"}
    return st.builds(hint, **{name: any_of(part) for name, part in hints.items()})


def any_entry(kind: type[Any]) -> st.SearchStrategy[Entry[Any]]:
    """Any event of a class in any envelope."""
    digest = st.binary(min_size=8, max_size=8)
    return st.builds(
        Entry,
        event=any_of(kind),
        received_at=st.integers(0, LAST_INSTANT),
        by=st.builds(Caller, SIMPLE[str], SIMPLE[str], st.none() | st.text(min_size=1, max_size=30)),
        key=st.none() | st.builds(Key, digest, digest),
        locale=st.sampled_from(["en", "id", "zh"]),
        renderer=st.integers(1, 99),
    )


def any_journal(kinds: Sequence[type[Any]]) -> st.SearchStrategy[tuple[Entry[Any], ...]]:
    """A journal with one event of every class."""
    return st.tuples(*map(any_entry, kinds))


def fresh(prefix: str) -> str:
    """An id that no other test has."""
    return digest_id(prefix, f"{next(_numbers)}")


def created(**changes: Any) -> Created:
    """An order of one car without counted stock."""
    plain = Created(
        at=T0,
        offer="off_1",
        merchant="mer_shop",
        buyer=BUYER.id,
        terms_hash="sha256:1",
        lines=(Line("su7-max", 1, Money(29_990_000, "CNY")),),
        shipping=Money.zero("CNY"),
        due_now=DEPOSIT,
        due_at=T0 + 900_000,
        method="card",
    )
    return replace(plain, **changes)


def entry(event: Any, by: Caller = BUYER, **changes: Any) -> Entry[Any]:
    return replace(Entry(event, event.at, by), **changes)


def new_deposit(deposit_id: str | None = None, **changes: Any) -> tuple[Deposit, tuple[Entry[DepositEvent], ...]]:
    """A new deposit and its first entry."""
    event = created(**changes)
    return orders.begin_deposit(deposit_id or fresh("dep"), event), (entry(event),)


def apply_events(stored: Stored[DepositEvent], *events: DepositEvent) -> Deposit:
    """The deposit of a journal with these events added."""
    return fold.fold(stored.id, (*(entry.event for entry in stored.journal), *events))


def draft(units: int | None = 37, per_buyer: int | None = None, **changes: Any) -> Draft:
    """Terms of the 2024 programme, market merged in."""
    item = {"sku": "su7-max", "name": "SU7 Max", "price": {"amount": "299900", "currency": "CNY"}, "stock": units}
    body = {"title": "SU7", "market": "CN", "preset": "su7_2024", "items": [item], "limits": {"per_buyer": per_buyer}}
    return offer_terms.merge_market_policy(offer_terms.read_offer({**body, **changes}, T0), T0)[0]


def make_offer(terms: Draft, offer_id: str | None = None, batch: str = "batch") -> tuple[Offer, tuple[Entry[Any], ...]]:
    """An offer under these terms and its first entry."""
    made = OfferMade(T0, "mer_shop", compute_terms_hash(terms), None, None, offers.build_stock(terms), batch)
    return offers.fold(offer_id or fresh("off"), [made]), (entry(made, STAFF),)


def taken_stock(shard: int, units: int, sku: str = "su7-max") -> TakenStock:
    return TakenStock(sku, shard, units)


def take_stock(offer: Offer, shard: int, units: int, sku: str = "su7-max") -> StockMove:
    """Units that a deposit takes from a shard; negative units go back."""
    return StockMove(offer.id, offer.made.batch, StockDelta(sku, shard, -units, units, 0))


def read_all_pages(read_page: Callable[[Any], Any]) -> list[Any]:
    """Every row of a list, page by page. ``read_page`` gives the page at a position."""
    page = read_page(None)
    rows = list(page.rows)
    while page.position is not None:
        page = read_page(page.position)
        assert page.rows, "a page that is not the last has rows"
        rows += page.rows
    return rows


def publish_offer(table: Tables, terms: Draft) -> Offer:
    """Publish an offer."""
    offer, entries = make_offer(terms)
    OfferStore(table.client, table.name).create(offer, terms, entries)
    return offer


def shards(table: Tables, offer: Offer) -> list[tuple[int, int, int, int]]:
    """Left, live, sold and total of every shard; checks that they add up."""
    counts = []
    for item_stock in offer.made.stock:
        for shard in range(item_stock.all_shards):
            pk = stock.shard_key(offer.id, offer.made.batch, item_stock.sku, shard)
            item: Any = table.client.get_item(TableName=table.name, Key=key(pk), ConsistentRead=True)["Item"]
            left, live, sold, total = (int(item[name]["N"]) for name in ("left", "live", "sold", "total"))
            assert left + live + sold == total
            assert min(left, live, sold) >= 0
            counts.append((left, live, sold, total))
    return counts


def counted(table: Tables, offer: str, buyer: str = BUYER.id) -> int:
    """Units counted against a buyer's limit."""
    answer: Any = table.client.get_item(
        TableName=table.name, Key=key(stock.limit_key(offer, buyer)), ConsistentRead=True
    )
    return int(answer["Item"]["units"]["N"]) if "Item" in answer else 0


def move(table: Tables, also: StockMove | LimitCount | SealedText | KeyTaken | ReasonCounted) -> bool:
    """Write an effect by itself. False when its condition failed."""
    return write(table, stock.effect_action(table.name, also))


def write(table: Tables, action: Any) -> bool:
    try:
        table.client.transact_write_items(TransactItems=[action])
    except table.client.exceptions.TransactionCanceledException:
        return False
    return True


def size(wire: Any) -> int:
    """The bytes that DynamoDB counts: names, text in UTF-8, numbers by their digits, 3 and 1 for each container."""
    [(kind, value)] = wire.items()
    measured: dict[str, Callable[[], int]] = {
        "S": lambda: len(value.encode()),
        "B": lambda: len(value),
        "N": lambda: _digits(value),
        "BOOL": lambda: 1,
        "L": lambda: 3 + sum(1 + size(part) for part in value),
        "M": lambda: 3 + sum(1 + len(name.encode()) + size(part) for name, part in value.items()),
    }
    return measured[kind]()


def _digits(number: str) -> int:
    """A byte for each pair of digits without trailing zeros, one more, and one for a sign."""
    digits = number.lstrip("-")
    pairs = digits.zfill(len(digits) + len(digits) % 2)
    while pairs.endswith("00"):
        pairs = pairs[:-2]
    return 1 + len(pairs) // 2 + number.startswith("-")

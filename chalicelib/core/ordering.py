"""Ordering: what goods cost, whether the offer takes the order, and which stock shards its units come from and go to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chalicelib.core import fees, instants, priority
from chalicelib.core.deposit import Deposit
from chalicelib.core.events import Created, Line, Priority, TakenStock, TradedIn
from chalicelib.core.money import Money, total
from chalicelib.core.offer import Offer, OfferStatus, shards_for, status_at
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.core.terms import Terms

MOST_DIGITS: Final = 13  # of an amount's whole part on the wire
MOST_DRAWS: Final = 28  # shards of one order: with the deposit and its limit they are the most that one write takes


@dataclass(frozen=True, slots=True)
class Ordered:
    """One line as the buyer asks for it."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class HandedIn:
    """The old device that the buyer wants to hand in."""

    category: str
    model: str


@dataclass(frozen=True, slots=True)
class Order:
    """A buyer's order. The payment method is the buyer's word."""

    offer: str
    items: tuple[Ordered, ...]
    payment_method: str
    terms_hash: str
    priority_pass: str | None = None
    trade_in: HandedIn | None = None

    @property
    def units(self) -> int:
        return sum(item.quantity for item in self.items)


def place(order: Order, offer: Offer, terms: Terms, buyer: str, at: int, held: Priority | None = None) -> Created:
    """The creation that this order makes, without its stock. Refuses fields first, then the state of the offer.

    ``held`` is the buyer's priority pass: it buys before the sale opens, and beside the limit.
    """
    refuse_fields(order, terms)
    refuse_state(order, offer, terms, at, early=held is not None)
    lines = priced(order.items, terms)
    if held is not None:
        priority.refuse_goods(held, lines)
    traded = traded_in(order, terms)
    whole = total((line.value for line in lines), terms.currency) + terms.shipping
    if traded is not None:
        whole = whole - traded.credit
    refuse_overflow(whole)
    if not whole:
        raise Refused(Reason.INVALID_REQUEST, [Fault("/trade_in/model", "too_large")])  # nothing would be left to pay
    return Created(
        at=at,
        offer=offer.id,
        merchant=offer.made.merchant,
        buyer=buyer,
        terms_hash=offer.made.terms_hash,
        lines=lines,
        shipping=terms.shipping,
        due_now=due_now(order.units, whole, terms),
        due_at=at + instants.duration_ms(terms.payment.due_within),
        method=order.payment_method,
        batch=offer.made.batch,
        limit_units=order.units if terms.limits.per_buyer is not None and held is None else 0,
        trade_in=traded,
        priority=held,
    )


def due_now(units: int, whole: Money, terms: Terms) -> Money:
    """What is taken at once: everything, or the deposit for each unit and shipping, at most everything."""
    if terms.payment.take == "full" or terms.payment.deposit is None:
        return whole
    return min(terms.payment.deposit * units + terms.shipping, whole)


def refuse_fields(order: Order, terms: Terms) -> None:
    """What no state could make right: unknown goods, methods and models."""
    unknown = _unknown(order.items, terms)
    unknown += _trade_in_faults(order, terms)
    if unknown:
        raise Refused(Reason.INVALID_REQUEST, unknown)
    if order.payment_method not in terms.payment.methods:
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, [Fault("/payment_method", "unknown_method")])


def _trade_in_faults(order: Order, terms: Terms) -> list[Fault]:
    """One line, one unit, of the old device's own category, and a model that the offer has a value for."""
    handed_in, offered = order.trade_in, terms.trade_in
    if handed_in is None:
        return []
    if offered is None:
        return [Fault("/trade_in", "no_trade_in")]
    found: list[Fault] = []
    if len(order.items) != 1 or order.units != 1:
        found.append(Fault("/items", "one_unit_with_trade_in"))
    item = terms.item(order.items[0].sku)
    if item is not None and item.category != handed_in.category:
        found.append(Fault("/trade_in/category", "category_differs"))
    if handed_in.model not in offered.values:
        found.append(Fault("/trade_in/model", "unknown_model"))
    return found


def traded_in(order: Order, terms: Terms) -> TradedIn | None:
    """The credit, at most the price of its line; the fee is measured by that price, as it is now."""
    handed_in, offered = order.trade_in, terms.trade_in
    if handed_in is None or offered is None:
        return None
    price = priced(order.items, terms)[0].unit_price
    try:
        fee = fees.schedule(offered.name).charge(handed_in.category, price).fee
    except Refused:
        fee = None  # in no band: nothing is charged, and a person looks
    credit = min(offered.values[handed_in.model], price)
    return TradedIn(handed_in.category, handed_in.model, credit, offered.name, price, fee)


def refuse_state(order: Order, offer: Offer, terms: Terms, at: int, *, early: bool) -> None:
    """Whether the offer takes this order at this instant; ``early`` ones need not wait, and stand beside the limit."""
    status = status_at(offer, at)
    if status is not OfferStatus.OPEN and not (early and status is OfferStatus.SCHEDULED):
        raise Refused(Reason.OFFER_NOT_OPEN, state=status.value, opens_at=offer.made.opens_at)
    if order.terms_hash != offer.made.terms_hash:
        raise Refused(Reason.TERMS_CHANGED, terms_hash=offer.made.terms_hash)
    if terms.limits.per_identity is not None:
        raise Refused(Reason.IDENTITY_REQUIRED)
    if not early:
        refuse_limit(order.units, terms)


def refuse_limit(units: int, terms: Terms) -> None:
    """More units at once than one buyer may have at all."""
    most = terms.limits.per_buyer
    if most is not None and units > most:
        raise Refused(Reason.LIMIT_REACHED, per_buyer=most)


def draw(
    items: Sequence[Ordered],
    offer: Offer,
    start: int,
    left: Mapping[str, Sequence[int]] | None,
    at: int,
    held: Sequence[TakenStock] = (),
    *,
    with_pass: bool = False,
) -> tuple[TakenStock, ...]:
    """The shards that the units come from, beginning at ``start``. SOLD_OUT when they are not there, or too thin.

    What is ``held`` already is kept as far as it is still wanted. Without a look at what is ``left`` the first shard is
    tried: the write itself finds out. Units kept for passes are drawn by passes first.
    """
    wanted: Counter[str] = Counter()
    for item in items:
        wanted[item.sku] += item.quantity
    kept = _kept(wanted, held)
    wanted.subtract(Counter({sku: sum(one.units for one in kept if one.sku == sku) for sku in wanted}))
    taken: list[TakenStock] = []
    for sku, units in wanted.items():
        stock = offer.counted(sku)
        if stock is not None and units:
            choices = shards_for(offer, stock, at, with_pass=with_pass)
            taken += _from_shards(sku, units, start, left[sku] if left else [units] * stock.all_shards, choices)
    if len({(one.sku, one.shard) for one in (*taken, *held)}) > MOST_DRAWS:
        # What is left lies too thin for so many units. It depends on what others took, so it is no fault of the fields.
        raise Refused(Reason.SOLD_OUT, sku=Counter(one.sku for one in taken).most_common(1)[0][0])
    return _together((*kept, *taken))


def _kept(wanted: Mapping[str, int], held: Sequence[TakenStock]) -> tuple[TakenStock, ...]:
    """Of what is held, the units that are wanted still."""
    open_units = Counter(wanted)
    kept: list[TakenStock] = []
    for one in held:
        units = min(open_units[one.sku], one.units)
        open_units[one.sku] -= units
        if units:
            kept.append(TakenStock(one.sku, one.shard, units))
    return tuple(kept)


def _together(taken: Sequence[TakenStock]) -> tuple[TakenStock, ...]:
    """One entry for each shard: a transaction touches an item once."""
    sums: Counter[tuple[str, int]] = Counter()
    for one in taken:
        sums[one.sku, one.shard] += one.units
    return tuple(TakenStock(sku, shard, units) for (sku, shard), units in sums.items())


@dataclass(frozen=True, slots=True)
class Moved:
    """How a shard changes with a deposit; the three sum to zero."""

    sku: str
    shard: int
    left: int
    live: int
    sold: int


def moves(before: Deposit | None, after: Deposit) -> tuple[Moved, ...]:
    """What a deposit's step does to the shelves: units that it takes, gives back, or has sold for good."""
    live, sold = _units(after.stock), _units(after.sold)
    if before is not None:
        live.subtract(_units(before.stock))
        sold.subtract(_units(before.sold))
    return tuple(
        Moved(sku, shard, -live[sku, shard] - sold[sku, shard], live[sku, shard], sold[sku, shard])
        for sku, shard in dict.fromkeys((*live, *sold))
        if live[sku, shard] or sold[sku, shard]
    )


def _units(taken: Sequence[TakenStock]) -> Counter[tuple[str, int]]:
    units: Counter[tuple[str, int]] = Counter()
    for one in taken:
        units[one.sku, one.shard] += one.units
    return units


def _from_shards(
    sku: str, units: int, start: int, left: Sequence[int], choices: Sequence[Sequence[int]]
) -> list[TakenStock]:
    """The fuller of any two shards that have them all, else the fullest ones until there are enough.

    Whoever comes at the same time has another ``start``. So shards run dry together, and the last units, which many
    want at once, lie in many of them.
    """
    from_start = [shard for shards in choices for shard in _from(shards, start)]
    if sum(left[shard] for shard in from_start) < units:
        raise Refused(Reason.SOLD_OUT, sku=sku)
    for shards in choices:
        enough = [shard for shard in shards if left[shard] >= units]
        if enough:
            some, others = start % len(enough), start // len(enough) % len(enough)
            return [TakenStock(sku, max(enough[some], enough[others], key=lambda shard: left[shard]), units)]
    taken: list[TakenStock] = []
    for shard in sorted(from_start, key=lambda shard: -left[shard]):
        part = min(left[shard], units)
        if part:
            taken.append(TakenStock(sku, shard, part))
            units -= part
    return taken


def _from(shards: Sequence[int], start: int) -> Sequence[int]:
    """All of them, beginning somewhere in the middle: whoever comes at the same time begins elsewhere."""
    first = start % len(shards)
    return (*shards[first:], *shards[:first])


def priced(items: Sequence[Ordered], terms: Terms) -> tuple[Line, ...]:
    """The lines at the offer's frozen prices; unknown goods are a fault of the fields."""
    unknown = _unknown(items, terms)
    if unknown:
        raise Refused(Reason.INVALID_REQUEST, unknown)
    return tuple(_line(item, terms) for item in items)


def _unknown(items: Sequence[Ordered], terms: Terms) -> list[Fault]:
    return [
        Fault(f"/items/{index}/sku", "unknown_sku") for index, item in enumerate(items) if terms.item(item.sku) is None
    ]


def _line(item: Ordered, terms: Terms) -> Line:
    offered = terms.item(item.sku)
    assert offered is not None, "unknown goods were refused before"
    return Line(item.sku, item.quantity, offered.price, offered.made_to_spec)


def refuse_overflow(whole: Money) -> None:
    if len(whole.amount.partition(".")[0]) > MOST_DIGITS:
        raise Refused(Reason.INVALID_REQUEST, [Fault("/items", "too_large")])

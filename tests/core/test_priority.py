"""Priority passes: what a pass buys and until when, and how it moves between the deposits that it bought."""

from itertools import product
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR, parse_instant
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deadlines import due_at
from chalicelib.core.deposit.events.ending import (
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassStep,
    PassUsed,
)
from chalicelib.core.deposit.events.order import Created, Line, Priority
from chalicelib.core.deposit.order import begin_deposit
from chalicelib.core.deposit.priority_pass import TRANSITIONS, Pass, PassStatus, begin_pass, evolve_pass
from chalicelib.core.ending import second_chance
from chalicelib.core.ending.second_chance import grant_pass, refuse_goods, refuse_pass, use_pass
from chalicelib.core.policy import pass_rules
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered, create_deposit
from tests.core.stories import (
    CANCEL,
    DEPOSIT_ID,
    GRACE,
    OUT_OF_STOCK,
    PAID,
    SU7,
    T0,
    Story,
    money,
    offer_of,
    order_of,
    ordered,
    paid,
    refused,
    terms,
    wire,
)

BUYER: Final = "usr_" + "0" * 26
OTHER: Final = "dep_" + "1" * 26
UNTIL: Final = PAID + 180 * DAY
MONTH_BEFORE, WEEK_BEFORE = UNTIL - 30 * DAY, UNTIL - 7 * DAY
GRANTED: Final = PassGranted(PAID, 1, ("phone",), money("1999 CNY"), UNTIL, (MONTH_BEFORE, WEEK_BEFORE), "OUT_OF_STOCK")
NEW: Final = begin_pass(GRANTED)
USED, RETURNED = PassUsed(PAID + 1, 1, OTHER), PassReturned(PAID + 2, 1, OTHER)
REMINDED, LAPSED = PassReminded(MONTH_BEFORE, 1, UNTIL), PassLapsed(UNTIL, 1)
STANDING: Final[dict[PassStatus, Pass]] = {
    PassStatus.GRANTED: NEW,
    PassStatus.USED: evolve_pass(NEW, USED),
    PassStatus.LAPSED: evolve_pass(NEW, LAPSED),
}


# --- The table ---


@pytest.mark.parametrize(
    ("status", "event"),
    list(product(STANDING, [USED, RETURNED, REMINDED, LAPSED])),
    ids=lambda one: getattr(one, "TYPE", one),
)
def test_a_step_is_what_the_table_says(status: PassStatus, event: PassStep) -> None:
    then = TRANSITIONS.get((status, type(event)))
    if then is None:
        with pytest.raises(KeyError):
            evolve_pass(STANDING[status], event)
        return
    after = evolve_pass(STANDING[status], event)
    assert (after.status, after.changed_at) == (then, event.at)


def test_the_table_knows_four_steps() -> None:
    assert {(str(status), event.TYPE, str(then)) for (status, event), then in TRANSITIONS.items()} == {
        ("granted", "priority_pass.used", "used"),
        ("granted", "priority_pass.reminder", "granted"),
        ("granted", "priority_pass.lapsed", "lapsed"),
        ("used", "priority_pass.returned", "granted"),
    }


def test_a_pass_remembers_what_it_bought_last() -> None:
    assert NEW.used_for is None
    assert evolve_pass(NEW, USED).used_for == evolve_pass(evolve_pass(NEW, USED), RETURNED).used_for == OTHER


# --- Granting ---


def test_it_lasts_180_days_with_notices_30_and_7_days_before() -> None:
    line = Line("phone", 1, money("1999 CNY"))
    assert grant_pass(1, (line,), "OUT_OF_STOCK", PAID) == GRANTED


def test_it_is_good_for_any_of_the_goods_at_the_dearest_of_their_prices() -> None:
    lines = (Line("mug", 2, money("9 CNY")), Line("phone", 1, money("1999 CNY")), Line("mug", 1, money("9 CNY")))
    granted = grant_pass(3, lines, "SYSTEM_ERROR", PAID)
    assert (granted.priority_pass, granted.skus, granted.price_cap) == (3, ("mug", "phone"), money("1999 CNY"))
    assert granted.reason == "SYSTEM_ERROR"


def test_an_order_of_several_pieces_grants_one_pass() -> None:
    story = paid(SU7, ("su7-max", 3))
    story.ask(OUT_OF_STOCK, PAID)
    [one] = story.deposit.passes
    assert (one.granted.skus, one.granted.price_cap) == (("su7-max",), money("299900 CNY"))


# --- Using ---


@pytest.mark.parametrize(
    ("one", "at", "state"),
    [
        (NEW,                              PAID,      None),
        (NEW,                              UNTIL - 1, None),
        (NEW,                              UNTIL,     "lapsed"),  # whether or not anybody wrote it down
        (evolve_pass(NEW, REMINDED),              UNTIL - 1, None),
        (STANDING[PassStatus.LAPSED],      UNTIL,     "lapsed"),
        (STANDING[PassStatus.USED],        UNTIL - 1, "used"),
        (STANDING[PassStatus.USED],        UNTIL,     "used"),
        (evolve_pass(evolve_pass(NEW, USED), RETURNED),  UNTIL - 1, None),
        (evolve_pass(evolve_pass(NEW, USED), RETURNED),  UNTIL,     "lapsed"),
    ],
)  # fmt: skip
def test_a_pass_is_good_until_its_date_and_once(one: Pass, at: int, state: str | None) -> None:
    if state is None:
        assert use_pass(one, "mer_shop", "mer_shop", at, OTHER) == PassUsed(at, 1, OTHER)
        return
    with refused(Reason.PASS_NOT_VALID, state=state):
        refuse_pass(one, at)
    with refused(Reason.PASS_NOT_VALID, state=state):
        use_pass(one, "mer_shop", "mer_shop", at, OTHER)


def test_a_pass_is_good_only_at_the_merchant_who_owes_it() -> None:
    with refused(Reason.PASS_NOT_VALID, merchant="mer_shop"):
        use_pass(NEW, "mer_shop", "mer_other", PAID, OTHER)
    with refused(Reason.PASS_NOT_VALID, merchant="mer_shop"):
        use_pass(STANDING[PassStatus.USED], "mer_shop", "mer_other", PAID, OTHER)


HELD: Final = Priority("pas_1", ("phone", "mug"), money("1999 CNY"))
CAP: Final = money("1999 CNY")


@pytest.mark.parametrize(
    ("lines", "facts"),
    [
        ([("phone", 1, CAP)],                             None),
        ([("mug", 1, money("9 CNY"))],                    None),
        ([("phone", 1, money("0.01 CNY"))],               None),
        ([("phone", 1, CAP + Money(1, "CNY"))],           {"price_cap": CAP}),
        ([("phone", 1, money("1999 USD"))],               {"price_cap": CAP}),
        ([("phone", 1, money("1 USD"))],                  {"price_cap": CAP}),
        ([("tent", 1, money("9 CNY"))],                   {"sku": "tent"}),
        ([("phone", 2, money("9 CNY"))],                  {"most_units": 1}),
        ([("phone", 1, CAP), ("mug", 1, CAP)],            {"most_units": 1}),
    ],
)  # fmt: skip
def test_a_pass_buys_one_piece_of_its_goods_at_no_more_than_its_price(
    lines: list[tuple[str, int, Money]], facts: dict[str, Any] | None
) -> None:
    ordered_lines = tuple(Line(*line) for line in lines)
    if facts is None:
        refuse_goods(HELD, ordered_lines)
        return
    with refused(Reason.PASS_NOT_VALID, **facts):
        refuse_goods(HELD, ordered_lines)


# --- An order with a pass ---

GOODS: Final = [
    {"sku": sku, "name": sku, "price": wire(price)}
    for sku, price in (("phone", "1999 CNY"), ("mug", "9 CNY"), ("tent", "8 CNY"), ("dear", "1999.01 CNY"))
]
OPENS: Final = T0 + DAY
SALE: Final = terms(items=GOODS, limits={"per_buyer": 1})
CLEAR: Final = replace(HELD, skus=("phone", "mug", "dear"))


def placed(*lines: tuple[str, int], at: int = T0, held: Priority | None = CLEAR, **changes: Any) -> Created:
    offer = offer_of(SALE, opens_at=OPENS, closes_at=OPENS + DAY)
    return create_deposit(order_of(SALE, *lines, **changes), offer, SALE, BUYER, at, held)


@pytest.mark.parametrize(
    ("at", "held", "state"),
    [
        (OPENS - 1,       CLEAR, None),
        (OPENS - 1,       None,  "scheduled"),
        (OPENS,           CLEAR, None),
        (OPENS,           None,  None),
        (OPENS + DAY - 1, CLEAR, None),
        (OPENS + DAY,     CLEAR, "closed"),
        (OPENS + DAY,     None,  "closed"),
    ],
)  # fmt: skip
def test_a_pass_orders_before_a_sale_opens_and_not_after_it_closes(
    at: int, held: Priority | None, state: str | None
) -> None:
    if state is None:
        assert placed(("phone", 1), at=at, held=held).priority == held
        return
    with refused(Reason.OFFER_NOT_OPEN, state=state, opens_at=OPENS):
        placed(("phone", 1), at=at, held=held)


def test_a_pass_orders_beside_the_limit() -> None:
    assert placed(("phone", 1)).limit_units == 0
    assert placed(("phone", 1), at=OPENS, held=None).limit_units == 1


@pytest.mark.parametrize(
    ("lines", "facts"),
    [
        ([("mug", 1)],   None),
        ([("dear", 1)],  {"price_cap": CAP}),
        ([("tent", 1)],  {"sku": "tent"}),
    ],
)  # fmt: skip
def test_an_order_with_a_pass_is_for_its_goods(lines: list[tuple[str, int]], facts: dict[str, Any] | None) -> None:
    if facts is None:
        assert placed(*lines).lines[0].sku == lines[0][0]
        return
    with refused(Reason.PASS_NOT_VALID, **facts):
        placed(*lines)


def test_faults_of_fields_and_of_the_offer_come_before_those_of_the_pass() -> None:
    with refused(Reason.INVALID_REQUEST, ("/items/0/sku", "unknown_sku")):
        placed(("boat", 1))
    with refused(Reason.OFFER_NOT_OPEN, state="closed", opens_at=OPENS):
        placed(("tent", 1), at=OPENS + DAY)
    with refused(Reason.TERMS_CHANGED, terms_hash=offer_of(SALE).made.terms_hash):
        placed(("tent", 1), terms_hash="sha256:other")


def bought(under: Terms = SALE) -> Story:
    """A phone by a pass, paid."""
    created = create_deposit(order_of(under, ("phone", 1)), offer_of(under), under, BUYER, T0, CLEAR)
    story = Story(under, begin_deposit(DEPOSIT_ID, created), [created])
    story.pay()
    return story


@pytest.mark.parametrize(
    ("items", "facts"),
    [
        ([("phone", 1)],             None),
        ([("mug", 1)],               None),
        ([("phone", 2)],             {"most_units": 1}),
        ([("phone", 1), ("mug", 1)], {"most_units": 1}),
        ([("tent", 1)],              {"sku": "tent"}),
        ([("dear", 1)],              {"price_cap": CAP}),
    ],
)  # fmt: skip
def test_what_a_pass_bought_is_changed_only_to_what_it_could_buy(
    items: list[tuple[str, int]], facts: dict[str, Any] | None
) -> None:
    under = terms(items=GOODS, limits={"per_buyer": 3})
    story = bought(under)
    wanted = ChangeItems(tuple(Ordered(*item) for item in items))
    if facts is None:
        assert story.said(wanted, PAID + 1).startswith("items.changed")
        assert story.deposit.limit_units == 0, "beside the limit, before and after"
        return
    with refused(Reason.PASS_NOT_VALID, **facts):
        story.ask(wanted, PAID + 1)


# --- The clock ---


def cancelled_by_the_merchant() -> Story:
    """Nothing is left of it but its pass: what came back is not looked at here."""
    story = paid()
    story.ask(OUT_OF_STOCK, PAID)
    return story


def told(story: Story) -> list[PassStep]:
    return [event for event in story.events if isinstance(event, PassStep)]


@pytest.mark.parametrize(
    ("at", "steps"),
    [
        (MONTH_BEFORE - 1, []),
        (MONTH_BEFORE,     [REMINDED]),
        (WEEK_BEFORE - 1,  [REMINDED]),
        (WEEK_BEFORE,      [REMINDED, PassReminded(WEEK_BEFORE, 1, UNTIL)]),
        (UNTIL - 1,        [REMINDED, PassReminded(WEEK_BEFORE, 1, UNTIL)]),
        (UNTIL,            [REMINDED, PassReminded(WEEK_BEFORE, 1, UNTIL), LAPSED]),
        (UNTIL + DAY,      [REMINDED, PassReminded(WEEK_BEFORE, 1, UNTIL), LAPSED]),
    ],
)  # fmt: skip
def test_notices_and_the_end_are_written_at_their_instants(at: int, steps: list[PassStep]) -> None:
    assert told(cancelled_by_the_merchant().write(at)) == steps
    assert told(cancelled_by_the_merchant().write(at).write(at)) == steps


def test_while_it_is_used_nothing_is_due_and_nothing_lapses() -> None:
    story = cancelled_by_the_merchant().tell(USED)
    assert not list(second_chance.list_deadlines(story.deposit.passes[0]))
    assert told(story.write(UNTIL + DAY)) == [USED]


@pytest.mark.parametrize(
    ("at", "then"),
    [
        (MONTH_BEFORE - 1, [MONTH_BEFORE, WEEK_BEFORE, UNTIL]),
        (MONTH_BEFORE,     [WEEK_BEFORE, UNTIL]),
        (WEEK_BEFORE,      [UNTIL]),
        (UNTIL - 1,        [UNTIL]),
        (UNTIL,            [UNTIL]),
        (UNTIL + DAY,      [UNTIL + DAY]),  # its date is over: it lapses at once
    ],
)  # fmt: skip
def test_a_pass_that_comes_back_reminds_of_what_is_ahead_and_lapses_at_once_after_its_date(
    at: int, then: list[int]
) -> None:
    one = evolve_pass(evolve_pass(NEW, USED), PassReturned(at, 1, OTHER))
    assert sorted(event.at for event in second_chance.list_deadlines(one)) == then


def test_what_came_back_after_its_date_is_lapsed_and_cannot_be_used() -> None:
    story = cancelled_by_the_merchant().tell(USED, PassReturned(UNTIL + DAY, 1, OTHER))
    story.write(UNTIL + DAY)
    [one] = story.deposit.passes
    assert (one.status, told(story)[-1]) == (PassStatus.LAPSED, PassLapsed(UNTIL + DAY, 1))
    with refused(Reason.PASS_NOT_VALID, state="lapsed"):
        refuse_pass(one, UNTIL + DAY)


def test_somebody_comes_back_for_it_when_it_is_due() -> None:
    """Of an order that was not paid nothing else is left to do."""
    story = ordered()
    story.ask(OUT_OF_STOCK, T0)
    [one] = story.deposit.passes
    for then in (*one.remind_at, one.granted.valid_until, None):
        assert due_at(story.deposit, GRACE) == then
        story.write(then or T0)


def test_a_buyers_own_cancellation_grants_nothing() -> None:
    story = paid()
    story.ask(CANCEL, PAID)
    assert story.deposit.passes == ()


# --- How long units are kept ---


def test_the_reserve_is_everybodys_24_hours_after_the_opening() -> None:
    opens = parse_instant("2026-11-28T10:00:00+07:00")
    assert pass_rules.compute_reserve_end(opens) == opens + 24 * HOUR

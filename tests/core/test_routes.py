"""Payment routes: how each gives money back, until when, at what hours, and by when the buyer is promised it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import policies
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, parse_instant
from chalicelib.core.policy import payment_routes
from chalicelib.core.policy.payment_routes import (
    ROUTE_CANNOT_REFUND,
    ROUTE_NOT_PARTIAL,
    ROUTE_WINDOW_ENDED,
    Payout,
    Quiet,
    Route,
    Routes,
    compute_payable_from,
    compute_promise,
    compute_refund_window_end,
    find_next_open_instant,
    find_source_obstacle,
)
from tests.core.stories import CANCEL, DUE, PAID, SEND, Story, money, ordered, terms

# As the providers publish it (facts/domain.md, section 7). A dash: no limit is known.
TABLE = """
method            to_source  partial  asynchronous  window  settle
card              yes        yes      yes           330     5
alipay            yes        yes      no            365     2
wechat_pay        yes        yes      yes           365     2
gopay             yes        yes      no            45      2
ovo               yes        no       no            7       2
shopeepay         yes        yes      no            365     2
dana              yes        yes      no            45      2
qris              yes        no       no            7       2
virtual_account   no         no       yes           -       2
cash_on_delivery  no         no       yes           -       2
"""
HEADER, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
YES = {"yes": True, "no": False}
TO_SOURCE = [row[0] for row in ROWS if YES[row[1]]]
LIMITED = [(row[0], int(row[4])) for row in ROWS if row[4] != "-"]
WHOLE = money("5088 CNY")


def route(method: str) -> Route:
    return payment_routes.find_route(method, PAID)


def published() -> Routes:
    return payment_routes.find_routes(PAID)


def payout() -> Payout:
    return payment_routes.find_payout(PAID)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_route_is_as_published(row: list[str]) -> None:
    found, window = route(row[0]), None if row[4] == "-" else int(row[4])
    assert (found.to_source, found.partial, found.asynchronous) == tuple(YES[word] for word in row[1:4])
    assert (found.window_days, found.settle_days) == (window, int(row[5]))


def test_every_method_is_in_the_table() -> None:
    assert set(published().route) == {row[0] for row in ROWS}


def test_every_method_that_an_offer_may_name_has_a_route() -> None:
    presets = (policies.read(f"presets/{name}.toml") for name in policies.names("presets"))
    offered = {method for preset in presets for method in preset["payment"]["methods"]}
    assert offered <= set(published().route)


def test_reports_show_everything_within_a_week() -> None:
    """Reconciliation misses nothing that is older than that."""
    assert max(payout().settle_days, *(one.settle_days for one in published().route.values())) < 7


def test_figures_have_a_source_and_a_version() -> None:
    assert published().source
    assert published().version
    assert payout().cool_down_source
    assert payout().limits_source


# --- Until when ---


@pytest.mark.parametrize(("method", "days"), LIMITED)
def test_a_way_back_closes_at_the_end_of_its_last_day(method: str, days: int) -> None:
    found, last = route(method), PAID + days * DAY
    assert compute_refund_window_end(found, PAID) == last
    assert find_source_obstacle(found, WHOLE, WHOLE, PAID, last - 1) is None
    assert find_source_obstacle(found, WHOLE, WHOLE, PAID, last) == ROUTE_WINDOW_ENDED


@pytest.mark.parametrize("method", ["virtual_account", "cash_on_delivery"])
@pytest.mark.parametrize("at", [PAID, PAID + 400 * DAY])
def test_where_there_is_no_way_back_there_is_none_at_any_time(method: str, at: int) -> None:
    assert compute_refund_window_end(route(method), PAID) is None
    assert find_source_obstacle(route(method), WHOLE, WHOLE, PAID, at) == ROUTE_CANNOT_REFUND


@pytest.mark.parametrize("method", TO_SOURCE)
@pytest.mark.parametrize(
    ("amount", "part"),
    [
        ("5088 CNY",    False),
        ("5087.99 CNY", True),
        ("0.01 CNY",    True),
    ],
)  # fmt: skip
def test_some_routes_give_back_all_or_nothing(method: str, amount: str, part: bool) -> None:
    refuses = part and not route(method).partial
    assert find_source_obstacle(route(method), money(amount), WHOLE, PAID, PAID) == (
        ROUTE_NOT_PARTIAL if refuses else None
    )


def test_what_a_route_refuses_is_named_in_this_order() -> None:
    less = money("1 CNY")
    assert find_source_obstacle(route("virtual_account"), less, WHOLE, PAID, PAID + 400 * DAY) == ROUTE_CANNOT_REFUND
    assert find_source_obstacle(route("ovo"), less, WHOLE, PAID, PAID + 7 * DAY) == ROUTE_WINDOW_ENDED
    assert find_source_obstacle(route("ovo"), less, WHOLE, PAID, PAID + 7 * DAY - 1) == ROUTE_NOT_PARTIAL


# --- At what hours ---

NIGHT = [
    # asked (WIB)               sendable
    ("2026-11-21T23:54:59.999", "2026-11-21T23:54:59.999"),
    ("2026-11-21T23:55:00",     "2026-11-22T06:00:00"),
    ("2026-11-21T23:59:59.999", "2026-11-22T06:00:00"),
    ("2026-11-22T00:00:00",     "2026-11-22T06:00:00"),
    ("2026-11-22T00:00:00.001", "2026-11-22T06:00:00"),
    ("2026-11-22T05:59:59.999", "2026-11-22T06:00:00"),
    ("2026-11-22T06:00:00",     "2026-11-22T06:00:00"),
    ("2026-11-22T06:59:59.999", "2026-11-22T06:59:59.999"),
    ("2026-11-22T07:00:00",     "2026-11-22T07:00:00"),
    ("2026-12-31T23:55:00",     "2027-01-01T06:00:00"),
    ("2028-02-28T23:55:00",     "2028-02-29T06:00:00"),
]  # fmt: skip


def in_jakarta(text: str) -> int:
    return parse_instant(f"{text}+07:00")


@pytest.mark.parametrize(("asked", "sendable"), NIGHT)
def test_shopeepay_refuses_at_night(asked: str, sendable: str) -> None:
    assert find_next_open_instant(route("shopeepay"), in_jakarta(asked)) == in_jakarta(sendable)


@pytest.mark.parametrize("method", [row[0] for row in ROWS if row[0] != "shopeepay"])
def test_no_other_route_has_quiet_hours(method: str) -> None:
    for asked, _ in NIGHT:
        assert find_next_open_instant(route(method), in_jakarta(asked)) == in_jakarta(asked)


@pytest.mark.parametrize(
    ("asked", "sendable"),
    [
        ("08:59:59.999", "08:59:59.999"),
        ("09:00:00",     "17:30:00"),
        ("17:29:59.999", "17:30:00"),
        ("17:30:00",     "17:30:00"),
    ],
)  # fmt: skip
def test_quiet_hours_may_lie_within_a_day(asked: str, sendable: str) -> None:
    by_day = Quiet.model_validate({"from": "09:00", "to": "17:30", "ahead_of_utc": "07:00"})
    found = route("shopeepay").model_copy(update={"quiet": by_day})
    assert find_next_open_instant(found, in_jakarta(f"2026-11-22T{asked}")) == in_jakarta(f"2026-11-22T{sendable}")


@given(at=st.integers(PAID, PAID + 400 * DAY))
def test_a_route_opens_within_the_quiet_hours_and_stays_open_then(at: int) -> None:
    opens = find_next_open_instant(route("shopeepay"), at)
    assert at <= opens <= at + 6 * HOUR + 5 * MINUTE
    assert find_next_open_instant(route("shopeepay"), opens) == opens


# --- By when ---

ASKED = PAID + DAY


@pytest.mark.parametrize(
    ("method", "asked", "promised"),
    [
        ("card",            ASKED,                    ASKED + 7 * DAY),
        ("card",            PAID + 323 * DAY,         PAID + 330 * DAY),
        ("card",            PAID + 323 * DAY + 1,     PAID + 330 * DAY),
        ("card",            PAID + 330 * DAY - 1,     PAID + 330 * DAY),
        ("card",            PAID + 330 * DAY,         PAID + 337 * DAY),
        ("ovo",             PAID,                     PAID + 7 * DAY),
        ("ovo",             PAID + 1,                 PAID + 7 * DAY),
        ("ovo",             PAID + 7 * DAY - 1,       PAID + 7 * DAY),
        ("ovo",             PAID + 7 * DAY,           PAID + 14 * DAY),
        ("virtual_account", ASKED,                    ASKED + 7 * DAY),
    ],
)  # fmt: skip
def test_a_promise_is_kept_before_the_way_back_closes(method: str, asked: int, promised: int) -> None:
    assert compute_promise(route(method), PAID, asked, "P7D") == promised


@pytest.mark.parametrize("method", ["card", "ovo", "virtual_account"])
def test_a_refund_carries_that_promise(method: str) -> None:
    story = paid_by(method)
    story.ask(CANCEL, ASKED)
    assert story.refund.promised_by == compute_promise(route(method), PAID, ASKED, "P7D")


def paid_by(method: str) -> Story:
    story = ordered(terms(payment={"methods": [method]}))
    story.pay()
    return story


# --- When it is sent ---


@pytest.mark.parametrize(
    ("method", "asked", "sent", "then"),
    [
        ("card",            ASKED,                ASKED,                "refund.sent"),
        ("ovo",             PAID + 7 * DAY - 1,   PAID + 7 * DAY - 1,   "refund.sent"),
        ("ovo",             PAID + 7 * DAY - 1,   PAID + 7 * DAY,       "refund.declined"),
    ],
)  # fmt: skip
def test_a_refund_is_sent_while_its_way_back_is_open(method: str, asked: int, sent: int, then: str) -> None:
    story = paid_by(method)
    story.ask(CANCEL, asked)
    assert story.refund.status.value == "approved"
    assert story.said(SEND, sent) == then


@pytest.mark.parametrize(
    ("sent", "then"),
    [
        ("2024-03-29T23:54:59.999", "refund.sent"),
        ("2024-03-29T23:55:00",     "nothing"),
        ("2024-03-30T05:59:59.999", "nothing"),
        ("2024-03-30T06:00:00",     "refund.sent"),
    ],
)  # fmt: skip
def test_a_refund_waits_for_the_morning(sent: str, then: str) -> None:
    story = paid_by("shopeepay")
    story.ask(CANCEL, in_jakarta("2024-03-29T23:00:00"))
    assert story.said(SEND, in_jakarta(sent)) == then


@pytest.mark.parametrize(
    ("method", "asked", "paid", "then"),
    [
        ("ovo",  PAID + 7 * DAY - 1, "5088 CNY", "deposit.cancelled refund.approved"),
        ("ovo",  PAID + 7 * DAY,     "5088 CNY", "deposit.cancelled refund.approved refund.declined"),
        ("ovo",  ASKED,              "5089 CNY", "deposit.cancelled refund.approved refund.declined"),
        ("card", ASKED,              "5089 CNY", "deposit.cancelled refund.approved"),
    ],
)  # fmt: skip
def test_a_way_back_that_is_closed_when_it_is_decided_asks_the_buyer_at_once(
    method: str, asked: int, paid: str, then: str
) -> None:
    """Who paid too much got a part back: the rest is a part as well."""
    story = ordered(terms(payment={"methods": [method]}, window={"kind": "elapsed", "length": "PT200H"}))
    story.pay(paid, PAID)
    assert story.said(CANCEL, asked) == then


# --- Accounts ---


@pytest.mark.parametrize(
    ("amount", "unfit"),
    [
        ("9999 IDR",     "below_route_min"),
        ("10000 IDR",    None),
        ("25000000 IDR", None),
        ("25000001 IDR", "above_route_max"),
        ("0.01 CNY",     None),
        ("99999999 CNY", None),
        ("0.01 EUR",     None),
    ],
)  # fmt: skip
def test_an_account_takes_so_little_and_so_much_at_once(amount: str, unfit: str | None) -> None:
    assert payout().out_of_range(money(amount)) == unfit


@pytest.mark.parametrize(("changed", "usable"), [(False, PAID), (True, PAID + 24 * HOUR)])
def test_another_account_is_paid_a_day_later(changed: bool, usable: int) -> None:
    assert compute_payable_from(PAID, changed=changed) == usable


def test_an_order_is_due_long_before_any_way_back_closes() -> None:
    assert min(PAID + days * DAY for _, days in LIMITED) > DUE

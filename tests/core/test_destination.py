"""Where a refund goes when its way back is closed: who may say so and when, what is sent under which key, and names."""

import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deadlines import due_at
from chalicelib.core.decide import decide
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.refund import RefundDestinationNamed
from chalicelib.core.deposit.refund import RefundStatus, parse_refund_key, refund_key, route_key
from chalicelib.core.refunding.destination import MAX_DESTINATIONS, NameDestination, Reroute, Retry, is_same_holder
from chalicelib.core.refunding.schedule import compute_due_at as refund_due_at
from chalicelib.core.refunding.settling import FlagProofMismatch
from tests.core.stories import (
    CANCEL,
    DEPOSIT_ID,
    GRACE,
    LOSE,
    MISS,
    NO_WAY_BACK,
    PAID,
    SEND,
    Story,
    cancelled,
    draft,
    ordered,
    paid,
    plain,
    refund_news,
    refused,
    wire,
)

APPROVED: Final = PAID + DAY
PROMISED: Final = APPROVED + 7 * DAY
NAMED: Final = APPROVED + 2 * HOUR
SENT: Final = APPROVED + HOUR

HOME, OTHER = NameDestination(1, "home"), NameDestination(1, "other")
TAKE_OFF, AGAIN = Reroute(1), Retry(1)

Step = Callable[[Story], object]


def news(status: str, at: int = SENT + MINUTE, **known: Any) -> Step:
    return lambda story: story.ask(refund_news(story, status, at, **known), at)


def asks(command: Command, at: int = NAMED) -> Step:
    return lambda story: story.ask(command, at)


SENDS: Final = asks(SEND, SENT)
PROMISE_PASSES: Final[Step] = lambda story: story.write(PROMISED)  # noqa: E731 - a step among steps
# How a refund of an ordinary cancel gets there; where two ways lead to one status, both count.
REACHED: Final[dict[str, tuple[Step, ...]]] = {
    "approved":                     (),
    "approved, account named":      (asks(TAKE_OFF, APPROVED), asks(HOME, APPROVED)),
    "sent":                         (SENDS,),
    "unknown":                      (SENDS, asks(LOSE, SENT)),
    "pending":                      (SENDS, news("pending")),
    "succeeded":                    (SENDS, news("succeeded")),
    "settled":                      (SENDS, news("succeeded", settled=True)),
    "requires_action":              (SENDS, news("declined")),
    "requires_action, rerouted":    (asks(TAKE_OFF, APPROVED),),
    "returned":                     (SENDS, news("returned")),
    "manual_review, never sent":    (PROMISE_PASSES,),
    "manual_review, doubted":       (asks(FlagProofMismatch(1), SENT),),
    "manual_review, not found":     (SENDS, asks(MISS, SENT)),
    "manual_review, sent and late": (SENDS, PROMISE_PASSES),
    "manual_review, declined":      (SENDS, news("declined"), PROMISE_PASSES),
    "manual_review, returned":      (SENDS, news("returned"), PROMISE_PASSES),
}  # fmt: skip

# Who may move it: the buyer by naming an account, the platform by taking it off its way or sending it again, both also
# with the word that the provider knows nothing of it and has forgotten its key.
TABLE = """
                              name      reroute          reroute absent   retry     retry absent
approved                      -         requires_action  requires_action  -         -
approved, account named       approved  requires_action  requires_action  -         -
sent                          -         -                -                -         -
unknown                       -         -                -                -         -
pending                       -         -                -                -         -
succeeded                     -         -                -                -         -
settled                       -         -                -                -         -
requires_action               approved  requires_action  requires_action  -         -
requires_action, rerouted     approved  requires_action  requires_action  -         -
returned                      approved  requires_action  requires_action  -         -
manual_review, never sent     -         requires_action  requires_action  approved  approved
manual_review, doubted        -         requires_action  requires_action  approved  approved
manual_review, not found      -         -                requires_action  -         approved
manual_review, sent and late  -         -                requires_action  -         approved
manual_review, declined       approved  requires_action  requires_action  approved  approved
manual_review, returned       approved  requires_action  requires_action  approved  approved
"""
COLUMNS: Final[dict[str, Command]] = {
    "name": HOME,
    "reroute": TAKE_OFF,
    "reroute absent": Reroute(1, absent=True),
    "retry": AGAIN,
    "retry absent": Retry(1, absent=True),
}


def cells() -> list[tuple[str, str, str]]:
    """Columns begin where the header's words do, two spaces apart."""
    header, *rows = (line.rstrip() for line in TABLE.strip("\n").splitlines())
    starts = [header.index(name) for name in ("name", "reroute ", "reroute absent", "retry ", "retry absent")]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    return [
        (row[: starts[0]].strip(), name, row[start:end].strip())
        for row in rows
        for name, (start, end) in zip(COLUMNS, spans, strict=True)
    ]


CELLS: Final = cells()


def standing(*steps: Step) -> Story:
    story = cancelled(at=APPROVED)
    for step in steps:
        step(story)
    return story


def test_every_status_is_in_the_table() -> None:
    assert {name for name, _, _ in CELLS} == set(REACHED)
    assert {name.partition(",")[0] for name in REACHED} == set(RefundStatus)


@pytest.mark.parametrize("name", REACHED)
def test_a_row_is_about_the_status_it_names(name: str) -> None:
    assert standing(*REACHED[name]).refund.status.value == name.partition(",")[0]


@pytest.mark.parametrize(("name", "column", "then"), CELLS, ids=[f"{cell[0]}: {cell[1]}" for cell in CELLS])
def test_who_may_move_a_refund(name: str, column: str, then: str) -> None:
    story = standing(*REACHED[name])
    before = story.refund
    if then == "-":
        with refused(Reason.WRONG_STATE, state=before.status.value):
            decide(story.deposit, COLUMNS[column], PROMISED, story.terms)
        return
    (event,) = story.ask(COLUMNS[column], PROMISED)
    assert (story.refund.status.value, story.refund.changed_at) == (then, event.at)
    assert (story.refund.attempts, story.refund.amount) == (before.attempts, before.amount)
    assert story.refund.review is None


@pytest.mark.parametrize(
    "command", [NameDestination(2, "home"), Reroute(2), Retry(2)], ids=lambda one: type(one).__name__
)
def test_a_refund_that_does_not_exist_is_not_found(command: Command) -> None:
    story = standing(news("pending"))
    with refused(Reason.NOT_FOUND):
        decide(story.deposit, command, NAMED, story.terms)


# --- The account that was named ---


def declined() -> Story:
    return standing(SENDS, news("declined"))


def test_what_naming_an_account_writes_tells_nothing_of_it() -> None:
    story = declined()
    (named,) = story.ask(HOME, NAMED)
    assert named == RefundDestinationNamed(
        at=NAMED, refund=1, destination=1, digest="home", payable_from=NAMED, promised_by=NAMED + 7 * DAY
    )


FIRST, SECOND, THIRD = NAMED, NAMED + HOUR, NAMED + 2 * HOUR


@pytest.mark.parametrize(
    ("named", "payable_from"),
    [
        ([(HOME, FIRST)],                                                    FIRST),
        ([(HOME, FIRST), (HOME, SECOND)],                                    SECOND),
        ([(HOME, FIRST), (OTHER, SECOND)],                                   SECOND + 24 * HOUR),
        ([(HOME, FIRST), (OTHER, SECOND), (HOME, THIRD)],                    THIRD + 24 * HOUR),
        ([(HOME, FIRST), (OTHER, SECOND), (OTHER, THIRD)],                   SECOND + 24 * HOUR),
        ([(HOME, FIRST), (TAKE_OFF, SECOND), (HOME, THIRD)],                 THIRD),
        ([(HOME, FIRST), (TAKE_OFF, SECOND), (OTHER, THIRD)],                THIRD + 24 * HOUR),
        ([(TAKE_OFF, FIRST), (OTHER, SECOND)],                               SECOND),
    ],
)  # fmt: skip
def test_the_first_account_is_paid_at_once_another_one_a_day_later(
    named: list[tuple[Command, int]], payable_from: int
) -> None:
    story = declined()
    for command, at in named:
        story.ask(command, at)
    assert story.refund.payable_from == payable_from
    assert story.refund.promised_by == payable_from + 7 * DAY
    assert refund_due_at(story.refund) == due_at(story.deposit, GRACE) == payable_from
    assert story.said(SEND, payable_from - 1) == "nothing"
    assert story.said(SEND, payable_from) == "refund.sent"


def test_the_promise_counts_from_there_because_until_then_it_waited_for_the_buyer() -> None:
    story = declined()
    late = PROMISED - 1
    story.ask(HOME, late)
    assert story.write(late + 7 * DAY - 1).refund.status is RefundStatus.APPROVED
    assert story.write(late + 7 * DAY).refund.review == "promise_missed"


@pytest.mark.parametrize("at", [PROMISED, PROMISED + 30 * DAY])
def test_a_buyer_who_names_it_too_late_is_paid_all_the_same(at: int) -> None:
    story = declined().write(PROMISED)
    assert (story.refund.status, story.refund.review) == (RefundStatus.MANUAL_REVIEW, "promise_missed")
    story.ask(HOME, at)
    assert story.write(at).said(SEND, at) == "refund.sent"


@pytest.mark.parametrize("at", [PROMISED - 1, PROMISED, PROMISED + 1])
def test_an_account_on_its_way_to_be_paid_cannot_be_changed_any_more(at: int) -> None:
    story = standing(SENDS, news("declined"), asks(HOME), asks(SEND))
    with refused(Reason.WRONG_STATE, state="sent"):
        decide(story.deposit, OTHER, at, story.terms)


@pytest.mark.parametrize(("times", "then"), [(9, "refund.destination_named"), (10, "rate-limited")])
def test_an_account_is_named_ten_times(times: int, then: str) -> None:
    assert MAX_DESTINATIONS == 10
    story = declined()
    for n in range(times):
        story.ask(HOME, NAMED + n)
    assert story.said(HOME, NAMED + times) == then


def test_an_account_is_paid_at_any_hour_and_long_after_the_way_back_has_closed() -> None:
    story = paid(draft(plain("flash_sale", payment={"take": "full", "methods": ["shopeepay"]})))
    story.grant("1 CNY", PAID)
    story.ask(TAKE_OFF, PAID)
    at_midnight = PAID - PAID % DAY + 400 * DAY + 17 * HOUR
    story.write(at_midnight).ask(HOME, at_midnight)
    assert story.said(SEND, at_midnight) == "refund.sent"


@pytest.mark.parametrize("command", [Retry(1, absent=True), Reroute(1, absent=True)], ids=["retry", "reroute"])
def test_what_a_person_moves_after_the_promise_is_promised_anew(command: Command) -> None:
    story = standing(SENDS, asks(LOSE, SENT), PROMISE_PASSES)
    moved = PROMISED + DAY
    story.ask(command, moved)
    status = story.refund.status
    assert story.refund.promised_by == moved + 7 * DAY
    assert story.write(moved + 7 * DAY - 1).refund.status is status
    assert story.write(moved + 7 * DAY).refund.review == "promise_missed"


def test_what_a_person_sends_again_after_the_promise_is_sent() -> None:
    story = standing(SENDS, asks(LOSE, SENT), PROMISE_PASSES, asks(Retry(1, absent=True), PROMISED + DAY))
    assert story.write(PROMISED + DAY).said(SEND, PROMISED + DAY) == "refund.sent"


# --- Ways, keys and attempts ---


def ways_of(story: Story) -> tuple[str, int, str]:
    """The key of the current way without the refund's id, the number of attempts, and where it goes."""
    refund = story.refund
    whole = refund_key(DEPOSIT_ID, refund)
    return whole.removeprefix(f"ref_{'0' * 26}_1"), len(refund.attempts), refund.destination_kind


WAYS = [
    # steps                                                                         key   attempts  goes to
    ((),                                                                            "",   0, "original_method"),
    ((SENDS,),                                                                      "",   1, "original_method"),
    ((SENDS, news("pending")),                                                      "",   1, "original_method"),
    ((SENDS, news("declined")),                                                     "",   1, "payout"),
    ((SENDS, news("returned")),                                                     "",   1, "payout"),
    ((asks(TAKE_OFF),),                                                             "",   0, "payout"),
    ((asks(TAKE_OFF), asks(HOME)),                                                  ".1", 0, "bank_account"),
    ((SENDS, news("declined"), asks(HOME)),                                         ".1", 1, "bank_account"),
    ((SENDS, news("declined"), asks(HOME), asks(SEND)),                             ".1", 2, "bank_account"),
    ((SENDS, news("declined"), asks(HOME), asks(OTHER)),                            ".2", 1, "bank_account"),
    ((SENDS, news("declined"), asks(HOME), asks(SEND), news("declined", route_no=1)),    ".1", 2, "payout"),
    ((SENDS, news("declined"), asks(HOME), asks(SEND), news("declined", route_no=1), asks(HOME)), ".2", 2, "bank_account"),
    ((SENDS, news("declined"), asks(HOME), asks(SEND), news("declined", route_no=1), asks(TAKE_OFF)), ".1", 2, "payout"),
    ((SENDS, asks(MISS, SENT), asks(Retry(1, absent=True))),                        ".1", 1, "original_method"),
    ((SENDS, asks(MISS, SENT), asks(Retry(1, absent=True)), asks(SEND)),            ".1", 2, "original_method"),
    ((SENDS, asks(MISS, SENT), asks(Reroute(1, absent=True))),                      "",   1, "payout"),
    ((SENDS, asks(MISS, SENT), asks(Reroute(1, absent=True)), asks(HOME), asks(SEND)), ".1", 2, "bank_account"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "way", "attempts", "goes_to"), WAYS)
def test_every_way_has_a_key_of_its_own(steps: tuple[Step, ...], way: str, attempts: int, goes_to: str) -> None:
    story = standing(*steps)
    assert ways_of(story) == (way, attempts, goes_to)
    body = DEPOSIT_ID.partition("_")[2]
    assert parse_refund_key(refund_key(DEPOSIT_ID, story.refund)) == (body, 1, story.refund.route_no)


def test_attempts_are_numbered_and_never_deleted() -> None:
    story = standing(SENDS, news("declined", code="closed"), asks(HOME), asks(SEND))
    story.ask(refund_news(story, "succeeded", NAMED + MINUTE, route_no=1, provider_ref="po_1"), NAMED + MINUTE)
    shown = [(attempt.n, attempt.status, attempt.at, attempt.provider_ref) for attempt in story.refund.attempts]
    assert shown == [(1, "declined", SENT, "re_1"), (2, "succeeded", NAMED, "po_1")]


@pytest.mark.parametrize("status", ["pending", "succeeded", "declined", "returned"])
@pytest.mark.parametrize("sent", [False, True])
def test_news_of_a_way_that_was_left_is_not_about_this_one(status: str, sent: bool) -> None:
    """Reconciliation sees it, if money moved there after all."""
    story = standing(SENDS, news("declined"), asks(HOME), *([asks(SEND)] if sent else []))
    for way in (0, 2):
        assert story.said(refund_news(story, status, NAMED, route_no=way), NAMED) == "nothing"
    assert story.refund.status.value == ("sent" if sent else "approved")


@pytest.mark.parametrize(
    ("taken_off", "then"),
    [
        ((SENDS, news("declined"), asks(TAKE_OFF)),                       "refund.succeeded"),
        ((SENDS, asks(MISS, SENT), asks(Reroute(1, absent=True))),        "refund.succeeded"),
        ((SENDS, news("returned"), asks(TAKE_OFF)),                       "nothing"),
        ((asks(TAKE_OFF),),                                               "nothing"),
    ],
)  # fmt: skip
def test_late_news_that_a_rerouted_refund_arrived_after_all_spares_the_account(
    taken_off: tuple[Step, ...], then: str
) -> None:
    story = standing(*taken_off)
    assert story.said(refund_news(story, "succeeded", NAMED + 1), NAMED + 1) == then
    if then == "refund.succeeded":
        assert story.said(HOME, NAMED + 2) == "wrong-state"


def test_what_comes_back_from_an_account_asks_for_another_one() -> None:
    story = standing(SENDS, news("declined"), asks(HOME), asks(SEND))
    story.ask(refund_news(story, "returned", NAMED + 1, route_no=1), NAMED + 1)
    assert (story.refund.status, story.refund.waiting_on) == (RefundStatus.RETURNED, "buyer")
    assert story.said(OTHER, NAMED + 2) == "refund.destination_named"
    assert story.said(SEND, NAMED + 2 + 24 * HOUR) == "refund.sent"


# --- What a payout takes ---


def in_jakarta(price: str) -> Story:
    """An order in rupiah by bank transfer, cancelled at once: nothing but an account gives it back."""
    item = {"sku": "one", "name": "One", "price": wire(price), "stock": None}
    story = ordered(
        draft(plain("flash_sale", "IDR", items=[item], payment={"take": "full", "methods": ["virtual_account"]}))
    )
    story.pay()
    story.grant(price, PAID)
    return story


@pytest.mark.parametrize(
    ("price", "then", "review"),
    [
        ("9999 IDR",     "refund.review_needed", "below_route_min"),
        ("10000 IDR",    "refund.sent",          None),
        ("25000000 IDR", "refund.sent",          None),
        ("25000001 IDR", "refund.review_needed", "above_route_max"),
    ],
)  # fmt: skip
def test_a_person_gathers_or_splits_what_no_transfer_takes(price: str, then: str, review: str | None) -> None:
    story = in_jakarta(price)
    story.ask(HOME, PAID)
    assert story.said(SEND, PAID) == then
    assert story.refund.review == review
    assert bool(story.refund.attempts) is (then == "refund.sent")


def test_another_account_does_not_help_there() -> None:
    story = in_jakarta("9999 IDR")
    story.ask(HOME, PAID)
    story.ask(SEND, PAID)
    with refused(Reason.WRONG_STATE, state="manual_review"):
        decide(story.deposit, OTHER, PAID, story.terms)


def test_a_bank_transfer_asks_for_an_account_at_once() -> None:
    story = paid(NO_WAY_BACK)
    story.ask(CANCEL, APPROVED)
    assert (story.refund.destination_kind, story.refund.waiting_on, story.refund.attempts) == ("payout", "buyer", ())
    story.ask(HOME, APPROVED)
    assert story.said(SEND, APPROVED) == "refund.sent"


# --- Who is waited for ---


@pytest.mark.parametrize(
    ("method", "way", "waiting_on"),
    [
        ("card",       0, "bank"),
        ("wechat_pay", 0, "bank"),
        ("alipay",     0, "provider"),
        ("gopay",      0, "provider"),
        ("alipay",     1, "bank"),
        ("card",       1, "bank"),
    ],
)  # fmt: skip
def test_a_route_that_answers_at_once_keeps_the_provider_waited_for(method: str, way: int, waiting_on: str) -> None:
    story = paid(draft(plain("flash_sale", payment={"take": "full", "methods": [method]})))
    story.grant("1 CNY", PAID)
    if way:
        story.ask(TAKE_OFF, PAID)
        story.ask(HOME, PAID)
    story.ask(SEND, PAID)
    story.ask(refund_news(story, "pending", PAID, route_no=way), PAID)
    assert story.refund.waiting_on == waiting_on


# --- Keys ---

REFUND_ID: Final = f"ref_{'0' * 26}_1"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (REFUND_ID,            ("0" * 26, 1, 0)),
        (f"{REFUND_ID}.1",     ("0" * 26, 1, 1)),
        (f"{REFUND_ID}.12",    ("0" * 26, 1, 12)),
        (f"{REFUND_ID}2.3",    ("0" * 26, 12, 3)),
        (f"{REFUND_ID}.0",     None),
        (f"{REFUND_ID}.01",    None),
        (f"{REFUND_ID}.",      None),
        (f"{REFUND_ID}.1.1",   None),
        (f"{REFUND_ID}.-1",    None),
        (f"{REFUND_ID}. 1",    None),
        (f"{REFUND_ID}.²",     None),
        (f"{REFUND_ID}.\u0661", None),
        (f"{REFUND_ID}.x",     None),
        ("",                   None),
        (".1",                 None),
        (f"pay_{'0' * 26}_1",  None),
        (f"dep_{'0' * 26}",    None),
    ],
)  # fmt: skip
def test_a_key_is_read_or_it_is_none(text: str, parsed: tuple[str, int, int] | None) -> None:
    assert parse_refund_key(text) == parsed


@given(n=st.integers(1, 999), way=st.integers(0, 999))
def test_what_is_written_is_read(n: int, way: int) -> None:
    assert parse_refund_key(route_key(f"ref_{'0' * 26}_{n}", way)) == ("0" * 26, n, way)


@given(text=st.text(max_size=50))
def test_any_text_is_read_or_it_is_none(text: str) -> None:
    parsed = parse_refund_key(text)
    assert parsed is None or route_key(f"ref_{parsed[0]}_{parsed[1]}", parsed[2]) == text


# --- Names ---

NAMES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "names.toml").read_text("utf-8"))["case"]


@pytest.mark.parametrize("case", NAMES, ids=lambda case: f"{case['one']}, {case['other']}")
def test_a_holder_is_told_by_the_name(case: dict[str, Any]) -> None:
    assert is_same_holder(case["one"], case["other"]) is case["same"]
    assert is_same_holder(case["other"], case["one"]) is case["same"]


WORDS: Final = st.lists(st.sampled_from(["Ana", "José", "Groß", "李伟", "\uff37\uff45\uff49", "Ngô", "88"]), max_size=4)


@given(words=WORDS, data=st.data())
def test_spelling_does_not_make_another_holder(words: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(words))
    form = data.draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
    other = unicodedata.normalize(form, " ".join(shuffled))  # type: ignore[arg-type] # drawn from its values
    assert is_same_holder(" ".join(words), other)
    assert is_same_holder(" ".join(words), other.upper())

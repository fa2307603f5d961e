"""Every fen is somewhere: what each event posts, what balances refuse, and histories that a machine invents."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chalicelib.core import entitlement
from chalicelib.core.decide import ROUTE_CLOSED, Command, LoseAnswer, MissRefund, SendRefund, actions, decide
from chalicelib.core.deposit import FINAL, Deposit, Status, due_at, evolve, fold, overdue, status_at
from chalicelib.core.events import (
    Cancelled,
    DepositEvent,
    PaymentNotCounted,
    PaymentSucceeded,
    RefundApproved,
    RefundDeclined,
    RefundReturned,
    RefundSucceeded,
)
from chalicelib.core.instants import DAY, HOUR, MINUTE, SECOND
from chalicelib.core.ledger import Account, Balances, postings
from chalicelib.core.money import Money
from chalicelib.core.payment import CaptureSeen, PaymentSeen
from chalicelib.core.refund import RefundSeen, RefundStatus
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.terms import Terms
from tests.core.stories import (
    CANCEL,
    DEPOSIT_ID,
    FLASH_SALE,
    FOUNDERS,
    GRACE,
    NEVER,
    NO_WAY_BACK,
    PAY_BY_ALIPAY,
    SU7,
    T0,
    UNLOCK,
    Story,
    cancelled,
    money,
    ordered,
    paid,
    terms,
)
from tests.core.test_deposit import EVENTS

AMOUNTS = {1: money("7 CNY")}
MOVED = {
    PaymentSucceeded: ("captured", "held"),
    PaymentNotCounted: ("captured", "held"),
    RefundApproved: ("held", "refunding"),
    RefundSucceeded: ("refunding", "refunded"),
    RefundReturned: ("refunded", "refunding"),
    Cancelled: ("held", "forfeited"),
}
KEPT = Cancelled(T0, "buyer_cancel", "CN-2026/earnest_cap", money("5000 CNY"))


# --- What each event posts ---


def test_every_event_is_handled() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(DepositEvent))
    assert set(MOVED) < set(get_args(DepositEvent))


@pytest.mark.parametrize("event", [*EVENTS, KEPT], ids=lambda event: event.TYPE)
def test_what_an_event_posts_sums_to_zero(event: DepositEvent) -> None:
    sums: Counter[str] = Counter()
    for _, amount in postings(event, AMOUNTS):
        sums[amount.currency] += amount.minor
    assert set(sums.values()) <= {0}


@pytest.mark.parametrize("event", [*EVENTS, KEPT], ids=lambda event: event.TYPE)
def test_an_event_moves_money_from_one_place_to_another_or_not_at_all(event: DepositEvent) -> None:
    moved = list(postings(event, AMOUNTS))
    nothing = isinstance(event, Cancelled) and not event.forfeited
    if type(event) not in MOVED or nothing:
        assert moved == []
        return
    source, target = moved
    assert (source.account.value, target.account.value) == MOVED[type(event)]
    assert source.amount == -target.amount
    assert target.amount


def test_accounts_are_what_a_deposit_shows() -> None:
    assert [account.value for account in Account] == list(Balances.__dataclass_fields__)


# --- What balances refuse ---


@pytest.mark.parametrize(
    ("captured", "held", "refunding", "refunded", "forfeited", "fees"),
    [
        (10, 9, 0, 0, 0, 0),   # one fen is nowhere
        (10, 11, 0, 0, 0, 0),  # one fen is from nowhere
        (10, 11, -1, 0, 0, 0),
        (10, -1, 11, 0, 0, 0),
        (10, 11, 0, -1, 0, 0),
        (10, 11, 0, 0, -1, 0),
        (10, 11, 0, 0, 0, -1),
        (-1, -1, 0, 0, 0, 0),
    ],
)  # fmt: skip
def test_balances_refuse_what_does_not_add_up(
    captured: int, held: int, refunding: int, refunded: int, forfeited: int, fees: int
) -> None:
    parts = [Money(minor, "CNY") for minor in (captured, held, refunding, refunded, forfeited, fees)]
    with pytest.raises(AssertionError):
        Balances(*parts)


def test_balances_refuse_to_give_back_more_than_is_held() -> None:
    held = paid().deposit
    too_much = RefundApproved(T0, 1, "goodwill", money("5088.01 CNY"), (), T0, 1, "cap_1")
    with pytest.raises(AssertionError):
        evolve(held, too_much)
    everything = RefundApproved(T0, 1, "goodwill", money("5088 CNY"), (), T0, 1, "cap_1")
    assert not evolve(held, everything).money.held


def test_balances_hold_several_kinds_at_once() -> None:
    ten = Money(10, "CNY")
    assert Balances(ten * 5, ten, ten, ten, ten, ten).captured == Money(50, "CNY")


@pytest.mark.parametrize(
    ("news", "refunding", "refunded"),
    [
        ([],                                           "5088 CNY", "0 CNY"),
        (["pending"],                                  "5088 CNY", "0 CNY"),
        (["pending", "declined"],                      "5088 CNY", "0 CNY"),
        (["succeeded"],                                "0 CNY",    "5088 CNY"),
        (["succeeded", "returned"],                    "5088 CNY", "0 CNY"),
    ],
)  # fmt: skip
def test_money_is_refunding_until_it_is_seen_at_the_buyers(news: list[str], refunding: str, refunded: str) -> None:
    story = cancelled()
    story.ask(SendRefund(1), T0 + DAY)
    for status in news:
        seen = RefundSeen(1, status, story.refund.amount, "re_1", T0 + DAY)  # type: ignore[arg-type] # from a table
        story.ask(seen, T0 + DAY)
    balances = story.deposit.money
    assert (balances.refunding, balances.refunded) == (money(refunding), money(refunded))
    assert not balances.held


# --- Histories that nobody thought of ---

UNDER: Final = [
    SU7,
    FOUNDERS,
    FLASH_SALE,
    NEVER,
    NO_WAY_BACK,
    terms(preset="su7_founders_2024", lock={"undo": None}),
    terms(shipping={"amount": "0", "currency": "CNY"}),
]
PAUSES = st.sampled_from([0, 1, SECOND, MINUTE, 14 * MINUTE, HOUR, DAY, 7 * DAY, 60 * DAY])
LAGS = st.sampled_from([0, 1, SECOND, 29 * SECOND])  # an older request writes nothing any more
AMOUNTS_PAID = st.sampled_from(["due", "less", "more", "foreign", "twice"])
NEWS = st.sampled_from(["pending", "succeeded", "declined", "returned"])


def sums(events: Iterable[DepositEvent]) -> Balances:
    """The balances told by the journal itself, in another way than the code computes them."""
    amounts: dict[int, Money] = {}
    captured = held = refunding = refunded = forfeited = 0
    for event in events:
        match event:
            case PaymentSucceeded() | PaymentNotCounted() if event.amount.currency == "CNY":
                captured += event.amount.minor
                held += event.amount.minor
            case RefundApproved():
                amounts[event.refund] = event.amount
                if event.amount.currency == "CNY":
                    held -= event.amount.minor
                    refunding += event.amount.minor
            case RefundSucceeded() | RefundReturned() if amounts[event.refund].currency == "CNY":
                back = amounts[event.refund].minor * (1 if isinstance(event, RefundSucceeded) else -1)
                refunding -= back
                refunded += back
            case Cancelled():
                held -= event.forfeited.minor
                forfeited += event.forfeited.minor
            case _:
                pass
    return Balances(*(Money(minor, "CNY") for minor in (captured, held, refunding, refunded, forfeited, 0)))


class AnyHistory(RuleBasedStateMachine):
    """Whatever buyers, providers, jobs and clocks do, in whatever order, at whatever pace.

    Requests are asked a little before they are worked off, as on a busy machine; what is overdue is written first,
    with the grace of irreversible deadlines, exactly as every append does it.
    """

    story: Story
    now: int

    @initialize(under=st.sampled_from(UNDER), far=st.sampled_from(["ordered", "paid", "cancelled", "sent"]))
    def order(self, under: Terms, far: str) -> None:
        """Begins anywhere on the usual way, so that what lies behind it is met often."""
        self.story = ordered(under)
        self.now = T0
        if far != "ordered":
            self.do(self.story.captured(at=T0), 0)
        if far in {"cancelled", "sent"}:
            self.do(CANCEL, 0)
        if far == "sent":
            self.do(SendRefund(1), 0)

    # What happens

    @rule(pause=PAUSES)
    def time_passes(self, pause: int) -> None:
        self.now += pause

    @rule(offset=st.sampled_from([-1, 0, 1]))
    def it_gets_close_to_what_is_due(self, offset: int) -> None:
        due = due_at(self.story.deposit, GRACE)
        if due is not None and due + offset > self.now:
            self.now = due + offset

    @rule()
    def deadlines_are_written(self) -> None:
        self.tell(overdue(self.story.deposit, self.now, self.now - GRACE))

    @rule(command=st.sampled_from([CANCEL, UNLOCK, PAY_BY_ALIPAY]), lag=LAGS)
    def the_buyer_asks(self, command: Command, lag: int) -> None:
        self.do(command, lag)

    @rule(kind=AMOUNTS_PAID, age=st.sampled_from([0, 1, MINUTE, HOUR, DAY]), again=st.booleans(), data=st.data())
    def money_is_captured(self, kind: str, age: int, again: bool, data: st.DataObject) -> None:
        deposit = self.story.deposit
        n = data.draw(st.integers(1, len(deposit.payments)))
        due = deposit.payments[n - 1].amount
        fen = Money(1, "CNY")
        amount = {"less": due - fen, "more": due + fen, "foreign": Money(due.minor, "USD")}.get(kind, due)
        fresh = f"cap_{len(deposit.captures) + 1}"
        ref = data.draw(st.sampled_from(deposit.captures)) if again and deposit.captures else fresh
        captures = [CaptureSeen(ref, amount, self.now - age)]
        if kind == "twice":
            captures.append(CaptureSeen(f"{fresh}b", amount, self.now))
        self.do(PaymentSeen(n, "succeeded", tuple(captures)), 0)

    @rule(status=st.sampled_from(["open", "pending", "failed"]), data=st.data())
    def the_provider_tells_of_a_payment(self, status: str, data: st.DataObject) -> None:
        n = data.draw(st.integers(1, len(self.story.deposit.payments)))
        self.do(PaymentSeen(n, status), 0)  # type: ignore[arg-type] # drawn from its values

    @rule(status=NEWS, settled=st.booleans(), wrong=st.booleans(), data=st.data())
    def the_provider_tells_of_a_refund(self, status: str, settled: bool, wrong: bool, data: st.DataObject) -> None:
        if not self.story.deposit.refunds:
            return
        refund = data.draw(st.sampled_from(self.story.deposit.refunds))
        amount = refund.amount - Money(1, refund.amount.currency) if wrong else refund.amount
        ref = data.draw(st.sampled_from(["re_1", "re_2"]))
        self.do(RefundSeen(refund.n, status, amount, ref, self.now, settled), 0)  # type: ignore[arg-type] # drawn

    @rule(command=st.sampled_from([SendRefund, SendRefund, LoseAnswer, MissRefund]), data=st.data())
    def a_job_works_on_a_refund(self, command: type[SendRefund | LoseAnswer | MissRefund], data: st.DataObject) -> None:
        if self.story.deposit.refunds:
            self.do(command(data.draw(st.integers(1, len(self.story.deposit.refunds)))), 0)

    def do(self, command: Command, lag: int) -> None:
        """As ``flows.commit``: write what is overdue, decide at the instant of asking."""
        at = self.now - lag
        self.tell(overdue(self.story.deposit, at, at - GRACE))
        before = self.story.deposit
        try:
            decided = decide(before, command, at, self.story.terms)
        except Refused:
            return
        if command == CANCEL and status_at(before, at) is Status.COOLING_OFF:
            assert all(not event.forfeited for event in decided if isinstance(event, Cancelled)), "P6"
        self.tell(decided)

    def tell(self, events: Iterable[DepositEvent]) -> None:
        for event in events:
            self.story.tell(event)
            self.check_money()

    # What holds

    def check_money(self) -> None:
        """P1 and P3, after every single event, also within one write."""
        deposit = self.story.deposit
        assert deposit.money == sums(self.story.events)
        captured, back = self.by_capture()
        assert all(back[ref] <= captured[ref] for ref in back), "more goes back than came"

    def by_capture(self) -> tuple[Counter[str], Counter[str]]:
        captured: Counter[str] = Counter()
        for event in self.story.events:
            if isinstance(event, PaymentSucceeded | PaymentNotCounted):
                key = f"{event.capture} {event.amount.currency}"
                assert key not in captured, "a capture counts once"
                captured[key] = event.amount.minor
        back: Counter[str] = Counter()
        for refund in self.story.deposit.refunds:
            back[f"{refund.capture} {refund.amount.currency}"] += refund.amount.minor
        return captured, back

    @invariant()
    def nothing_waits_without_a_due_time(self) -> None:
        """P7."""
        deposit = self.story.deposit
        waiting = deposit.status is Status.AWAITING_PAYMENT or any(
            refund.status not in {RefundStatus.SETTLED, RefundStatus.MANUAL_REVIEW} for refund in deposit.refunds
        )
        window_runs = (
            deposit.status is Status.COOLING_OFF and deposit.window is not None and deposit.window.ends_at is not None
        )
        assert not (waiting or window_runs) or due_at(deposit, GRACE) is not None

    @invariant()
    def what_is_written_by_a_job_changes_no_status(self) -> None:
        deposit = self.story.deposit
        written = self.caught_up(deposit)
        for at in (self.now, self.now + DAY):
            assert status_at(self.caught_up(deposit, at), at) is status_at(deposit, at) is status_at(written, at)
        assert not overdue(written, self.now, self.now)

    def caught_up(self, deposit: Deposit, at: int | None = None) -> Deposit:
        until = self.now if at is None else at
        for event in overdue(deposit, until, until):
            deposit = evolve(deposit, event)
        return deposit

    @invariant()
    def the_actions_are_what_is_accepted(self) -> None:
        deposit = self.caught_up(self.story.deposit)
        names: dict[str, Command] = {"cancel": CANCEL, "unlock": UNLOCK}
        if "alipay" in self.story.terms.payment.methods:
            names |= {"payment-method": PAY_BY_ALIPAY}
        for name, command in names.items():
            assert (name in actions(deposit, "buyer", self.now)) is self.accepts(deposit, command)

    def accepts(self, deposit: Deposit, command: Command) -> bool:
        try:
            return bool(decide(deposit, command, self.now, self.story.terms))
        except Refused as refused:
            return refused.reason is Reason.RATE_LIMITED  # there are too many, which is no matter of the state

    @invariant()
    def a_deposit_holds_what_was_due_or_nothing(self) -> None:
        """Whatever else came is on its way back; so is everything when the deposit was cancelled or never paid."""
        deposit = self.story.deposit
        ended = deposit.status in FINAL or deposit.paid is None
        assert deposit.money.held == (Money.zero("CNY") if ended else deposit.created.due_now)

    @invariant()
    def only_a_closed_route_leaves_a_refund_unsent(self) -> None:
        for refund in self.story.deposit.refunds:
            if refund.sent_at is None and refund.amount and refund.status is not RefundStatus.APPROVED:
                declines = [event for event in self.story.events if isinstance(event, RefundDeclined)]
                assert ROUTE_CLOSED in {event.code for event in declines if event.refund == refund.n}

    @invariant()
    def the_journal_tells_the_same_deposit_again(self) -> None:
        assert fold(DEPOSIT_ID, self.story.events) == self.story.deposit

    def teardown(self) -> None:
        """The curve is what a cancel gives, for as long as one can be asked."""
        if not hasattr(self, "story") or status_at(self.story.deposit, self.now) in FINAL:
            return
        deposit = self.caught_up(self.story.deposit)
        for step in entitlement.curve(deposit, self.story.terms, self.now):
            for at in (step.start, step.to - 1 if step.to is not None else step.start + 60 * DAY):
                if status_at(deposit, at) is not Status.EXPIRED:
                    assert step.owed == entitlement.of(deposit, self.story.terms, "buyer_cancel", at)


AnyHistory.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestAnyHistory = AnyHistory.TestCase

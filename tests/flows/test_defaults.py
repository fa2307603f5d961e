"""A buyer's default: declared only after a look at the provider, and never against money that was on its way."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason
from chalicelib.core.delivery.fulfilment import PayBalance, Ready
from chalicelib.core.deposit.status import Status
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.flows.images import fold_stored
from chalicelib.flows.ports.provider import Unknown
from chalicelib.flows.snapshot import Outcome
from tests.conftest import Tables
from tests.flows.shop import (
    DAY,
    EARNEST,
    PRICE,
    FaultyShop,
    captured,
    catch_refusal,
    fresh_key,
    new_buyer,
    rendered_state,
)
from tests.store.builders import STAFF, T0, shards

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
LOCKED: Final = T0 + 7 * DAY
DUE: Final = LOCKED + 7 * DAY
CURED: Final = DUE + 7 * DAY
BALANCE: Final = PRICE - EARNEST


class Dealer(FaultyShop):
    """The car stands ready, the balance fell due, and the time to cure the delay is over."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.by = new_buyer()
        self.offered = self.publish(units=5)
        self.id = self.order(self.offered, self.by).deposit.id
        self.pay(self.id)
        self.clock.now = LOCKED
        self.command(self.id, Ready((1,), LOCKED, ("photo:1",)), STAFF)
        self.clock.now = CURED

    def open_balance(self, at: int = CURED - DAY) -> str:
        """The buyer goes to pay the rest; the payment's id."""
        self.clock.now = at
        deposit = self.command(self.id, PayBalance("card"), self.by).deposit
        self.clock.now = CURED
        return child("pay", self.id, deposit.payment.n)

    def declare(self, key_text: str | None = None, by: Caller = STAFF, **changes: Any) -> Outcome:
        return self.defaults.declare(
            self.id, self.request_context(by, f"buyer-default {self.id}", key_text or fresh_key(), **changes)
        )

    def left(self) -> int:
        return sum(left for left, *_ in shards(self.table, self.offered.offer))


@pytest.fixture
def dealer(table: Tables) -> Iterator[Dealer]:
    with Dealer.open(table) as dealer:
        yield dealer


def test_a_default_keeps_the_earnest_money_and_gives_the_car_back(dealer: Dealer) -> None:
    after = dealer.declare().deposit
    assert after.status is Status.CANCELLED
    assert after.money.forfeited == after.money.captured == EARNEST
    assert dealer.event_types(dealer.id)[-3:] == ["deposit.cancelled", "refund.approved", "refund.settled"]
    assert dealer.provider.calls == [], "no balance payment was opened: there is nothing to look for"
    assert dealer.left() == 5


@pytest.mark.parametrize(("at", "done"), [(CURED - 1, False), (CURED, True)])
def test_a_default_is_declared_only_when_the_time_to_cure_is_over(dealer: Dealer, at: int, done: bool) -> None:
    dealer.clock.now = at
    if done:
        dealer.declare()
    else:
        no = catch_refusal(dealer.declare)
        assert (no.reason, no.facts) == (Reason.WRONG_STATE, {"state": "locked", "cure_until": CURED})
        assert "deposit.cancelled" not in dealer.event_types(dealer.id)


@pytest.mark.parametrize("captured_at", [CURED - DAY + 1, CURED - 1, CURED])
def test_a_balance_that_arrived_unseen_is_counted_and_the_default_refused(dealer: Dealer, captured_at: int) -> None:
    payment = dealer.open_balance()
    dealer.provider.payments[payment] = captured(captured_at, BALANCE, 2)
    no = catch_refusal(dealer.declare)
    assert no.reason is Reason.WRONG_STATE
    assert dealer.provider.calls == [payment]
    deposit = fold_stored(dealer.load(dealer.id))
    assert deposit.money.captured == deposit.money.held == PRICE
    assert not deposit.balance
    assert dealer.event_types(dealer.id)[-1] == "balance.paid"
    assert catch_refusal(dealer.declare).reason is Reason.WRONG_STATE
    assert dealer.provider.calls == [payment], "what is paid is not looked for again"


def test_without_an_answer_of_the_provider_there_is_no_default(dealer: Dealer) -> None:
    payment = dealer.open_balance()
    dealer.provider.payments[payment] = Unknown()
    before, press = dealer.load(dealer.id).journal, fresh_key()
    no = catch_refusal(lambda: dealer.declare(press))
    assert (no.reason, no.facts) == (Reason.BUSY, {"retry_after": 1})
    assert dealer.load(dealer.id).journal == before
    del dealer.provider.payments[payment]
    assert dealer.declare(press).deposit.status is Status.CANCELLED


NOT_ARRIVED: Final = [
    # what the provider knows of a balance that is not paid
    None, PaymentSeen(2, "open"), PaymentSeen(2, "pending"), PaymentSeen(2, "failed"),
]  # fmt: skip


@pytest.mark.parametrize("seen", NOT_ARRIVED, ids=str)
def test_a_payment_that_did_not_arrive_stops_no_default(dealer: Dealer, seen: PaymentSeen | None) -> None:
    payment = dealer.open_balance()
    if seen is not None:
        dealer.provider.payments[payment] = seen
    assert dealer.declare().deposit.money.forfeited == EARNEST
    assert dealer.provider.calls == [payment]


def test_a_balance_one_fen_short_goes_back_and_stops_no_default(dealer: Dealer) -> None:
    short = BALANCE - EARNEST
    dealer.provider.payments[dealer.open_balance()] = captured(CURED - 1, short, 2)
    after = dealer.declare().deposit
    assert after.status is Status.CANCELLED
    assert (after.money.refunding, after.money.forfeited) == (short, EARNEST)
    assert [refund.cause for refund in after.refunds] == ["amount_mismatch", "buyer_default"]


def test_a_balance_that_arrives_after_the_default_goes_back(dealer: Dealer) -> None:
    payment = dealer.open_balance()
    dealer.declare()
    dealer.provider.payments[payment] = captured(CURED - 1, BALANCE, 2)
    dealer.deposit_worker.handle_provider_event(payment, "event/1")
    deposit = fold_stored(dealer.load(dealer.id))
    assert (deposit.money.refunding, deposit.money.forfeited) == (BALANCE, EARNEST)
    assert deposit.refunds[-1].cause == "late_payment"


def test_money_that_arrives_between_look_and_default_stops_it(dealer: Dealer) -> None:
    dealer.open_balance()
    dealer.faults.before("TransactWriteItems", lambda: dealer.second_shop.pay(dealer.id, amount=BALANCE, payment=2))
    assert catch_refusal(dealer.declare).reason is Reason.WRONG_STATE
    assert fold_stored(dealer.load(dealer.id)).money.held == PRICE


@pytest.mark.parametrize("lost", [False, True])
def test_a_default_is_answered_again_and_happens_once(dealer: Dealer, lost: bool) -> None:
    payment, press = dealer.open_balance(), fresh_key()
    if lost:
        dealer.faults.lose("TransactWriteItems")
        assert catch_refusal(lambda: dealer.declare(press)).reason is Reason.BUSY
    else:
        dealer.declare(press)
    dealer.provider.payments[payment] = Unknown()
    again = dealer.declare(press)
    assert again.replayed
    assert rendered_state(dealer.declare(press)) == rendered_state(again)
    assert dealer.event_types(dealer.id).count("deposit.cancelled") == 1
    assert catch_refusal(dealer.declare).reason is Reason.WRONG_STATE


@pytest.mark.parametrize("stranger", [Caller("usr_1", "merchant", "mer_other"), Caller("usr_1", "buyer")], ids=str)
def test_a_stranger_is_told_nothing_and_makes_nobody_look(dealer: Dealer, stranger: Caller) -> None:
    dealer.open_balance()
    assert catch_refusal(lambda: dealer.declare(by=stranger)).reason is Reason.NOT_FOUND
    assert dealer.provider.calls == []


def test_a_default_matched_to_an_old_version_writes_nothing(dealer: Dealer) -> None:
    assert catch_refusal(lambda: dealer.declare(if_match='"2-locked"')).reason is Reason.STALE_VERSION
    assert "deposit.cancelled" not in dealer.event_types(dealer.id)

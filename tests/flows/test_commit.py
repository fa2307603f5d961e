"""How a command is written: races and conflicts on the way, what a replay shows, and what the clock alone adds."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from msgspec.structs import replace

from chalicelib.core.common.journal import Caller
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.decide import decide
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.policy.terms import Terms
from chalicelib.flows.entries import SYSTEM
from chalicelib.flows.images import fold_image, fold_stored
from chalicelib.flows.ports.provider import Unknown
from chalicelib.flows.ports.store import Leased
from chalicelib.flows.snapshot import Outcome
from chalicelib.store.requests import TRANSIENT
from chalicelib.wiring import MAX_PAUSE_MS
from tests.conftest import Tables
from tests.flows.shop import (
    DAY,
    EARNEST,
    GRACE,
    HOUR,
    MINUTE,
    FaultyShop,
    Shop,
    captured,
    catch_refusal,
    fresh_key,
    new_buyer,
    rendered_state,
)
from tests.store.builders import T0
from tests.store.faults import FaultInjector

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
UPDATE: Final = ["GetItem", "UpdateItem"]
DUE: Final = T0 + 15 * MINUTE
WINDOW: Final = 7 * DAY


class Sale(FaultyShop):
    """A buyer has ordered."""

    def __init__(self, table: Tables, own: Tables, faults: FaultInjector) -> None:
        super().__init__(table, own, faults)
        self.by = new_buyer()
        self.offered = self.publish(units=None)
        self.id = self.order(self.offered, self.by).deposit.id

    def choose(self, method: str = "alipay", key_text: str | None = None, **changes: Any) -> Outcome:
        return self.command(self.id, ChangePaymentMethod(method), self.by, key_text, **changes)

    def sleeping(self, pause: Callable[[int], None]) -> None:
        """Sleep another way."""
        self.commits = replace(self.commits, timing=replace(self.timing, pause=pause))
        self.desk = replace(self.desk, commits=self.commits)


@pytest.fixture
def shop(table: Tables) -> Iterator[Sale]:
    with Sale.open(table) as shop:
        yield shop


# Races.


def test_the_first_image_that_a_loss_hands_back_is_used_at_once(shop: Sale) -> None:
    faults = shop.faults
    faults.before("UpdateItem", lambda: shop.second_shop.command(shop.id, ChangePaymentMethod("wechat_pay"), shop.by))
    outcome = shop.choose("alipay")
    assert faults.trips == [*UPDATE, "UpdateItem"]
    assert shop.clock.pauses == []
    assert [payment.method for payment in outcome.deposit.payments] == ["card", "wechat_pay", "alipay"]


def test_nothing_is_written_on_an_image_older_than_a_sleep(shop: Sale) -> None:
    faults = shop.faults

    def sleep(_: int) -> None:
        faults.trips.append("sleep")

    shop.sleeping(sleep)
    faults.before(
        "UpdateItem", lambda: shop.second_shop.command(shop.id, ChangePaymentMethod("wechat_pay"), shop.by), times=4
    )
    shop.choose()
    again = ["sleep", *UPDATE]
    assert faults.trips == [*UPDATE, "UpdateItem", *again, *again, *again]


CONFLICTS: Final = [
    # how a conflict looks: on a plain write, and in the reasons of a transaction
    ("UpdateItem", "TransactionConflictException", None),
    ("TransactWriteItems", "TransactionCanceledException", ["None", "TransactionConflict"]),
    ("TransactWriteItems", "TransactionCanceledException", ["TransactionConflict", "None"]),
]  # fmt: skip


def countable(shop: Sale, operation: str) -> Callable[[], Outcome]:
    """A command that is written by that operation."""
    if operation == "UpdateItem":
        return shop.choose
    by = new_buyer()
    one = shop.order(shop.publish(units=5, per_buyer=None), by).deposit.id
    return lambda: shop.cancel(one, by, "a key")


@pytest.mark.parametrize(("operation", "code", "reasons"), CONFLICTS)
def test_a_conflict_is_tried_again_after_a_sleep_on_a_new_image(
    shop: Sale, operation: str, code: str, reasons: list[str] | None
) -> None:
    act = countable(shop, operation)
    faults = shop.faults
    faults.fail(operation, code, reasons=reasons, times=2)
    outcome = act()
    assert faults.trips == ["GetItem", operation] * 3
    assert len(shop.clock.pauses) == 2
    assert shop.load(outcome.deposit.id).version == outcome.deposit.version == 2


@pytest.mark.parametrize(("operation", "code", "reasons"), CONFLICTS)
def test_after_two_seconds_of_conflicts_the_answer_is_busy(
    shop: Sale, operation: str, code: str, reasons: list[str] | None
) -> None:
    act = countable(shop, operation)
    shop.faults.fail(operation, code, reasons=reasons, times=99)
    no = catch_refusal(act)
    assert (no.reason, no.facts) == (Reason.BUSY, {"retry_after": 1})
    assert shop.clock.now - T0 in range(2_000, 2_000 + 2 * MAX_PAUSE_MS)


@pytest.mark.parametrize("fault", ["conflict", "overtaken"])
def test_sleeps_grow_until_patience_ends(shop: Sale, fault: str) -> None:
    if fault == "conflict":
        shop.faults.fail("UpdateItem", "TransactionConflictException", times=99)
    else:
        other = shop.second_shop.command
        shop.faults.before("UpdateItem", lambda: other(shop.id, ChangePaymentMethod("card"), shop.by), times=99)
    assert catch_refusal(shop.choose).reason is Reason.BUSY
    pauses = shop.clock.pauses
    assert pauses[0] == 0, "the first sleep is the shortest"
    assert all(later == earlier + 1 for earlier, later in pairwise(pauses))


@pytest.mark.parametrize("operation", UPDATE)
def test_what_passes_by_itself_is_busy_and_not_tried_again(shop: Sale, operation: str) -> None:
    for code in TRANSIENT:
        faults = shop.faults
        faults.fail(operation, code)
        no = catch_refusal(shop.choose)
        assert (no.reason, no.facts) == (Reason.BUSY, {"retry_after": 1})
        assert faults.trips == UPDATE[: 1 + UPDATE.index(operation)]
    assert shop.event_types(shop.id) == ["deposit.created"]


def test_a_throttled_transaction_is_busy(shop: Sale) -> None:
    act = countable(shop, "TransactWriteItems")
    for reason in ("ThrottlingError", "ProvisionedThroughputExceeded"):
        shop.faults.fail("TransactWriteItems", "TransactionCanceledException", reasons=["None", reason])
        assert catch_refusal(act).reason is Reason.BUSY


def test_what_is_our_own_mistake_is_told(shop: Sale) -> None:
    for code in ("ValidationException", "AccessDeniedException", "ResourceNotFoundException"):
        shop.faults.fail("UpdateItem", code)
        with pytest.raises(ClientError, match=code):
            shop.choose()


def test_a_request_that_botocore_refuses_is_our_own_mistake_too(shop: Sale) -> None:
    with pytest.raises(ParamValidationError):
        shop.store._journals.get(7)  # type: ignore[arg-type]


# Old requests.


@pytest.mark.parametrize(("age", "written"), [(30_000, True), (30_001, False)])
def test_a_request_older_than_thirty_seconds_writes_nothing(shop: Sale, age: int, written: bool) -> None:
    received = shop.clock.now
    shop.clock.now += age
    if written:
        shop.choose(at=received, received=received)
    else:
        assert catch_refusal(lambda: shop.choose(at=received, received=received)).reason is Reason.BUSY
    assert shop.load(shop.id).version == 1 + written


def test_a_request_that_grew_old_in_a_race_writes_nothing(shop: Sale) -> None:
    def slow(_: int) -> None:
        shop.clock.now += 1_000

    shop.sleeping(slow)
    shop.faults.fail("UpdateItem", "TransactionConflictException")
    assert catch_refusal(lambda: shop.choose(received=shop.clock.now - 29_500)).reason is Reason.BUSY
    assert shop.event_types(shop.id) == ["deposit.created"]


def test_an_old_request_is_still_answered_when_it_was_done_in_time(shop: Sale) -> None:
    received, press = shop.clock.now, fresh_key()
    first = shop.choose(key_text=press)
    shop.clock.now += MINUTE
    again = shop.choose(key_text=press, received=received)
    assert again.replayed
    assert rendered_state(again) == rendered_state(first)


# Replays.


def test_a_replay_is_found_on_the_image_of_a_lost_race(shop: Sale) -> None:
    press = fresh_key()
    twin: list[Outcome] = []

    def faster() -> None:
        twin.append(shop.second_shop.command(shop.id, ChangePaymentMethod("alipay"), shop.by, press))
        shop.second_shop.command(shop.id, ChangePaymentMethod("wechat_pay"), shop.by)

    faults = shop.faults
    faults.before("UpdateItem", faster)
    ours = shop.choose("alipay", press)
    assert faults.trips == UPDATE
    assert ours.replayed
    assert rendered_state(ours) == rendered_state(twin[0])
    assert shop.event_types(shop.id) == ["deposit.created", *["payment.method_changed"] * 2]


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_lost_answer_is_found_again(table: Tables, attempts: int) -> None:
    """With two attempts botocore sends the very request again, and its condition meets our own event."""
    with Sale.open(table, attempts) as shop:
        press = fresh_key()
        shop.faults.lose("UpdateItem")
        if attempts == 1:
            assert catch_refusal(lambda: shop.choose("alipay", press)).reason is Reason.BUSY
        assert shop.choose("alipay", press).replayed
        assert shop.event_types(shop.id) == ["deposit.created", "payment.method_changed"]


def test_a_key_with_another_body_is_refused_before_the_state_is_judged(shop: Sale) -> None:
    press = fresh_key()
    shop.choose("alipay", press)
    shop.cancel(shop.id, shop.by)
    asked = shop.request_context(
        shop.by, f"ChangePaymentMethod {shop.id}", press, "another body", if_match='"99-expired"'
    )
    no = catch_refusal(lambda: shop.desk.command(shop.id, ChangePaymentMethod("card"), asked))
    assert no.reason is Reason.IDEMPOTENCY_KEY_REUSED


def test_a_replay_shows_every_event_of_its_request(shop: Sale) -> None:
    """The cancellation and its refund; and nothing that came later."""
    shop.pay(shop.id)
    shop.clock.now += WINDOW - 1
    press = fresh_key()
    first = shop.cancel(shop.id, shop.by, press)
    shop.clock.now += MINUTE
    shop.deposit_worker.process_due(shop.id, "job/1")
    assert len(shop.event_types(shop.id)) > len(first.journal)
    assert shop.cancel(shop.id, shop.by, press) == replace(first, replayed=True)


def test_a_replay_shows_the_state_after_its_event_in_the_language_of_the_first_answer(shop: Sale) -> None:
    press = fresh_key()
    first = shop.choose("alipay", press, locale="zh")
    shop.clock.now += 1
    shop.cancel(shop.id, shop.by)
    shop.clock.now += DAY
    again = shop.choose("alipay", press, locale="en", if_match='"1-awaiting_payment"')
    assert again == replace(first, replayed=True)


def test_a_refusal_leaves_no_trace_and_is_judged_anew(shop: Sale) -> None:
    press = fresh_key()
    no = catch_refusal(lambda: shop.choose("alipay", press, if_match='"9-locked"'))
    assert (no.reason, no.facts) == (Reason.STALE_VERSION, {"etag": '"1-awaiting_payment"'})
    assert not shop.choose("alipay", press, if_match='"1-awaiting_payment"').replayed
    assert not shop.choose("card", if_match="*").replayed


STRANGERS: Final = [
    Caller("usr_other", "buyer"),
    Caller("usr_other", "merchant", "mer_other"),
    Caller("usr_other", "merchant"),
    Caller("usr_other", "inspector", "mer_shop"),
]  # fmt: skip


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda one: f"{one.role} of {one.merchant}")
def test_what_is_not_ones_own_is_not_found_even_with_its_key(shop: Sale, stranger: Caller) -> None:
    press = fresh_key()
    first = shop.choose("alipay", press)
    asked = replace(shop.request_context(shop.by, "", press), caller=stranger, key=shop.load(shop.id).journal[-1].key)
    assert (
        catch_refusal(lambda: shop.desk.command(shop.id, ChangePaymentMethod("card"), asked)).reason is Reason.NOT_FOUND
    )
    assert catch_refusal(lambda: shop.desk.get(shop.id, asked)).reason is Reason.NOT_FOUND
    assert shop.load(shop.id).version == first.deposit.version


@pytest.mark.parametrize(
    "deposit_id", ["dep_1", "", "off_0123456789abcdefghjkmnpqrs", "dep_0123456789abcdefghjkmnpqrs"]
)
def test_what_is_no_deposit_is_not_found(shop: Sale, deposit_id: str) -> None:
    assert catch_refusal(lambda: shop.cancel(deposit_id, shop.by)).reason is Reason.NOT_FOUND


# Deadlines.


BY_THE_CLOCK: Final = [
    # what the clock adds to a window of seven days, and when, seen from its end
    ("lock.reminder", -72 * HOUR),
    ("lock.reminder", -24 * HOUR),
    ("lock.reminder", -2 * HOUR),
    ("lock.by_window_end", 0),
]  # fmt: skip


def test_what_is_overdue_is_written_in_the_same_append_at_its_own_instant(shop: Sale) -> None:
    shop.pay(shop.id)
    shop.clock.now = T0 + WINDOW + DAY
    outcome = shop.cancel(shop.id, shop.by)
    *late, cancelled = shop.load(shop.id).journal[2:7]
    assert [(one.event.TYPE, one.event.at - T0 - WINDOW) for one in late] == BY_THE_CLOCK
    assert all(one.received_at == one.event.at for one in late)
    assert {(one.by, one.key) for one in late} == {(SYSTEM, None)}
    assert (cancelled.event.TYPE, cancelled.event.at) == ("deposit.cancelled", shop.clock.now)
    assert outcome.journal == shop.load(shop.id).journal


@pytest.mark.parametrize(("late", "kept"), [(-1, 0), (0, EARNEST.minor)])
def test_a_cancel_is_judged_by_the_instant_it_was_asked_whatever_was_written_meanwhile(
    shop: Sale, late: int, kept: int
) -> None:
    shop.pay(shop.id)
    shop.clock.now = T0 + WINDOW + 10_000
    shop.deposit_worker.process_due(shop.id, "job/1")
    assert shop.event_types(shop.id)[-1] == "lock.by_window_end"
    shop.cancel(shop.id, shop.by, at=T0 + WINDOW + late, received=shop.clock.now - 10_000)
    cancelled = next(entry.event for entry in shop.load(shop.id).journal if entry.event.TYPE == "deposit.cancelled")
    assert cancelled.forfeited.minor == kept


@pytest.mark.parametrize(("at", "written"), [(DUE, 0), (DUE + GRACE - 1, 0), (DUE + GRACE, 1)])
def test_a_deposit_expires_in_writing_only_after_the_grace(shop: Sale, at: int, written: int) -> None:
    shop.clock.now = at
    shop.deposit_worker.process_due(shop.id, "job/1")
    assert shop.event_types(shop.id) == ["deposit.created", "deposit.expired"][: 1 + written]


@pytest.mark.parametrize(("at", "written"), [(DUE + GRACE - 1, False), (DUE + GRACE, True)])
def test_no_append_writes_an_expiry_within_its_grace_even_when_it_may(shop: Sale, at: int, written: bool) -> None:
    shop.clock.now = at
    shop.commits.run(shop.id, shop.request_context(SYSTEM), lambda _deposit, _terms: (), expire=True)
    assert ("deposit.expired" in shop.event_types(shop.id)) == written


@pytest.mark.parametrize(("at", "looked"), [(DUE + GRACE - 1, False), (DUE + GRACE, True)])
def test_what_is_attended_for_a_refund_is_not_looked_at_for_expiry_before_the_grace_is_over(
    shop: Sale, at: int, looked: bool
) -> None:
    shop.pay(shop.id, amount=Money(100, "CNY"))  # too little: it goes back
    shop.clock.now = at
    shop.deposit_worker.process_due(shop.id, "job/1")
    assert "refund.sent" in shop.event_types(shop.id)
    assert (f"pay_{shop.id[4:]}_1" in shop.provider.calls) == looked
    assert ("deposit.expired" in shop.event_types(shop.id)) == looked


@pytest.mark.parametrize(("asked", "done"), [(DUE - 1, True), (DUE, False)])
def test_a_request_asked_in_time_is_never_overtaken_by_the_expiry(shop: Sale, asked: int, done: bool) -> None:
    shop.clock.now = asked + 30_000  # as late as a request may write
    assert shop.clock.now < DUE + GRACE
    shop.deposit_worker.process_due(shop.id, "job/1")
    if done:
        shop.cancel(shop.id, shop.by, at=asked, received=asked)
        assert shop.event_types(shop.id)[-1] == "deposit.cancelled"
    else:
        no = catch_refusal(lambda: shop.cancel(shop.id, shop.by, at=asked, received=asked))
        assert (no.reason, no.facts) == (Reason.WRONG_STATE, {"state": "expired"})


def test_a_payment_captured_in_time_counts_however_late_we_hear_of_it(shop: Sale) -> None:
    shop.clock.now = DUE + 10 * MINUTE
    shop.pay(shop.id, at=DUE - 1)
    assert shop.event_types(shop.id) == ["deposit.created", "payment.succeeded"]


def test_a_payment_captured_too_late_goes_back_and_only_the_job_writes_the_expiry(shop: Sale) -> None:
    shop.clock.now = DUE + 10 * MINUTE
    shop.pay(shop.id, at=DUE)
    assert shop.event_types(shop.id)[1:] == ["payment.not_counted", "refund.approved"]
    shop.deposit_worker.process_due(shop.id, "job/1")
    assert "deposit.expired" in shop.event_types(shop.id)
    assert fold_stored(shop.load(shop.id)).money.captured == fold_stored(shop.load(shop.id)).money.refunding


def test_a_payment_is_looked_for_before_its_deposit_expires(shop: Sale) -> None:
    payment = f"pay_{shop.id[4:]}_1"
    shop.provider.payments[payment] = Unknown()
    shop.clock.now = DUE + GRACE
    assert shop.deposit_worker.process_due(shop.id, "job/1")
    assert shop.event_types(shop.id) == ["deposit.created"], "without an answer it does not expire"
    shop.provider.payments[payment] = captured(DUE - 1)
    shop.clock.now += MINUTE
    shop.deposit_worker.process_due(shop.id, "job/2")
    assert shop.event_types(shop.id) == ["deposit.created", "payment.succeeded"]
    assert shop.provider.calls == [payment] * 2


@pytest.mark.parametrize("paid", [False, True])
def test_a_reader_sees_the_same_before_and_after_it_is_written(shop: Sale, paid: bool) -> None:
    if paid:
        shop.pay(shop.id)
    shop.clock.now = T0 + WINDOW if paid else DUE + GRACE
    asked = shop.request_context(shop.by)
    before = shop.desk.get(shop.id, asked)
    assert shop.load(shop.id).version == 1 + paid, "a read writes nothing"
    shop.deposit_worker.process_due(shop.id, "job/1")
    assert shop.load(shop.id).version == before.deposit.version
    assert shop.desk.get(shop.id, asked) == before
    assert before.snapshot.etag == ('"6-locked"' if paid else '"2-expired"')


@pytest.mark.parametrize("paid", [False, True])
def test_a_version_that_a_reader_saw_is_one_that_a_write_accepts(shop: Sale, paid: bool) -> None:
    """``If-Match`` names what was shown, whether the clock's part of it was written or not."""
    if paid:
        shop.pay(shop.id)
    shop.clock.now = T0 + WINDOW if paid else DUE
    shown = shop.desk.get(shop.id, shop.request_context(shop.by))
    seen = shown.snapshot.etag
    if paid:
        assert shop.cancel(shop.id, shop.by, if_match=seen).deposit.version > shown.deposit.version
    else:
        assert catch_refusal(lambda: shop.cancel(shop.id, shop.by, if_match=seen)).reason is Reason.WRONG_STATE


def test_one_worker_at_a_time_looks_after_a_refund(shop: Sale) -> None:
    shop.pay(shop.id)
    shop.cancel(shop.id, shop.by)
    shop.deposit_worker.process_due(shop.id, "job/1")  # sent, and no answer
    assert shop.event_types(shop.id)[-2:] == ["refund.sent", "refund.unknown"]
    shop.clock.now += 2 * MINUTE
    refund = f"ref_{shop.id[4:]}_1"
    shop.provider.refunds[refund] = Unknown()
    shop.deposit_worker.process_due(shop.id, "job/2")
    stored = shop.load(shop.id)
    with pytest.raises(Leased):
        shop.store.touch(stored, shop.clock.now, owner="job/3", until=shop.clock.now, now=shop.clock.now)
    assert not shop.deposit_worker.process_due(shop.id, "job/3")


def test_old_news_writes_nothing(shop: Sale) -> None:
    paid = shop.pay(shop.id)
    again = shop.pay(shop.id)
    stale = shop.deposit_worker.settle(shop.id, PaymentSeen(1, "pending"), "event/1")
    assert again.deposit == stale.deposit == paid.deposit
    assert shop.load(shop.id).version == 2


# A journal that the caller has just read.


def test_who_has_just_read_the_journal_does_not_read_it_again(shop: Sale) -> None:
    stored = shop.load(shop.id)
    faults = shop.faults
    outcome = decided(shop, stored)
    assert faults.trips == ["UpdateItem"]
    assert outcome.journal == shop.load(shop.id).journal


def test_a_journal_that_has_grown_meanwhile_is_noticed_and_decided_on_again(shop: Sale) -> None:
    stored = shop.load(shop.id)
    shop.second_shop.command(shop.id, ChangePaymentMethod("wechat_pay"), shop.by)
    seen: list[int] = []
    faults = shop.faults
    outcome = decided(shop, stored, seen)
    assert faults.trips == ["UpdateItem", "UpdateItem"]
    assert seen == [1, 2], "first on the old image, then on the one that the table handed back"
    assert [payment.method for payment in outcome.deposit.payments] == ["card", "wechat_pay", "alipay"]
    assert outcome.journal == shop.load(shop.id).journal


def test_nothing_new_on_an_old_image_writes_nothing(shop: Sale) -> None:
    stored = shop.load(shop.id)
    shop.second_shop.command(shop.id, ChangePaymentMethod("wechat_pay"), shop.by)
    faults = shop.faults
    asked = shop.request_context(shop.by, "nothing")
    shop.commits.run(shop.id, asked, lambda _deposit, _terms: (), image=fold_image(stored))
    assert faults.trips == []


def test_a_key_that_the_old_image_lacks_is_found_in_the_new_one(shop: Sale) -> None:
    press = fresh_key()
    stored = shop.load(shop.id)
    first = decided(shop.second_shop, stored, key_text=press)
    again = decided(shop, stored, key_text=press)
    assert again.replayed
    assert rendered_state(again) == rendered_state(first)
    assert shop.event_types(shop.id).count("payment.method_changed") == 1


def decided(shop: Shop, stored: Any, seen: list[int] | None = None, key_text: str | None = None) -> Outcome:
    by = Caller(stored.journal[0].event.buyer, "buyer")

    def decision(deposit: Deposit, terms: Terms) -> Any:
        if seen is not None:
            seen.append(deposit.version)
        return decide(deposit, ChangePaymentMethod("alipay"), shop.timing.now(), terms)

    asked = shop.request_context(by, "method", key_text or fresh_key(), "alipay")
    return shop.commits.run(stored.id, asked, decision, image=fold_image(stored))

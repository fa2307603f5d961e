"""Accounts that buyers name: sealed, paid after their time and once, whatever answers are lost on the way."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.refund import RefundDestinationNamed
from chalicelib.core.refunding.destination import MAX_DESTINATIONS
from chalicelib.flows.payees import Payees
from chalicelib.flows.ports.provider import NotFound, Unknown
from chalicelib.flows.text_keys import payee as payee_key
from chalicelib.store.vault import Vault
from tests.conftest import Tables
from tests.flows.bank import AFTER, BEFORE, DECLINED, PENDING
from tests.flows.refund_shop import HAN, LI, RefundShop
from tests.flows.shop import EARNEST, MINUTE, catch_refusal, fresh_key, new_buyer, rendered_state
from tests.store.builders import STAFF

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
NEW: Final = "another secret of the service 0002"


@pytest.fixture
def desk(table: Tables) -> Iterator[RefundShop]:
    """A refund that waits for an account: its route cannot give anything back."""
    with RefundShop.open(table) as desk:
        desk.create_refund("virtual_account")
        assert desk.status == "requires_action"
        yield desk


def named(desk: RefundShop) -> list[RefundDestinationNamed]:
    return [entry.event for entry in desk.load(desk.id).journal if isinstance(entry.event, RefundDestinationNamed)]


def test_the_first_account_is_paid_at_once_under_the_key_of_its_way(desk: RefundShop) -> None:
    outcome, refund = desk.name_account()
    assert (refund.status.value, refund.destination_kind, refund.payable_from) == (
        "approved",
        "bank_account",
        desk.clock.now,
    )
    assert refund.promised_by == desk.clock.now + 7 * DAY
    assert outcome.deposit.id == desk.id
    assert desk.attend()
    assert desk.bank.calls == [f"{desk.ref}.1 to {LI.holder}, {LI.bank} {LI.account}, {EARNEST.minor}"]
    desk.check_refunded_once()


def test_nothing_of_an_account_lies_anywhere_but_sealed(desk: RefundShop) -> None:
    desk.name_account()
    sealed = desk.texts.get(payee_key(desk.id, 1, 1))
    assert sealed is not None
    assert desk.payees.read(desk.id, 1, 1) == LI
    lies = desk.table_text()
    for part in (LI.holder, "Li Lei", LI.bank, LI.account, LI.account[-6:]):
        assert part not in lies
        assert repr(part.encode())[2:-1] not in lies
    [event] = named(desk)
    assert event.digest == desk.payees.digest(LI)


def test_the_digest_is_the_same_for_the_same_account_and_another_for_any_other(desk: RefundShop) -> None:
    one = desk.payees.digest(LI)
    others = [HAN, replace(LI, account="1"), replace(LI, bank="other"), replace(LI, holder="x")]
    assert len({one, *map(desk.payees.digest, others)}) == 5
    assert desk.payees.digest(replace(LI)) == one
    assert desk.second_shop.payees.digest(LI) == one
    assert Payees(desk.texts, Vault((NEW,))).digest(LI) != one


def test_a_replay_answers_the_same_and_names_nothing_again(desk: RefundShop) -> None:
    press = fresh_key()
    first, refund = desk.name_account(key_text=press)
    desk.attend()
    desk.clock.now += HOUR
    again, same = desk.name_account(key_text=press)
    assert again.replayed
    assert (rendered_state(again), same) == (rendered_state(first), refund)
    assert len(named(desk)) == 1
    other = catch_refusal(lambda: desk.name_account(HAN, press))
    assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED


@pytest.mark.parametrize("lost", ["GetItem", "TransactWriteItems"])
def test_a_lost_answer_names_it_once(desk: RefundShop, lost: str) -> None:
    press = fresh_key()
    desk.faults.lose(lost)
    assert catch_refusal(lambda: desk.name_account(key_text=press)).reason is Reason.BUSY
    desk.name_account(key_text=press)
    assert len(named(desk)) == 1
    desk.attend()
    desk.check_refunded_once()


# The cool-down.


def test_a_changed_account_waits_a_day_and_is_not_paid_a_moment_before(desk: RefundShop) -> None:
    desk.name_account()
    desk.clock.now += MINUTE
    _, refund = desk.name_account(HAN)
    usable = desk.clock.now + DAY
    assert (refund.payable_from, refund.promised_by) == (usable, usable + 7 * DAY)
    assert desk.load(desk.id).due == usable
    assert not desk.attend(usable - 1)
    desk.clock.now = usable - 1
    assert desk.sweep().attended == 0
    assert desk.bank.calls == []
    assert desk.attend(usable)
    assert desk.bank.calls == [f"{desk.ref}.2 to {HAN.holder}, {HAN.bank} {HAN.account}, {EARNEST.minor}"]
    desk.check_refunded_once()


def test_the_same_account_again_waits_for_nothing(desk: RefundShop) -> None:
    desk.name_account()
    desk.clock.now += MINUTE
    _, refund = desk.name_account(replace(LI))
    assert refund.payable_from == desk.clock.now
    assert (refund.route_no, refund.destination) == (2, 2)
    assert desk.payees.read(desk.id, 1, 2) == LI


def test_a_job_that_comes_for_another_reason_pays_no_account_before_its_time(desk: RefundShop) -> None:
    desk.name_account()
    desk.name_account(HAN)
    desk.pay(desk.id, amount=EARNEST, ref="more")  # late money: another refund of the same deposit, due now
    assert desk.deposit.refunds[1].status.value == "requires_action"
    assert desk.load(desk.id).due == desk.clock.now + DAY
    desk.attend(desk.clock.now + DAY - 1)
    assert desk.bank.calls == []


def test_an_account_can_be_changed_until_money_is_on_its_way(desk: RefundShop) -> None:
    desk.name_account()
    desk.bank.faults.append(BEFORE)
    desk.attend()
    assert desk.status == "unknown"
    no = catch_refusal(lambda: desk.name_account(HAN))
    assert (no.reason, no.facts["state"]) == (Reason.WRONG_STATE, "unknown")


def test_accounts_are_named_so_often_and_no_more(desk: RefundShop) -> None:
    for _ in range(MAX_DESTINATIONS):
        desk.name_account()
        desk.clock.now += 1
    assert catch_refusal(desk.name_account).reason is Reason.RATE_LIMITED
    assert len(named(desk)) == MAX_DESTINATIONS


# Whom the bank knows, and who may ask.


BANKS: Final[list[tuple[Any, Reason | None, list[FieldError]]]] = [
    # in whose name the bank keeps the account; what is refused, and for which field
    (NotFound(),     Reason.INVALID_REQUEST, [FieldError("/account", "unknown_account")]),
    ("Han Meimei",   Reason.INVALID_REQUEST, [FieldError("/holder", "name_differs")]),
    (Unknown(),      Reason.BUSY,            []),
    ("",             None,                   []),
    ("LI LEI 李雷",  None,                   []),
    ("李雷, Li-Lei", None,                   []),
]  # fmt: skip


@pytest.mark.parametrize(("holder", "why", "faults"), BANKS, ids=str)
def test_the_bank_is_asked_in_whose_name_it_keeps_the_account(
    desk: RefundShop, holder: Any, why: Reason | None, faults: list[FieldError]
) -> None:
    before = desk.load(desk.id)
    desk.bank.holders[f"{LI.bank} {LI.account}"] = holder
    if why is None:
        desk.name_account()
        assert desk.status == "approved"
        return
    no = catch_refusal(desk.name_account)
    assert (no.reason, list(no.faults)) == (why, faults)
    assert desk.load(desk.id) == before
    assert desk.texts.get(payee_key(desk.id, 1, 1)) is None


def test_where_no_account_can_be_named_the_bank_is_not_asked(table: Tables) -> None:
    with RefundShop.open(table) as desk:
        desk.create_refund()
        desk.bank.holders[f"{LI.bank} {LI.account}"] = NotFound()
        assert catch_refusal(desk.name_account).reason is Reason.WRONG_STATE


@pytest.mark.parametrize("by", [new_buyer(), replace(STAFF, merchant="mer_other")], ids=["stranger", "other shop"])
def test_a_stranger_has_no_such_refund(desk: RefundShop, by: Caller) -> None:
    assert catch_refusal(lambda: desk.name_account(by=by)).reason is Reason.NOT_FOUND


# Lost answers, and two at once.


def test_a_declined_payout_asks_for_an_account_again(desk: RefundShop) -> None:
    desk.name_account()
    desk.bank.faults.append(DECLINED)
    desk.attend()
    assert (desk.status, desk.refund.waiting_on) == ("requires_action", "buyer")
    assert [(attempt.n, attempt.status) for attempt in desk.refund.attempts] == [(1, "declined")]
    desk.clock.now += MINUTE
    _, refund = desk.name_account(HAN)
    assert refund.payable_from == desk.clock.now + DAY
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.2"]
    assert [(attempt.n, attempt.status) for attempt in desk.refund.attempts] == [(1, "declined"), (2, "succeeded")]
    desk.check_refunded_once()


def test_a_payout_that_comes_back_goes_out_again_on_another_way(desk: RefundShop) -> None:
    desk.name_account()
    desk.attend()
    desk.clock.now += DAY
    desk.bank.return_refund(f"{desk.ref}.1")
    assert desk.deposit_worker.handle_provider_event(desk.ref, "event/1")
    assert (desk.status, desk.refund.waiting_on) == ("returned", "buyer")
    assert desk.deposit.money.refunding == EARNEST
    _, refund = desk.name_account(HAN)
    assert refund.route_no == 2
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1", f"{desk.ref}.2"]
    assert [(attempt.n, attempt.status) for attempt in desk.refund.attempts] == [(1, "returned"), (2, "succeeded")]
    desk.check_refunded_once()


LOST: Final[dict[str, list[str]]] = {
    "not executed":               [BEFORE],
    "executed":                   [AFTER],
    "not executed, and again":    [BEFORE, BEFORE],
    "not executed, then executed": [BEFORE, AFTER],
    "many times":                 [BEFORE, BEFORE, BEFORE, BEFORE, AFTER],
    "pending":                    [PENDING],
}  # fmt: skip


@pytest.mark.parametrize("faults", LOST.values(), ids=LOST)
def test_whatever_answers_of_the_bank_are_lost_it_executes_once(desk: RefundShop, faults: list[str]) -> None:
    desk.name_account()
    desk.bank.faults.extend(faults)
    desk.attend()
    if faults == [PENDING]:
        assert desk.status == "pending"
        desk.bank.execute(f"{desk.ref}.1")
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.check_refunded_once()


def nth(desk: RefundShop, operation: str, n: int, act: Callable[[], object] | None = None) -> None:
    """The n-th call of an operation loses its answer, or comes after somebody else's."""
    faults = desk.faults
    faults.before(operation, lambda: None, times=n)
    if act is None:
        faults.lose(operation)
    else:
        faults.before(operation, act)


@pytest.mark.parametrize("fault", ["", AFTER, BEFORE])
@pytest.mark.parametrize("n", range(3))
@pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
def test_whatever_answers_of_the_table_are_lost_the_bank_executes_once(
    desk: RefundShop, operation: str, n: int, fault: str
) -> None:
    desk.name_account()
    if fault:
        desk.bank.faults.append(fault)
    nth(desk, operation, n)
    desk.sweep()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.check_refunded_once()


@pytest.mark.parametrize("fault", ["", AFTER, BEFORE])
@pytest.mark.parametrize("n", range(3))
@pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
def test_two_workers_at_once_pay_once(desk: RefundShop, operation: str, n: int, fault: str) -> None:
    desk.name_account()
    if fault:
        desk.bank.faults.append(fault)
    nth(desk, operation, n, lambda: _other(desk))
    desk.sweep()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.check_refunded_once()


def _other(desk: RefundShop) -> None:
    desk.second_shop.deposit_worker.process_due(desk.id, "job/other")


@pytest.mark.parametrize("n", range(2))
def test_an_account_that_is_changed_while_the_job_sends_is_paid_or_refused_never_both(desk: RefundShop, n: int) -> None:
    desk.name_account()
    kept: list[Reason] = []

    def change() -> None:
        twin = desk.second_shop.refunds
        asked = desk.request_context(desk.by, "destination", fresh_key(), "han")
        try:
            twin.name_destination(desk.ref, HAN, asked)
        except Refused as no:
            kept.append(no.reason)

    nth(desk, "UpdateItem", n, change)
    desk.sweep()
    desk.run_until_quiet()
    assert kept == ([] if n == 0 else [Reason.WRONG_STATE])
    assert desk.bank.executed == [f"{desk.ref}.{2 if n == 0 else 1}"]
    desk.check_refunded_once()


# A secret that is gone.


def without_the_secret(desk: RefundShop) -> None:
    desk.name_account()
    desk.payees = Payees(desk.texts, Vault((NEW,)))
    desk.use_provider(desk.bank)


def test_without_the_secret_nothing_is_sent_until_it_is_back(desk: RefundShop) -> None:
    without_the_secret(desk)
    assert desk.sweep().failed == 1
    stored = desk.load(desk.id)
    assert (stored.failures, stored.due) == (1, desk.clock.now + 2_000)
    for _ in range(3):
        desk.clock.now += MINUTE
        assert desk.sweep().failed == 1
    assert not [asked for asked in desk.bank.calls if " to " in asked]
    assert desk.bank.executed == []
    desk.payees = desk.second_shop.payees
    desk.use_provider(desk.bank)
    desk.run_until_quiet()
    desk.check_refunded_once()


def test_the_job_comes_back_later_and_later(desk: RefundShop) -> None:
    without_the_secret(desk)
    for failures in range(1, 6):
        assert desk.sweep().failed == 1
        stored = desk.load(desk.id)
        assert (stored.failures, stored.due) == (failures, desk.clock.now + 1_000 * 2**failures)
        desk.clock.now += MINUTE


def test_an_account_that_is_not_there_is_paid_to_nobody(desk: RefundShop) -> None:
    desk.name_account()
    desk.table.client.delete_item(TableName=desk.table.name, Key={"pk": {"S": payee_key(desk.id, 1, 1)}})
    assert desk.sweep().failed == 1
    assert desk.bank.executed == []


def test_the_account_stays_readable_while_the_old_secret_is_kept(desk: RefundShop) -> None:
    desk.name_account()
    rotated = Vault((NEW, "correct horse battery staple 0001"))
    desk.payees = Payees(desk.texts, rotated)
    desk.use_provider(desk.bank)
    desk.attend()
    desk.check_refunded_once()

"""A shop with a paid deposit, whose refunds go to an executing bank, and a buyer who names an account."""

from typing import Any, Final

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.refund import Refund
from chalicelib.core.refunding.destination import Payee
from chalicelib.flows.images import fold_stored
from chalicelib.flows.ports.store import Leased, VersionConflict
from chalicelib.flows.snapshot import Outcome
from chalicelib.jobs.sweep import Report, Sweep
from chalicelib.store.requests import key
from tests.flows.bank import Bank
from tests.flows.shop import EARNEST, FaultyShop, fresh_key, new_buyer

PLATFORM: Final = Caller("usr_platform", "platform")
METHODS: Final = ("card", "alipay", "ovo", "shopeepay", "virtual_account")
LI: Final = Payee("Li Lei 李雷", "Bank of China", "6217000010001234567")
HAN: Final = Payee("Han Meimei", "Bank of China", "6217000010007654321")


class RefundShop(FaultyShop):
    """One deposit at a time; ``method`` decides the route of its refund."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.bank = Bank(clock=self.clock)
        self.use_provider(self.bank)
        self.second_shop.use_provider(self.bank)
        self.offered = self.publish(units=None, payment={"methods": METHODS})
        self.by = new_buyer()
        self.id = ""

    def pay_deposit(self, method: str = "card") -> str:
        """Order and pay now. Returns the deposit's id."""
        self.id = self.order(self.offered, self.by, method=method).deposit.id
        seen = self.bank.capture(child("pay", self.id, 1))
        self.deposit_worker.settle(self.id, seen, "event")
        return self.id

    def create_refund(self, method: str = "card") -> str:
        """Pay and cancel. Returns the id of the approved refund of everything."""
        self.pay_deposit(method)
        self.cancel(self.id, self.by)
        return self.ref

    @property
    def ref(self) -> str:
        return child("ref", self.id, 1)

    @property
    def deposit(self) -> Deposit:
        return fold_stored(self.second_shop.load(self.id))

    @property
    def refund(self) -> Refund:
        return self.deposit.refunds[0]

    @property
    def status(self) -> str:
        return self.refund.status.value

    def name_account(
        self, payee: Payee = LI, key_text: str | None = None, by: Caller | None = None, **changes: Any
    ) -> tuple[Outcome, Refund]:
        asked = self.request_context(
            by or self.by, f"destination {self.ref}", key_text or fresh_key(), f"{payee}", **changes
        )
        return self.refunds.name_destination(self.ref, payee, asked)

    def reroute(
        self, key_text: str | None = None, note: str | None = None, by: Caller = PLATFORM
    ) -> tuple[Outcome, Refund]:
        asked = self.request_context(by, f"reroute {self.ref}", key_text or fresh_key(), f"{note}")
        return self.refunds.reroute(self.ref, note, asked)

    def retry(self, key_text: str | None = None) -> tuple[Outcome, Refund]:
        return self.refunds.retry(
            self.ref, self.request_context(PLATFORM, f"retry {self.ref}", key_text or fresh_key())
        )

    def attend(self, at: int | None = None, owner: str = "job/1") -> bool:
        """Run the deposit worker at an instant. False when another worker has the item or the table is busy."""
        self.clock.now = self.clock.now if at is None else at
        try:
            return self.deposit_worker.process_due(self.id, owner)
        except (Leased, VersionConflict, Refused):
            return False

    def sweep(self) -> Report:
        """Run the job send_refunds over all items."""
        job = Sweep("send_refunds", "work", self.store, {"dep": self.deposit_worker}, self.clock)
        return job.run("job/1", lambda: 60_000)

    def run_until_quiet(self, most: int = 60) -> None:
        """Run the job whenever something is due, until nothing is due within a week."""
        until = self.clock.now + 7 * DAY
        for n in range(most):
            due = self.second_shop.load(self.id).due
            if due is None or due > until:
                return
            self.attend(max(due, self.clock.now), f"job/{n + 2}")
            self.clock.now += 1
        raise AssertionError("something is always due")

    def check_refunded_once(self) -> None:
        """Check that the refund was executed once and succeeded in full."""
        assert self.bank.executed.count(self.bank.executed[-1]) == 1, self.bank.executed
        assert (self.deposit.money.refunded, self.status) == (EARNEST, "succeeded")

    def stored_item(self) -> dict[str, Any]:
        answer: Any = self.table.client.get_item(TableName=self.table.name, Key=key(self.id), ConsistentRead=True)
        return dict(answer["Item"])

    def table_text(self) -> str:
        return str(self.table.client.scan(TableName=self.table.name, ConsistentRead=True)["Items"])

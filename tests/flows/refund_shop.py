"""A shop whose refunds go to a bank that executes, and a buyer who names an account."""

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
from tests.flows.shop import EARNEST, Stand, fresh_key, person

PLATFORM: Final = Caller("usr_platform", "platform")
METHODS: Final = ("card", "alipay", "ovo", "shopeepay", "virtual_account")
LI: Final = Payee("Li Lei 李雷", "Bank of China", "6217000010001234567")
HAN: Final = Payee("Han Meimei", "Bank of China", "6217000010007654321")


class Payback(Stand):
    """A buyer has paid; ``method`` says how, so by which way the money goes back."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.bank = Bank(clock=self.clock)
        self.served_by(self.bank)
        self.twin.served_by(self.bank)
        self.offered = self.publish(units=None, payment={"methods": METHODS})
        self.by = person()
        self.id = ""

    def paid(self, method: str = "card") -> str:
        """Captured now; the bank knows the same."""
        self.id = self.order(self.offered, self.by, method=method).deposit.id
        seen = self.bank.take(child("pay", self.id, 1))
        self.deposit_worker.settle(self.id, seen, "event")
        return self.id

    def owed(self, method: str = "card") -> str:
        """A refund of everything is decided; its id."""
        self.paid(method)
        self.cancel(self.id, self.by)
        return self.ref

    @property
    def ref(self) -> str:
        return child("ref", self.id, 1)

    @property
    def deposit(self) -> Deposit:
        return fold_stored(self.twin.load(self.id))

    @property
    def refund(self) -> Refund:
        return self.deposit.refunds[0]

    @property
    def status(self) -> str:
        return self.refund.status.value

    def name(
        self, payee: Payee = LI, key_text: str | None = None, by: Caller | None = None, **changes: Any
    ) -> tuple[Outcome, Refund]:
        asked = self.asked(by or self.by, f"destination {self.ref}", key_text or fresh_key(), f"{payee}", **changes)
        return self.refunds.name_destination(self.ref, payee, asked)

    def reroute(
        self, key_text: str | None = None, note: str | None = None, by: Caller = PLATFORM
    ) -> tuple[Outcome, Refund]:
        asked = self.asked(by, f"reroute {self.ref}", key_text or fresh_key(), f"{note}")
        return self.refunds.reroute(self.ref, note, asked)

    def retry(self, key_text: str | None = None) -> tuple[Outcome, Refund]:
        return self.refunds.retry(self.ref, self.asked(PLATFORM, f"retry {self.ref}", key_text or fresh_key()))

    def attend(self, at: int | None = None, owner: str = "job/1") -> bool:
        """What the job does at an instant; another worker being at it is no fault, nor is a table that is busy."""
        self.clock.now = self.clock.now if at is None else at
        try:
            return self.deposit_worker.process_due(self.id, owner)
        except (Leased, VersionConflict, Refused):
            return False

    def sweep(self) -> Report:
        """What send_refunds does everywhere."""
        job = Sweep("send_refunds", "work", self.store, {"dep": self.deposit_worker}, self.clock)
        return job.run("job/1", lambda: 60_000)

    def quietly(self, most: int = 60) -> None:
        """The job comes whenever something is due, until nothing is within a week."""
        until = self.clock.now + 7 * DAY
        for n in range(most):
            due = self.twin.load(self.id).due
            if due is None or due > until:
                return
            self.attend(max(due, self.clock.now), f"job/{n + 2}")
            self.clock.now += 1
        raise AssertionError("it never comes to rest")

    def bought_back(self) -> None:
        """The buyer has everything, once."""
        assert self.bank.executed.count(self.bank.executed[-1]) == 1, self.bank.executed
        assert (self.deposit.money.refunded, self.status) == (EARNEST, "succeeded")

    def raw(self) -> dict[str, Any]:
        found: Any = self.table.client.get_item(TableName=self.table.name, Key=key(self.id), ConsistentRead=True)
        return dict(found["Item"])

    def everything(self) -> str:
        return str(self.table.client.scan(TableName=self.table.name, ConsistentRead=True)["Items"])

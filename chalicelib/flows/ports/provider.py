"""What the flows need of a payment provider and of its settlement report."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.reconciliation.lines import Line
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen


class Session(Struct, frozen=True):
    """The provider is ready to be paid at ``url``."""

    url: str


class Declined(Struct, frozen=True):
    """The provider refused."""

    code: str


class Unknown(Struct, frozen=True):
    """No answer, or one we cannot read. The money may have moved: query it, never send it under a new key."""


class NotFound(Struct, frozen=True):
    """The provider answered that it does not know it."""


class Provider(Protocol):
    """A payment provider. A call is accepted, declined or unknown; a query may also find nothing."""

    @property
    def name(self) -> str: ...

    @property
    def key_retention_ms(self) -> int:
        """How long a key is remembered: the same key sent again within this time has no second effect."""

    def open_session(self, payment_id: str, amount: Money, method: str) -> Session | Declined | Unknown: ...

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown: ...

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        """Ask for a refund to its source, under the key of its way (``deposit.refund.refund_key``), whatever the attempt.

        A decline is a RefundSeen.
        """

    def pay_out(self, key: str, amount: Money, payee: Payee) -> RefundSeen | Unknown:
        """The same to an account that the buyer named."""

    def find_refund(self, key: str) -> RefundSeen | NotFound | Unknown:
        """What became of a refund or a payout, by its key."""

    def holder_of(self, bank: str, account: str) -> str | NotFound | Unknown:
        """In whose name the bank keeps an account; empty where it does not tell."""


class ReportPage(Struct, frozen=True):
    """Some lines of a settlement report, ascending by ``core.reconciliation.lines.Line.place``; ``after`` None is the end."""

    lines: Sequence[Line]
    after: str | None


class Settlement(Protocol):
    """A provider's settlement report: one line for each executed capture, refund and payout, and for each return."""

    @property
    def settle_days(self) -> int | None:
        """By when a line shows, where the provider promises more than its routes do."""

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage | Unknown:
        """The lines executed in the half-open span whose deposit falls into the shard, behind the place ``after``.

        The first page of the first shard begins a run: it shows what is reported by then. ValueError when the report
        is not readable.
        """

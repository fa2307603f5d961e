"""The shapes of trade-ins, fees and fee schedules in answers."""

from typing import Literal

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.deposit.trade_in import TradeInStatus
from chalicelib.web.edge.values import CLOSED, InstantAnswer, MoneyAnswer, RuleAnswer, _MoneyFrom
from chalicelib.web.refunds.answers import RefundAnswer


@with_config(CLOSED)
class TradeInPartAnswer(TypedDict):
    """An old device for a credit. ``fee_if_mismatched`` null: the price is in no band, so there is no fee."""

    id: str
    category: str
    model: str
    credit: MoneyAnswer
    fee_base: MoneyAnswer
    fee_if_mismatched: MoneyAnswer | None
    status: TradeInStatus


@with_config(CLOSED)
class GroundAnswer(TypedDict):
    """Why the device is not what was declared."""

    code: str
    label: str


@with_config(CLOSED)
class InspectionAnswer(TypedDict):
    """The inspector's word."""

    outcome: str
    grounds: list[GroundAnswer]
    evidence: list[str]
    at: InstantAnswer


@with_config(CLOSED)
class TradeInAnswer(TradeInPartAnswer):
    """A trade-in by itself, with what was found and what went back."""

    object: Literal["trade_in"]
    deposit: str
    inspection: InspectionAnswer | None
    refund: RefundAnswer | None


@with_config(CLOSED)
class SpanAnswer(_MoneyFrom):
    """Prices from ``from`` to ``to``, both inside."""

    to: MoneyAnswer


@with_config(CLOSED)
class BandAnswer(_MoneyFrom):
    """Prices from ``from`` to ``to``, both inside, cost ``fee``."""

    to: MoneyAnswer
    fee: MoneyAnswer


@with_config(CLOSED)
class FeeAnswer(TypedDict):
    """What a published band charges."""

    fee: MoneyAnswer
    band: SpanAnswer
    rule: RuleAnswer


@with_config(CLOSED)
class PublishedGroundAnswer(TypedDict):
    """A ground, whose fault it is, and what must prove it."""

    code: str
    label: str
    at_fault: Literal["buyer", "seller", "courier"]
    evidence: str


@with_config(CLOSED)
class CategoryAnswer(TypedDict):
    """One kind of goods: its bands, the gaps between them, its grounds."""

    code: str
    label: str
    bands: list[BandAnswer]
    gaps: list[SpanAnswer]
    grounds: list[PublishedGroundAnswer]


@with_config(CLOSED)
class ScheduleAnswer(TypedDict):
    """A fee schedule in force, with its source."""

    id: str
    object: Literal["fee_schedule"]
    version: str
    currency: str
    source: str
    categories: list[CategoryAnswer]

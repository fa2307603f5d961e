"""Rules of a market's law, read from policies/markets. An offer merges them in the buyer's favour."""

from typing import Literal, NamedTuple

from chalicelib.core.common import instants
from chalicelib.core.common.fields import Frozen
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy import dated
from chalicelib.core.policy.calendar import Calendar
from chalicelib.core.policy.dated import EndingVersion, Source


class Forfeit(Frozen):
    """When a deposit may be kept, and at most which percentage of the goods' value; ``cap_percent`` None: no cap."""

    allowed: Literal["always", "made_to_spec", "never"]
    cap_percent: int | None = None
    rule: str
    source: str


class SellerDefault(Frozen):
    """How many times earnest money comes back when the seller defaults: 2 means once more as compensation."""

    multiplier: Literal[1, 2]
    source: str


class Default(Frozen):
    """What a default costs when goods came in part, and whose default costs nobody anything."""

    proportional: bool
    excused: tuple[str, ...]
    source: str


class RefundDeadline(Frozen):
    """The longest that a refund may take."""

    longest: str
    rule: str
    source: str


class Withdrawal(Frozen):
    """The statutory period to withdraw, counted from receipt of the goods."""

    kind: Literal["elapsed", "calendar_days", "working_days"]
    length: str
    standard_shipping_back: bool
    source: str


class Market(EndingVersion):
    """One version of a market's policy. ``id`` is its file name and never stands for other rules."""

    id: str
    code: str
    version: str
    time_zone: str
    holidays: str
    source: Source
    forfeit: Forfeit
    seller_default: SellerDefault
    default: Default
    refund_deadline: RefundDeadline
    withdrawal: Withdrawal | None = None

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.time_zone, self.holidays)


class Constraint(NamedTuple):
    """A term that the market's law or the nature of the payment changed in the buyer's favour."""

    field: str
    rule: str
    source: str


def read_policy(policy_id: str) -> Market:
    """The market policy with that id, in force or not. FileNotFoundError when there is none."""
    return dated.read_version("markets", policy_id, Market)


def list_codes() -> tuple[str, ...]:
    """The codes of all markets that ever had a policy, sorted."""
    return tuple(sorted(dated.read_series_by_member("markets", Market, "code")))


def find_policies(at: int) -> dict[str, Market]:
    """The policies in force at an instant, by market code. An offer made then freezes the id."""
    return dated.find_offered("markets", Market, "code", at)


def find_policy(code: str, at: int) -> Market:
    """The policy in force in a market at an instant. Refused NOT_FOUND when the market is not served then."""
    law = find_policies(at).get(code)
    if law is None:
        raise Refused(Reason.NOT_FOUND)
    return law


def limit_refund_deadline(deadline: str, market: Market) -> str:
    """The shorter of the offer's and the market's refund deadline."""
    longest = market.refund_deadline.longest
    return longest if instants.duration_ms(deadline) > instants.duration_ms(longest) else deadline

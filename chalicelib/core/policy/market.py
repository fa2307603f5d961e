"""What the law of a market allows, as read from policies/markets, and its merge into an offer: never against the buyer."""

from typing import Literal, NamedTuple

from chalicelib.core.common import instants
from chalicelib.core.common.fields import Frozen
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy import dated
from chalicelib.core.policy.calendar import Calendar
from chalicelib.core.policy.dated import Ending, Source, Version


class Forfeit(Frozen):
    """When a deposit may be kept at all, and how much of the goods' value at most."""

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


class Market(Version, Ending):
    """One published policy of one market. Its id names the file and is never used again for other rules."""

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
    """One term that the market (or the nature of the payment) changed in the buyer's favour."""

    field: str
    rule: str
    source: str


def read_policy(policy_id: str) -> Market:
    """The market policy of that id, current or past."""
    return dated.read_version("markets", policy_id, Market)


def list_codes() -> tuple[str, ...]:
    """Every market that there ever was a policy for, sorted."""
    return tuple(sorted(dated.read_series_by_member("markets", Market, "code")))


def find_policies(at: int) -> dict[str, Market]:
    """The policy of every market that is served at an instant, by market code: an offer made then freezes its id."""
    found = (
        (code, versions.find(at)) for code, versions in dated.read_series_by_member("markets", Market, "code").items()
    )
    return {code: law for code, law in found if law is not None and law.is_offered(at)}


def find_policy(code: str, at: int) -> Market:
    """The policy in force in a market at an instant; NOT_FOUND when we serve no such market then."""
    found = find_policies(at).get(code)
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    return found


def limit_refund_deadline(deadline: str, market: Market) -> str:
    """The refund deadline that is kinder to the buyer: the offer's or the market's."""
    longest = market.refund_deadline.longest
    return longest if instants.duration_ms(deadline) > instants.duration_ms(longest) else deadline

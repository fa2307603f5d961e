"""Payment routes: how each gives money back, until when, and at what hours. Figures stand in policies/routes, by date.

A refund is decided by the route as it is published at the decision, and sent by the route of the sending: a provider does
what it does today. What a buyer was told with the payment is what was published then.
"""

from typing import Annotated, Final

from pydantic import Field

from chalicelib.core.common import instants
from chalicelib.core.common.fields import Duration, Frozen
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.policy import dated
from chalicelib.core.policy.dated import Ending, Source, Version

Days = Annotated[int, Field(ge=1, le=400)]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]

# Why a refund cannot go to its source; the buyer is asked for an account instead.
ROUTE_CANNOT_REFUND: Final = "route_cannot_refund"
ROUTE_WINDOW_ENDED: Final = "route_window_ended"
ROUTE_NOT_PARTIAL: Final = "route_not_partial"
NO_SOURCE: Final = "no_source"


class Quiet(Frozen):
    """Local hours in which the provider refuses, half-open; over midnight when ``to`` is the earlier one."""

    from_: Annotated[Clock, Field(alias="from")]
    to: Clock
    ahead_of_utc: Clock


class Route(Ending):
    """How one payment method gives money back."""

    to_source: bool
    partial: bool
    asynchronous: bool
    settle_days: Days
    window_days: Days | None = None
    quiet: Quiet | None = None


class Payout(Frozen):
    """How money reaches an account that the buyer named."""

    settle_days: Days
    cool_down: Duration
    cool_down_source: str
    least: dict[str, str]
    most: dict[str, str]
    limits_source: str

    def out_of_range(self, amount: Money) -> str | None:
        """``below_route_min`` or ``above_route_max``: a person has to gather or split it. None when it fits."""
        least, most = self.least.get(amount.currency), self.most.get(amount.currency)
        if least is not None and amount < Money.parse(least, amount.currency):
            return "below_route_min"
        if most is not None and amount > Money.parse(most, amount.currency):
            return "above_route_max"
        return None


class Routes(Version):
    """One version of policies/routes."""

    source: Source
    version: str
    route: dict[str, Route]
    payout: Payout

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(self.route)


def find_routes(at: int) -> Routes:
    return dated.find_version("routes", Routes, at)


def find_route(method: str, at: int) -> Route:
    return find_routes(at).route[method]


def is_offered(method: str, at: int) -> bool:
    """Whether anybody can choose to pay this way at an instant: a route that has ended only gives money back."""
    found = find_routes(at).route.get(method)
    return found is not None and found.is_offered(at)


def find_payout(at: int) -> Payout:
    return find_routes(at).payout


def compute_refund_window_end(found: Route, captured_at: int) -> int | None:
    """When the way back to the source closes; None when no limit is known."""
    return captured_at + found.window_days * DAY if found.window_days is not None else None


def find_source_obstacle(found: Route, amount: Money, captured: Money, captured_at: int, at: int) -> str | None:
    """Why this much of a capture cannot go back to its source at an instant; None when it can."""
    if not found.to_source:
        return ROUTE_CANNOT_REFUND
    last = compute_refund_window_end(found, captured_at)
    if last is not None and at >= last:
        return ROUTE_WINDOW_ENDED
    if not found.partial and amount != captured:
        return ROUTE_NOT_PARTIAL
    return None


def find_next_open_instant(found: Route, at: int) -> int:
    """The first instant from ``at`` on at which the provider takes refunds: ``at`` itself outside the quiet hours."""
    if found.quiet is None:
        return at
    start, end, ahead = (
        _since_midnight(clock) for clock in (found.quiet.from_, found.quiet.to, found.quiet.ahead_of_utc)
    )
    since_start = (at + ahead - start) % DAY
    lasts = (end - start) % DAY
    return at + lasts - since_start if since_start < lasts else at


def compute_promise(found: Route, captured_at: int, at: int, deadline: str) -> int:
    """By when a refund decided at ``at`` is promised: within the deadline, and before its way back closes."""
    promised = at + instants.duration_ms(deadline)
    last = compute_refund_window_end(found, captured_at)
    return min(promised, last) if found.to_source and last is not None and last > at else promised


def compute_payable_from(at: int, *, changed: bool) -> int:
    """When a named account may be paid: at once the first time, after the cool-down when it was changed."""
    return at + instants.duration_ms(find_payout(at).cool_down) if changed else at


def _since_midnight(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * HOUR + int(minutes) * MINUTE

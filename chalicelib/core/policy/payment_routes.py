"""Payment routes: how and until when each refunds, and in which hours. Figures: policies/routes, by date.

A refund is decided by the route in force at the decision, and sent by the route in force at the sending. The buyer is
shown the route in force at the payment.
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

# Why a refund cannot go to its source, so that the buyer must name an account.
ROUTE_CANNOT_REFUND: Final = "route_cannot_refund"
ROUTE_WINDOW_ENDED: Final = "route_window_ended"
ROUTE_NOT_PARTIAL: Final = "route_not_partial"
NO_SOURCE: Final = "no_source"


class Quiet(Frozen):
    """Local hours in which the provider takes no refunds, half-open; over midnight when ``to`` is before ``from``."""

    from_: Annotated[Clock, Field(alias="from")]
    to: Clock
    ahead_of_utc: Clock


class Route(Ending):
    """How a payment method refunds.

    ``to_source``: whether it can refund at all; ``partial``: also a part of a capture; ``asynchronous``: the bank's result
    comes later. ``settle_days``: days until a settlement report shows the money. ``window_days``: days after the capture in
    which it can refund, None without a limit.
    """

    to_source: bool
    partial: bool
    asynchronous: bool
    settle_days: Days
    window_days: Days | None = None
    quiet: Quiet | None = None


class Payout(Frozen):
    """How money is paid to an account that the buyer named. ``least`` and ``most``: amounts by currency."""

    settle_days: Days
    cool_down: Duration
    cool_down_source: str
    least: dict[str, str]
    most: dict[str, str]
    limits_source: str

    def out_of_range(self, amount: Money) -> str | None:
        """``below_route_min`` or ``above_route_max`` when a person must combine or split the amount, else None."""
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
    """Whether the method can be chosen at an instant. A route that has ended still refunds."""
    route = find_routes(at).route.get(method)
    return route is not None and route.is_offered(at)


def find_payout(at: int) -> Payout:
    return find_routes(at).payout


def compute_refund_window_end(route: Route, captured_at: int) -> int | None:
    """When the route stops refunding a capture; None without a limit."""
    return captured_at + route.window_days * DAY if route.window_days is not None else None


def find_source_obstacle(route: Route, amount: Money, captured: Money, captured_at: int, at: int) -> str | None:
    """Why ``amount`` of a capture of ``captured`` cannot go back to its source at an instant; None when it can."""
    if not route.to_source:
        return ROUTE_CANNOT_REFUND
    window_end = compute_refund_window_end(route, captured_at)
    if window_end is not None and at >= window_end:
        return ROUTE_WINDOW_ENDED
    if not route.partial and amount != captured:
        return ROUTE_NOT_PARTIAL
    return None


def find_next_open_instant(route: Route, at: int) -> int:
    """The first instant from ``at`` on outside the route's quiet hours."""
    if route.quiet is None:
        return at
    start, end, ahead = (
        _since_midnight(clock) for clock in (route.quiet.from_, route.quiet.to, route.quiet.ahead_of_utc)
    )
    since_start = (at + ahead - start) % DAY
    lasts = (end - start) % DAY
    return at + lasts - since_start if since_start < lasts else at


def compute_promise(route: Route, captured_at: int, at: int, deadline: str) -> int:
    """By when a refund decided at ``at`` is promised: within the deadline, and before the route stops refunding."""
    promised = at + instants.duration_ms(deadline)
    window_end = compute_refund_window_end(route, captured_at)
    open_until = window_end if route.to_source and window_end is not None and window_end > at else promised
    return min(promised, open_until)


def compute_payable_from(at: int, *, changed: bool) -> int:
    """From when a named account may be paid: ``at`` for the first account, after the cool-down for a changed one."""
    return at + instants.duration_ms(find_payout(at).cool_down) if changed else at


def _since_midnight(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * HOUR + int(minutes) * MINUTE

"""Priority passes: a second chance for a buyer whose order was cancelled at the merchant's fault.

A pass lives in the journal of the deposit it comes from and is bound to that deposit's buyer. It gives one unit of the same
goods at no more than the same price, from the merchant's reserve, before a sale opens and beside its limits. Figures and
their source: policies/priority.toml.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final

from chalicelib import policies
from chalicelib.core import instants
from chalicelib.core.events import (
    Line,
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassStep,
    PassUsed,
    Priority,
)
from chalicelib.core.money import Money
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.wire import Duration, Frozen, from_json


class Published(Frozen):
    """The whole file."""

    source: str
    version: str
    valid: Duration
    remind_before: tuple[Duration, ...]
    reserve_lasts: Duration


@cache
def published() -> Published:
    return Published.model_validate(from_json(policies.read("priority.toml")))


class PassStatus(StrEnum):
    """Where a pass stands."""

    GRANTED = "granted"
    USED = "used"
    LAPSED = "lapsed"


_S = PassStatus
TRANSITIONS: Final[Mapping[tuple[PassStatus, type[PassStep]], PassStatus]] = MappingProxyType(
    {
        (_S.GRANTED, PassUsed): _S.USED,
        (_S.GRANTED, PassReminded): _S.GRANTED,
        (_S.GRANTED, PassLapsed): _S.LAPSED,
        (_S.USED, PassReturned): _S.GRANTED,
    }
)


@dataclass(frozen=True, slots=True)
class Pass:
    """``remind_at`` are the notices still to be given. ``used_for`` is the deposit that was ordered with it last."""

    n: int
    granted: PassGranted
    changed_at: int
    remind_at: tuple[int, ...]
    status: PassStatus = PassStatus.GRANTED
    used_for: str | None = None


def begin(event: PassGranted) -> Pass:
    return Pass(event.priority_pass, event, event.at, event.remind_at)


def step(one: Pass, event: PassStep) -> Pass:
    """The pass after the event; KeyError when the table has no such step."""
    after = replace(one, status=TRANSITIONS[one.status, type(event)], changed_at=event.at)
    match event:
        case PassUsed():
            return replace(after, used_for=event.deposit)
        case PassReminded() | PassReturned():
            return replace(after, remind_at=tuple(at for at in one.remind_at if at > event.at))
        case PassLapsed():
            return after


def deadlines(one: Pass) -> Iterator[PassReminded | PassLapsed]:
    """What the clock will say of it: a notice or two, and its end. Nothing while it is used."""
    if one.status is PassStatus.GRANTED:
        yield from (PassReminded(at, one.n, one.granted.valid_until) for at in one.remind_at)
        yield PassLapsed(max(one.granted.valid_until, one.changed_at), one.n)


def grant(n: int, lines: tuple[Line, ...], reason: str, at: int) -> PassGranted:
    """The pass for an order that was taken away: any of its goods, at most at the dearest of their prices."""
    rules = published()
    valid_until = at + instants.duration_ms(rules.valid)
    remind_at = tuple(sorted(valid_until - instants.duration_ms(before) for before in rules.remind_before))
    skus = tuple(dict.fromkeys(line.sku for line in lines))
    return PassGranted(at, n, skus, max(line.unit_price for line in lines), valid_until, remind_at, reason)


def use(one: Pass, merchant: str, offered_by: str, at: int, deposit_id: str) -> PassUsed:
    """Written together with the deposit that it buys. Only at the merchant who owes it."""
    if offered_by != merchant:
        raise Refused(Reason.PASS_NOT_VALID, merchant=merchant)
    refuse(one, at)
    return PassUsed(at, one.n, deposit_id)


def refuse(one: Pass, at: int) -> None:
    """Whether it could be used at an instant at all."""
    lapsed = one.status is PassStatus.GRANTED and at >= one.granted.valid_until
    if lapsed or one.status is not PassStatus.GRANTED:
        raise Refused(Reason.PASS_NOT_VALID, state=PassStatus.LAPSED.value if lapsed else one.status.value)


def refuse_goods(held: Priority, lines: tuple[Line, ...]) -> None:
    """One unit of one of its goods, and not dearer than it says."""
    if sum(line.quantity for line in lines) != 1:
        raise Refused(Reason.PASS_NOT_VALID, most_units=1)
    line = lines[0]
    if line.sku not in held.skus:
        raise Refused(Reason.PASS_NOT_VALID, sku=line.sku)
    if dearer(line.unit_price, held.price_cap):
        raise Refused(Reason.PASS_NOT_VALID, price_cap=held.price_cap)


def dearer(price: Money, cap: Money) -> bool:
    """Another currency cannot be compared, so it is dearer."""
    return price.currency != cap.currency or price > cap


def reserve_ends_at(opens_at: int) -> int:
    """From then on the units kept for passes are everybody's."""
    return opens_at + instants.duration_ms(published().reserve_lasts)

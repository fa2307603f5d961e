"""Facts as plain JSON and back: what a proof is written in. Every value has one form, so that digests agree.

Money stands in major units as everywhere in the contract, instants in RFC 3339; None and empty lists are left out.
"""

import re
import types
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from chalicelib.core.common.fields import write_money
from chalicelib.core.common.instants import format_instant, parse_instant
from chalicelib.core.common.money import Money, currencies
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.refund import RefundLine

T = TypeVar("T")
Reader = Callable[[object, str], Any]

# Whole numbers with these names are instants in milliseconds; all others count something.
INSTANT_ENDINGS: Final = ("_at", "_by", "_until", "_from")
# Sums of payments may have more digits than one amount on the wire, and a share may be less than the step of trade.
AMOUNT: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,3}))?")
SIGNED: Final = frozenset({RefundLine})  # whose amounts may be below zero


def to_json(value: object) -> Any:
    """A record as JSON, all the way down. TypeError for what no event may hold (floats above all)."""
    match value:
        case Money():
            return write_money(value)
        case StrEnum():
            return value.value
        case bool() | int() | str():
            return value
        case tuple():
            return [to_json(part) for part in value]
        case Struct():
            members = ((name, getattr(value, name)) for name in value.__struct_fields__)
            return {name: _member(name, part) for name, part in members if part is not None and part != ()}
        case _:
            raise TypeError(type(value))


def read_json(kind: type[T], value: object, pointer: str = "") -> T:
    """What ``plain`` wrote of a dataclass, read back by its annotations.

    INVALID_REQUEST with a JSON pointer below ``pointer`` for the first thing that ``plain`` would never have written.
    """
    hint: Any = kind
    found: T = _reader(hint, signed=False)(value, pointer)
    return found


def below(pointer: str, name: str | int) -> str:
    """The JSON pointer of a member or an entry (RFC 6901)."""
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def unreadable(pointer: str, why: str) -> Refused:
    return Refused(Reason.INVALID_REQUEST, [FieldError(pointer, why)])


def is_instant(name: str) -> bool:
    return name == "at" or name.endswith(INSTANT_ENDINGS)


def _member(name: str, value: object) -> Any:
    if is_instant(name) and isinstance(value, int):
        return format_instant(value)
    if is_instant(name) and isinstance(value, tuple):
        return [_member(name, part) for part in value]
    return to_json(value)


@cache
def _reader(hint: Any, *, signed: bool, instant: bool = False) -> Reader:
    """The function that reads a value of that annotation, or refuses."""
    if get_origin(hint) in {Union, types.UnionType}:
        one = next(kind for kind in get_args(hint) if kind is not type(None))
        return _reader(one, signed=signed, instant=instant)
    if get_origin(hint) is tuple:
        return _list_of(_reader(get_args(hint)[0], signed=signed, instant=instant))
    if hint is Money:
        return _signed_money if signed else _money
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _record(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _choice(hint)
    if hint is int and instant:
        return _instant
    return _simple(hint, {str: "not_text", int: "not_integer", bool: "not_boolean"}[hint])


def _simple(kind: type, why: str) -> Reader:
    def read_simple(value: object, pointer: str) -> object:
        if type(value) is not kind:  # a bool is no number
            raise unreadable(pointer, why)
        return value

    return read_simple


def _choice(kind: type[StrEnum]) -> Reader:
    def read_choice(value: object, pointer: str) -> StrEnum:
        if not isinstance(value, str):
            raise unreadable(pointer, "not_text")
        if value not in {member.value for member in kind}:
            raise unreadable(pointer, "choice")
        return kind(value)

    return read_choice


def _list_of(part: Reader) -> Reader:
    def read_list(value: object, pointer: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise unreadable(pointer, "not_list")
        if not value:
            raise unreadable(pointer, "too_few")  # nothing is written as nothing
        return tuple(part(one, below(pointer, place)) for place, one in enumerate(value))

    return read_list


def _instant(value: object, pointer: str) -> int:
    try:
        found = parse_instant(value if isinstance(value, str) else "")
    except ValueError:
        raise unreadable(pointer, "instant") from None
    if format_instant(found) != value:
        raise unreadable(pointer, "instant")
    return found


def _money(value: object, pointer: str) -> Money:
    found = _signed_money(value, pointer)
    if found.minor < 0:
        raise unreadable(below(pointer, "amount"), "amount")
    return found


def _signed_money(value: object, pointer: str) -> Money:
    members = _members(value, {"amount", "currency"}, pointer)
    for name in ("amount", "currency"):
        if name not in members:
            raise unreadable(below(pointer, name), "missing")
    amount, currency = members["amount"], members["currency"]
    known = currencies().get(currency) if isinstance(currency, str) else None
    if known is None:
        raise unreadable(below(pointer, "currency"), "currency")
    parts = AMOUNT.fullmatch(amount) if isinstance(amount, str) else None
    if parts is None:
        raise unreadable(below(pointer, "amount"), "amount")
    sign, whole, fraction = parts[1], parts[2], parts[3] or ""
    if len(fraction) > known.decimals:
        raise unreadable(below(pointer, "amount"), "decimals")
    found = Money(int(sign + whole + fraction.ljust(known.decimals, "0")), str(currency))
    if found.amount != amount:
        raise unreadable(below(pointer, "amount"), "amount")
    return found


def _members(value: object, known: set[str], pointer: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise unreadable(pointer, "not_object")
    unknown = next((name for name in value if name not in known), None)
    if unknown is not None:
        raise unreadable(below(pointer, unknown), "unknown_field")
    return value


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    names = {field.name for field in fields(kind)}
    readers = {name: _reader(hints[name], signed=kind in SIGNED, instant=is_instant(name)) for name in names}
    # What was written as nothing: no value, no parts.
    absent: dict[str, Any] = {name: None for name in names if type(None) in get_args(hints[name])}
    absent |= {name: () for name in names if get_origin(hints[name]) is tuple}
    # A member with another default may be missing too: it was left out on purpose, or came with a later release.
    needed = [field.name for field in fields(kind) if field.name not in absent and field.default is NODEFAULT]

    def read_record(value: object, pointer: str) -> Any:
        members = _members(value, names, pointer)
        for name in needed:
            if name not in members:
                raise unreadable(below(pointer, name), "missing")
        found = {name: readers[name](part, below(pointer, name)) for name, part in members.items()}
        return kind(**{**absent, **found})

    return read_record

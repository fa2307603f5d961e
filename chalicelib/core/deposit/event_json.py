"""Events as JSON and back: proofs and the history over HTTP are written in it. Every value has one form.

Amounts are in major units and instants in RFC 3339, as everywhere in the contract. Which fields are instants says their
annotation, ``Instant``. A proof leaves None and empty tuples out; the history writes them as null and ``[]``.
"""

import re
import types
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from chalicelib.core.common.fields import write_money
from chalicelib.core.common.instants import Instant, format_instant, parse_instant
from chalicelib.core.common.money import Money, currencies
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.refund import RefundLine

T = TypeVar("T")
Reader = Callable[[object, str], Any]

# Sums of payments may have more digits than one amount on the wire, and a share may be less than the step of trade.
AMOUNT: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,3}))?")
SIGNED: Final = frozenset({RefundLine})  # whose amounts may be below zero


def to_json(value: object, *, write_empty: bool = False) -> Any:
    """A record as JSON, nested records included. TypeError for a type that no event holds (float above all).

    ``write_empty`` writes None as null and an empty tuple as ``[]``; without it such members are left out.
    """
    match value:
        case Money():
            return write_money(value)
        case StrEnum():
            return value.value
        case bool() | int() | str():
            return value
        case tuple():
            return [to_json(part, write_empty=write_empty) for part in value]
        case Struct():
            return _write_members(value, write_empty)
        case _:
            raise TypeError(type(value))


@cache
def instant_fields(kind: type[Struct]) -> frozenset[str]:
    """The fields of a record that hold an instant, or a tuple of instants."""
    hints = get_type_hints(kind, include_extras=True)
    return frozenset(field.name for field in fields(kind) if _holds_instants(hints[field.name]))


def read_json(kind: type[T], value: object, pointer: str = "") -> T:
    """Read back what ``to_json`` wrote of a record without its empty members.

    INVALID_REQUEST with a JSON pointer below ``pointer`` for the first thing that ``to_json`` would not have written.
    """
    hint: Any = kind
    record: T = _reader(hint, signed=False)(value, pointer)
    return record


def below(pointer: str, name: str | int) -> str:
    """The JSON pointer of a member or an entry (RFC 6901)."""
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def unreadable(pointer: str, why: str) -> Refused:
    return Refused(Reason.INVALID_REQUEST, [FieldError(pointer, why)])


def _holds_instants(hint: Any) -> bool:
    return bool(hint == Instant) or any(_holds_instants(part) for part in get_args(hint))


def _write_members(record: Struct, write_empty: bool) -> dict[str, Any]:
    instants = instant_fields(type(record))
    members = ((name, getattr(record, name)) for name in record.__struct_fields__)
    return {
        name: _write_member(value, name in instants, write_empty)
        for name, value in members
        if write_empty or (value is not None and value != ())
    }


def _write_member(value: Any, instant: bool, write_empty: bool) -> Any:
    if value is None:
        return None
    if instant:
        return [format_instant(part) for part in value] if isinstance(value, tuple) else format_instant(value)
    return to_json(value, write_empty=write_empty)


@cache
def _reader(hint: Any, *, signed: bool) -> Reader:
    """The function that reads a value of that annotation, or refuses it."""
    if get_origin(hint) in {Union, types.UnionType}:
        present = next(kind for kind in get_args(hint) if kind is not type(None))
        return _reader(present, signed=signed)
    if get_origin(hint) is tuple:
        return _list_of(_reader(get_args(hint)[0], signed=signed))
    if get_origin(hint) is Annotated:
        return _instant
    if hint is Money:
        return _signed_money if signed else _money
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _record(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _choice(hint)
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
            raise unreadable(pointer, "too_few")  # to_json leaves an empty tuple out
        return tuple(part(entry, below(pointer, place)) for place, entry in enumerate(value))

    return read_list


def _instant(value: object, pointer: str) -> int:
    try:
        instant = parse_instant(value if isinstance(value, str) else "")
    except ValueError:
        raise unreadable(pointer, "instant") from None
    if format_instant(instant) != value:
        raise unreadable(pointer, "instant")
    return instant


def _money(value: object, pointer: str) -> Money:
    money = _signed_money(value, pointer)
    if money.minor < 0:
        raise unreadable(below(pointer, "amount"), "amount")
    return money


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
    money = Money(int(sign + whole + fraction.ljust(known.decimals, "0")), str(currency))
    if money.amount != amount:
        raise unreadable(below(pointer, "amount"), "amount")
    return money


def _members(value: object, known: set[str], pointer: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise unreadable(pointer, "not_object")
    unknown = next((name for name in value if name not in known), None)
    if unknown is not None:
        raise unreadable(below(pointer, unknown), "unknown_field")
    return value


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    names = {field.name for field in fields(kind)}
    readers = {name: _reader(hints[name], signed=kind in SIGNED) for name in names}
    # What to_json leaves out: None and empty tuples.
    absent: dict[str, Any] = {name: None for name in names if type(None) in get_args(hints[name])}
    absent |= {name: () for name in names if get_origin(hints[name]) is tuple}
    # A member with another default may be missing too: it was left out on purpose, or came with a later release.
    needed = [field.name for field in fields(kind) if field.name not in absent and field.default is NODEFAULT]

    def read_record(value: object, pointer: str) -> Any:
        members = _members(value, names, pointer)
        for name in needed:
            if name not in members:
                raise unreadable(below(pointer, name), "missing")
        present = {name: readers[name](part, below(pointer, name)) for name, part in members.items()}
        return kind(**{**absent, **present})

    return read_record

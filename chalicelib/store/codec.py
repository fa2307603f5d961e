"""How events look in DynamoDB: maps of plain values, read back by the annotations of their class.

Nothing that is None is written, money is one short string (``500000CNY``): twenty events stay below four kilobytes.
"""

import types
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from chalicelib.core.common.money import Money

Wire = dict[str, Any]
CURRENCY = 3  # letters of an ISO 4217 code


def encode(value: object) -> Wire:
    """One value in DynamoDB's own notation. TypeError for what no event may hold (floats above all)."""
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": str(value)}
        case bytes():
            return {"B": value}
        case Money():
            return {"S": f"{value.minor}{value.currency}"}
        case tuple() | list():
            return {"L": [encode(part) for part in value]}
        case dict():
            return {"M": {name: encode(part) for name, part in value.items()}}
        case Struct():
            return {"M": members(value)}
        case _:
            raise TypeError(type(value))


def members(value: Any) -> dict[str, Wire]:
    """A record's fields, those that are None or an empty tuple left out."""
    plain = ((name, getattr(value, name)) for name in value.__struct_fields__)
    return {name: encode(part) for name, part in plain if part is not None and part != ()}


@cache
def reader(hint: Any) -> Callable[[Wire], Any]:
    """The function that reads a value of that annotation back."""
    if get_origin(hint) in {Union, types.UnionType}:
        return reader(next(kind for kind in get_args(hint) if kind is not type(None)))
    if get_origin(hint) is tuple:
        part = reader(get_args(hint)[0])
        return lambda wire: tuple(part(one) for one in wire["L"])
    if hint is Money:
        return _money
    if issubclass(hint, Struct):
        return _record(hint)
    if issubclass(hint, StrEnum):
        return lambda wire: hint(wire["S"])
    simple: Mapping[Any, Callable[[Wire], Any]] = {
        bool: lambda wire: wire["BOOL"],
        int: lambda wire: int(wire["N"]),
        str: lambda wire: wire["S"],
        bytes: lambda wire: bytes(wire["B"]),
    }
    return simple[hint]


def _money(wire: Wire) -> Money:
    text = wire["S"]
    return Money(int(text[:-CURRENCY]), text[-CURRENCY:])


def _record(kind: type[Struct]) -> Callable[[Wire], Any]:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    readers = {name: reader(hints[name]) for name in names}
    # What was written as nothing: no parts, no value. Fields with a default of another kind keep that default.
    absent: dict[str, Any] = {name: None for name in names if type(None) in get_args(hints[name])}
    absent |= {name: () for name in names if get_origin(hints[name]) is tuple}

    def read(wire: Wire) -> Any:
        found = {name: readers[name](part) for name, part in wire["M"].items()}
        return kind(**{**absent, **found})

    return read

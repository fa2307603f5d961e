"""How events look in DynamoDB: maps of plain values, read back by the annotations of their class.

Nothing that is None is written, money is one short string (``500000CNY``): twenty events stay below four kilobytes.
"""

import types
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from chalicelib.core.common.money import Money

Wire = dict[str, Any]
CURRENCY_LETTERS: Final = 3


def encode(value: object) -> Wire:
    """One value in DynamoDB's notation. TypeError for what no event may hold (floats above all)."""
    write = WRITERS.get(type(value))
    if write is not None:
        return write(value)
    if isinstance(value, Struct):
        return {"M": encode_fields(value)}
    if isinstance(value, str):
        return {"S": str(value)}
    raise TypeError(type(value))


def encode_fields(record: Any) -> dict[str, Wire]:
    """A record's fields by name, without those that are None or an empty tuple."""
    values = ((name, getattr(record, name)) for name in record.__struct_fields__)
    return {name: encode(value) for name, value in values if value is not None and value != ()}


def _encode_list(values: Any) -> Wire:
    return {"L": [encode(value) for value in values]}


WRITERS: Final[Mapping[type, Callable[[Any], Wire]]] = {
    bool: lambda value: {"BOOL": value},
    int: lambda value: {"N": str(value)},
    str: lambda value: {"S": value},
    bytes: lambda value: {"B": value},
    Money: lambda value: {"S": f"{value.minor}{value.currency}"},
    tuple: _encode_list,
    list: _encode_list,
    dict: lambda value: {"M": {name: encode(part) for name, part in value.items()}},
}
READERS: Final[Mapping[Any, Callable[[Wire], Any]]] = {
    bool: lambda wire: wire["BOOL"],
    int: lambda wire: int(wire["N"]),
    str: lambda wire: wire["S"],
    bytes: lambda wire: bytes(wire["B"]),
    Money: lambda wire: Money(int(wire["S"][:-CURRENCY_LETTERS]), wire["S"][-CURRENCY_LETTERS:]),
}


@cache
def reader(hint: Any) -> Callable[[Wire], Any]:
    """The function that reads a value of that annotation back."""
    if get_origin(hint) in {Union, types.UnionType}:
        return reader(next(kind for kind in get_args(hint) if kind is not type(None)))
    if get_origin(hint) is tuple:
        read_part = reader(get_args(hint)[0])
        return lambda wire: tuple(map(read_part, wire["L"]))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda wire: hint(wire["S"])
    return READERS[hint] if hint in READERS else _record_reader(hint)


def _record_reader(kind: type[Struct]) -> Callable[[Wire], Any]:
    hints = get_type_hints(kind)
    readers = {field.name: reader(hints[field.name]) for field in fields(kind)}
    # What ``encode_fields`` left out. Fields with a default of another kind keep that default.
    omitted: dict[str, Any] = {name: None for name in readers if type(None) in get_args(hints[name])}
    omitted |= {name: () for name in readers if get_origin(hints[name]) is tuple}

    def read(wire: Wire) -> Any:
        return kind(**{**omitted, **{name: readers[name](part) for name, part in wire["M"].items()}})

    return read

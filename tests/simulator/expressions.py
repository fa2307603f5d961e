"""DynamoDB's condition and update expressions, as far as our store writes them; anything else is an error."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

Wire = dict[str, Any]
Item = dict[str, Wire]
Names = Mapping[str, str]
Values = Mapping[str, Wire]
Test = Callable[[Item, Names, Values], bool]
Term = Callable[[Item, Names, Values], Wire | None]
Change = Callable[[Item, Item, Names, Values], None]

_TOKEN: Final = re.compile(r"\s*(<=|>=|<>|[=<>(),+-]|[#:]?\w+)")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class ValidationFault(Exception):
    """What the real service would refuse as a ValidationException."""


def plain(wire: Wire) -> Any:
    """A comparable value; numbers as integers, which are all we store."""
    kind, value = next(iter(wire.items()))
    return int(value) if kind == "N" else value


class _Reader:
    """A cursor over tokens."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens) != re.sub(r"\s+", "", text):
            raise ValidationFault(text)
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def expect(self, token: str) -> None:
        if self.next() != token:
            raise ValidationFault(token)


@cache
def condition(text: str) -> Test:
    """A compiled condition."""
    reader = _Reader(text)
    found = _either(reader)
    if reader.peek():
        raise ValidationFault(text)
    return found


@cache
def update(text: str) -> tuple[Change, ...]:
    """A compiled update; every change reads the item as it was."""
    reader = _Reader(text)
    changes: list[Change] = []
    while reader.peek():
        section = reader.next()
        if section not in {"SET", "ADD", "REMOVE"}:
            raise ValidationFault(section)
        changes.append(_change(section, reader))
        while reader.peek() == ",":
            reader.next()
            changes.append(_change(section, reader))
    return tuple(changes)


def _either(reader: _Reader) -> Test:
    parts = [_both(reader)]
    while reader.peek() == "OR":
        reader.next()
        parts.append(_both(reader))
    return lambda item, names, values: any(part(item, names, values) for part in parts)


def _both(reader: _Reader) -> Test:
    parts = [_one(reader)]
    while reader.peek() == "AND":
        reader.next()
        parts.append(_one(reader))
    return lambda item, names, values: all(part(item, names, values) for part in parts)


def _one(reader: _Reader) -> Test:
    if reader.peek() == "(":
        reader.next()
        inner = _either(reader)
        reader.expect(")")
        return inner
    if reader.peek() in {"attribute_exists", "attribute_not_exists"}:
        wanted = reader.next() == "attribute_exists"
        reader.expect("(")
        name = reader.next()
        reader.expect(")")
        return lambda item, names, _values: (_name(name, names) in item) is wanted
    left = _operand(reader.next())
    compare = _COMPARE[reader.next()]
    right = _operand(reader.next())

    def test(item: Item, names: Names, values: Values) -> bool:
        a, b = left(item, names, values), right(item, names, values)
        return a is not None and b is not None and a.keys() == b.keys() and compare(plain(a), plain(b))

    return test


def _change(section: str, reader: _Reader) -> Change:
    name = reader.next()
    if section == "REMOVE":

        def remove(_before: Item, after: Item, names: Names, _values: Values) -> None:
            after.pop(_name(name, names), None)

        return remove
    if section == "ADD":
        added = _operand(reader.next())

        def add(before: Item, after: Item, names: Names, values: Values) -> None:
            old, by = before.get(_name(name, names), {"N": "0"}), added(before, names, values)
            after[_name(name, names)] = {"N": str(plain(old) + plain(_there(by)))}

        return add
    reader.expect("=")
    value = _value(reader)

    def assign(before: Item, after: Item, names: Names, values: Values) -> None:
        after[_name(name, names)] = _there(value(before, names, values))

    return assign


def _value(reader: _Reader) -> Term:
    first = reader.next()
    if first == "list_append":
        reader.expect("(")
        left = _operand(reader.next())
        reader.expect(",")
        right = _operand(reader.next())
        reader.expect(")")
        return lambda item, names, values: {
            "L": [*_there(left(item, names, values))["L"], *_there(right(item, names, values))["L"]]
        }
    term = _operand(first)
    if reader.peek() not in {"+", "-"}:
        return term
    sign = 1 if reader.next() == "+" else -1
    other = _operand(reader.next())
    return lambda item, names, values: {
        "N": str(plain(_there(term(item, names, values))) + sign * plain(_there(other(item, names, values))))
    }


def _operand(token: str) -> Term:
    if token.startswith(":"):
        return lambda _item, _names, values: values[token]
    return lambda item, names, _values: item.get(_name(token, names))


def _name(token: str, names: Names) -> str:
    return names[token] if token.startswith("#") else token


def _there(wire: Wire | None) -> Wire:
    if wire is None:
        raise ValidationFault("an attribute of the update does not exist")
    return wire

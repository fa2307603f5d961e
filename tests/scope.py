"""Which tests belong to the quick run (``make test``) and which to the rest (``make test-all``)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pytest
from hypothesis import is_hypothesis_test, settings

REST: Final = "--rest"
REAL_ENGINE: Final = "ministack"
SLOW_ENGINES: Final = frozenset({"moto", REAL_ENGINE})
FAST_EXAMPLES: Final = 20  # of hypothesis in the quick run; a test that states its own number takes a quarter


def examples(number: int) -> int:
    """How many examples a test that states its own number plays in this run."""
    return number if settings().max_examples > FAST_EXAMPLES else max(number // 4, 3)


@dataclass(frozen=True)
class Scope:
    """The quick run, or the rest."""

    rest: bool

    def split(self, items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
        """The items that run, and those that are left out, both in their order."""
        quick = _quick(items)
        chosen = [item for item in items if (_again(item) or item not in quick if self.rest else item in quick)]
        there = set(chosen)
        return chosen, [item for item in items if item not in there]


def _quick(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    candidates = [item for item in items if item.get_closest_marker("full") is None and _on_quick_engine(item)]
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in candidates:
        cases[item.nodeid.partition("[")[0]].append(item)
    return {item for found in cases.values() for item in _sample(found)}


def _sample(items: list[pytest.Item]) -> list[pytest.Item]:
    """All cases of a test, or as many as its marker ``sample`` says: the first, the last, and evenly between."""
    marker = items[0].get_closest_marker("sample")
    if marker is None or len(items) <= marker.args[0]:
        return items
    cases = marker.args[0]
    ordered = sorted(items, key=_written)
    return [ordered[round(case * (len(items) - 1) / max(cases - 1, 1))] for case in range(cases)]


def _written(item: pytest.Item) -> tuple[int, ...]:
    """The place of a case as it is written; items come in a random order."""
    indices: dict[str, int] = item.callspec.indices  # type: ignore[attr-defined] # only parametrised tests have cases
    return tuple(indices[name] for name in sorted(indices))


def _on_quick_engine(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec is not None else ()
    slow = {value for value in values if isinstance(value, str)} & SLOW_ENGINES
    return not slow or (slow == {REAL_ENGINE} and item.get_closest_marker("real_engine") is not None)


def _again(item: pytest.Item) -> bool:
    """Tests that prove more in the rest: on another engine, or with more examples."""
    names = getattr(item, "fixturenames", ())
    function = getattr(item, "function", None)
    return "world" in names or is_hypothesis_test(function) or hasattr(getattr(item, "cls", None), "settings")

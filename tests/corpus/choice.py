"""Which journals are taken: as few as show everything."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from tests.corpus.records import Record

# Words of a fixed set in the data of events: each of them stands in the corpus.
TOLD: Final = (
    "cause",
    "code",
    "by",
    "silent",
    "kind",
    "reason",
    "outcome",
    "why",
    "decision",
    "rule",
    "method",
    "review",
)


def traits(record: Record) -> set[str]:
    """What a journal shows: its events, the words of fixed sets in their data, and the routes asked again."""
    return {*record.types(), *_words(record), *(f"replay {one['template']}" for one in record.replays)}


def steps(record: Record) -> set[str]:
    """What follows what."""
    types = record.types()
    return {f"{one} > {next_}" for one, next_ in pairwise(types)}


def _words(record: Record) -> Iterator[str]:
    for entry in record.journal:
        data = entry["d"]["M"]
        for name in TOLD:
            if "S" in data.get(name, {}) and len(data[name]["S"]) < 60:
                yield f"{entry['t']['S']} {name} {data[name]['S']}"
        for line in data.get("lines", {}).get("L", []):
            if "code" in line.get("M", {}):
                yield f"line {line['M']['code']['S']} of {data['cause']['S']}"
        for ground in data.get("grounds", {}).get("L", []):
            yield f"ground {ground['S']}"
    if record.id.startswith("rec_"):
        for item in record.items.values():
            if "journal" in item and item["pk"]["S"].startswith("brk_"):
                yield from (f"break {entry['M']['t']['S']}" for entry in item["journal"]["L"])


def chosen(
    candidates: Sequence[Record], most: int, told: Sequence[Record], shown: Callable[[Record], set[str]]
) -> list[Record]:
    """Greedy: again and again the journal that shows most of what was not seen yet, as small as possible."""
    left = {record.name: (record, shown(record)) for record in candidates}
    seen = {one for record in told for one in shown(record)}
    found: list[Record] = []
    while left and len(found) < most:
        name = max(left, key=lambda one: (len(left[one][1] - seen), -len(left[one][0].journal), one))
        record, shows = left.pop(name)
        if not shows - seen:
            break
        seen |= shows
        found.append(record)
    return found

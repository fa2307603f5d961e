"""The corpus as a file: records of items in the table's wire format, what is asked of each, and what was answered.

``journals.jsonl.gz`` holds the records and ``answers.jsonl.gz`` the answers, a line for each record. An answer stands
there whole for a sample and as a digest for the others.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]
Item = dict[str, Any]
Items = dict[str, Item]

HERE: Final = Path(__file__).parent
JOURNALS: Final = HERE / "journals.jsonl.gz"
ANSWERS: Final = HERE / "answers.jsonl.gz"
LOCALES: Final = ("en", "id", "zh")
LATE_MS: Final = 400 * 86_400_000  # every deadline of a deposit is over by then
EVERYBODY: Final = ("buyer", "merchant", "platform")
SOMEBODY: Final = "usr_11111111111111111111111111"


@dataclass(frozen=True)
class Ask:
    """One request. ``caller`` is ``id/role/merchant``, empty for the public."""

    path: str
    at: int
    caller: str = ""
    method: str = "GET"
    template: str = ""
    locale: str = "en"
    body: Json | None = None
    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, str]:
        """What the braces of the template stand for."""
        pairs = zip(self.template.split("/"), self.path.split("/"), strict=True)
        return {name[1:-1]: value for name, value in pairs if name.startswith("{")}


@dataclass(frozen=True)
class Record:
    """A journal with all that its answers need. ``whole``: its answers are kept word by word, in every language."""

    name: str
    id: str
    items: Items
    whole: bool = False
    replays: tuple[Json, ...] = ()

    @property
    def item(self) -> Item:
        return self.items[self.id]

    @property
    def journal(self) -> list[Item]:
        entries: list[Item] = [entry["M"] for entry in self.item["journal"]["L"]]
        return entries

    def types(self) -> list[str]:
        return [entry["t"]["S"] for entry in self.journal]

    def cut(self, length: int) -> Items:
        """The items as they were when the journal had so many events."""
        entries = self.item["journal"]["L"][:length]
        version = {"N": str(len(entries))}
        return {**self.items, self.id: {**self.item, "journal": {"L": entries}, "v": version, "n": version}}


def instant(entry: Item) -> int:
    return int(entry["at"]["N"])


def canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


# What is asked of a record: at which length of its journal, under which label.


def asks(record: Record) -> Iterator[tuple[int, str, Ask]]:
    """Length of the journal, label, and request; lengths in ascending order."""
    kind = record.id.partition("_")[0]
    return {"dep": _of_deposit, "off": _of_offer, "bmc": _of_bulk, "rec": _of_run}[kind](record)


def lengths(record: Record) -> list[int]:
    """At its creation, about half way and whole. Events of one write stay together: no reader ever sees a part of it."""
    received = [int(entry["w" if "w" in entry else "at"]["N"]) for entry in record.journal]
    whole = len(received)
    between = [n for n in range(1, whole) if received[n - 1] != received[n]]
    half = min(between, key=lambda n: abs(2 * n - whole), default=whole)
    return sorted({1, half, whole})


def _of_deposit(record: Record) -> Iterator[tuple[int, str, Ask]]:
    path, journal = f"/v1/deposits/{record.id}", record.journal
    created = journal[0]["d"]["M"]
    callers = {
        "buyer": f"{created['buyer']['S']}/buyer/",
        "merchant": f"{SOMEBODY}/merchant/{created['merchant']['S']}",
        "platform": f"{SOMEBODY}/platform/",
    }
    template = "/v1/deposits/{deposit_id}"
    for length in lengths(record)[:-1]:
        at = max(map(instant, journal[:length]))
        yield length, f"deposit at version {length}", Ask(path, at, callers["buyer"], template=template)
    whole, last = len(journal), max(map(instant, journal))
    for locale in LOCALES if record.whole else LOCALES[:1]:
        for role in EVERYBODY:
            ask = Ask(path, last, callers[role], template=template, locale=locale)
            yield whole, f"deposit for {role} {locale}", ask
        ask = Ask(path, last + LATE_MS, callers["buyer"], template=template, locale=locale)
        yield whole, f"deposit late {locale}", ask
        yield from ((whole, *one) for one in _parts(record, callers, last, locale))
    events = f"{path}/events"
    yield whole, "history", Ask(events, last + LATE_MS, callers["buyer"], template=f"{template}/events")
    for n in range(1, record.types().count("refund.approved") + 1):
        proof = f"/v1/refunds/{record.id.replace('dep_', 'ref_')}_{n}/proof"
        yield whole, f"proof {n}", Ask(proof, last, callers["buyer"], template="/v1/refunds/{refund_id}/proof")


def _parts(record: Record, callers: Mapping[str, str], at: int, locale: str) -> Iterator[tuple[str, Ask]]:
    """Refunds, claims, questions, trade-in and withdrawals, each where the journal has any."""
    of, found = {"deposit": record.id}, set(record.types())
    if "refund.approved" in found:
        yield (
            f"refunds {locale}",
            Ask("/v1/refunds", at, callers["buyer"], template="/v1/refunds", locale=locale, query=of),
        )
    if "claim.opened" in found:
        for role in ("buyer", "merchant"):
            for when, late in (("", 0), (" late", LATE_MS)):
                ask = Ask("/v1/claims", at + late, callers[role], template="/v1/claims", locale=locale, query=of)
                yield f"claims for {role}{when} {locale}", ask
    if "question.asked" in found:
        yield (
            f"questions {locale}",
            Ask("/v1/questions", at, callers["merchant"], template="/v1/questions", locale=locale, query=of),
        )
    if "trade_in" in record.journal[0]["d"]["M"]:
        path = f"/v1/trade-ins/{record.id.replace('dep_', 'trd_')}_1"
        template = "/v1/trade-ins/{trade_in_id}"
        yield f"trade-in {locale}", Ask(path, at, callers["merchant"], template=template, locale=locale)
    if "priority_pass.granted" in found:
        template = "/v1/priority-passes"
        yield f"passes {locale}", Ask(template, at, callers["buyer"], template=template, locale=locale)
    for n in range(1, record.types().count("withdrawal.stated") + 1):
        path = f"/v1/deposits/{record.id}/withdrawals/{record.id.replace('dep_', 'wdr_')}_{n}"
        template = "/v1/deposits/{deposit_id}/withdrawals/{withdrawal_id}"
        yield f"withdrawal {n} {locale}", Ask(path, at, callers["buyer"], template=template, locale=locale)


def _of_offer(record: Record) -> Iterator[tuple[int, str, Ask]]:
    for length in lengths(record):
        at = max(map(instant, record.journal[:length]))
        ask = Ask(f"/v1/offers/{record.id}", at, template="/v1/offers/{offer_id}")
        yield length, f"offer at version {length}", ask


def _of_bulk(record: Record) -> Iterator[tuple[int, str, Ask]]:
    asked = record.journal[0]["d"]["M"]
    path = f"/v1/offers/{asked['offer']['S']}/merchant-cancellations/{record.id}"
    template = "/v1/offers/{offer_id}/merchant-cancellations/{bulk_id}"
    caller = f"{SOMEBODY}/merchant/{asked['merchant']['S']}"
    for length in lengths(record):
        at = max(map(instant, record.journal[:length]))
        yield length, f"bulk at version {length}", Ask(path, at, caller, template=template)


def _of_run(record: Record) -> Iterator[tuple[int, str, Ask]]:
    path, caller = f"/v1/reconciliation-runs/{record.id}", f"{SOMEBODY}/platform/"
    template = "/v1/reconciliation-runs/{run_id}"
    for length in lengths(record):
        at = max(map(instant, record.journal[:length]))
        yield length, f"run at version {length}", Ask(path, at, caller, template=template)
    at = max(map(instant, record.journal))
    yield len(record.journal), "breaks", Ask(f"{path}/breaks", at, caller, template=f"{template}/breaks")


# Records as lines of JSON: bytes become base64 below ``B``, as in DynamoDB's own JSON.


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _wire(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"B"} and isinstance(value["B"], str):
            return {"B": base64.b64decode(value["B"])}
        return {name: _wire(part) for name, part in value.items()}
    return [_wire(part) for part in value] if isinstance(value, list) else value


def written(record: Record) -> Json:
    return {
        "name": record.name,
        "id": record.id,
        "whole": record.whole,
        "items": _plain(record.items),
        "replays": list(record.replays),
    }


def load() -> list[Record]:
    return [
        Record(line["name"], line["id"], _wire(line["items"]), line["whole"], tuple(line["replays"]))
        for line in lines(JOURNALS)
    ]


def lines(path: Path) -> Iterator[Json]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def save(path: Path, rows: Iterable[Json]) -> None:
    """The same rows are the same bytes, whenever they are written."""
    text = "".join(canonical(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))

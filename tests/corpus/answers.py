"""What a record is answered, computed with the code as it is."""

import json
from collections.abc import Iterator
from typing import Any

from tests.corpus.reading import Reading
from tests.corpus.records import LATE_MS, Ask, Json, Record, asks, canonical, instant


def answers(reading: Reading, record: Record) -> Iterator[tuple[str, Any]]:
    """Label and answer: of every request of the record, of every replay, and what no answer tells."""
    held = 0
    for length, label, ask in asks(record):
        if length != held:
            reading.hold(record.cut(length))
            held = length
        told = reading.answer(ask)
        if label.startswith("proof"):
            yield f"{label} holds", _verdict(reading, told)
        yield label, {**told, "body": _json(told["body"])}
    for n, sent in enumerate(record.replays, start=1):
        yield f"replay {n}", reading.answer(replayed(record, sent))
    if record.id.startswith("dep_"):
        yield "facts", reading.facts(record.id)


def replayed(record: Record, sent: Json) -> Ask:
    """The same request once more, long after everything else."""
    return Ask(**{**sent, "at": max(map(instant, record.journal)) + LATE_MS})


def _verdict(reading: Reading, proof: Json) -> Any:
    """What the service says of the proof that it has just given."""
    path = "/v1/refund-proofs/verify"
    ask = Ask(path, 0, method="POST", template=path, body=json.loads(proof["body"]))
    return _json(reading.answer(ask)["body"])


def _json(body: str) -> Any:
    """The order of members says nothing, where it is no replay."""
    return json.loads(canonical(json.loads(body)))

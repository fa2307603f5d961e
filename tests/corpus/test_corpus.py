"""Every journal of the corpus answers what it answered when it was recorded.

A difference is a change of what the service says of deposits that exist. Where it is meant, record the answers anew
(``python -m tests.corpus.record --answers``) and tell it in the change log.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import pytest

from tests.corpus.answers import answers
from tests.corpus.reading import Reading, event_types, opened, published
from tests.corpus.records import ANSWERS, JOURNALS, Json, Record, canonical, digest, lines, load

RECORDS: Final = {record.name: record for record in load()}
RECORDED: Final[dict[str, Json]] = {line["name"]: line["answers"] for line in lines(ANSWERS)}
BYTES: Final = 1_500_000
GOT: Final = Path(gettempdir()) / "earnest-corpus"


@pytest.fixture(scope="module")
def reading() -> Iterator[Reading]:
    with opened() as found:
        yield found


@pytest.mark.parametrize("name", RECORDS)
def test_a_journal_answers_as_it_did(reading: Reading, name: str) -> None:
    recorded = dict(RECORDED[name])
    for label, answer in answers(reading, RECORDS[name]):
        assert same(answer, recorded.pop(label)), told(name, label, answer)
    assert not recorded, "nothing is asked less than was recorded"


def same(answer: Any, recorded: Any) -> bool:
    return answer == recorded or (isinstance(recorded, str) and digest(canonical(answer)) == recorded)


def told(name: str, label: str, answer: Any) -> str:
    """Where the answer of today stands, to be compared with the one of the commit that recorded it."""
    GOT.mkdir(exist_ok=True)
    path = GOT / (digest(f"{name}/{label}").removeprefix("sha256:")[:16] + ".json")
    path.write_text(canonical(answer) + "\n", "utf-8")
    return f"{name}: {label} differs; today's answer is in {path}"


# What the corpus holds.


def journals() -> Iterator[Json]:
    """Every entry of every journal, those that lie beside a record's own included."""
    for record in RECORDS.values():
        for item in record.items.values():
            yield from (entry["M"] for entry in item.get("journal", {"L": []})["L"])


def words(event: str, name: str) -> set[str]:
    """The values of one member of one event's data."""
    return {entry["d"]["M"][name]["S"] for entry in journals() if entry["t"]["S"] == event and name in entry["d"]["M"]}


def test_every_event_is_in_the_corpus() -> None:
    assert event_types() == {entry["t"]["S"] for entry in journals()}


def test_every_cause_and_code_of_a_refund_is_in_the_corpus() -> None:
    refunds = [entry["d"]["M"] for entry in journals() if entry["t"]["S"] == "refund.approved"]
    codes = {line["M"]["code"]["S"] for refund in refunds for line in refund.get("lines", {"L": []})["L"]}
    assert {refund["cause"]["S"] for refund in refunds} == published()["cause"]
    assert codes == published()["code"]


def test_every_reason_ground_and_claim_is_in_the_corpus() -> None:
    assert words("deposit.cancelled", "reason") == published()["reason"]
    assert words("claim.opened", "kind") == published()["claim"]
    assert words("trade_in.inspected", "outcome") == {"matched", "mismatched"}
    assert words("trade_in.cancelled", "by") == {"courier", "seller"}


def test_it_is_large_enough_and_not_too_large() -> None:
    assert len(RECORDS) >= 150
    assert sum(path.stat().st_size for path in (ANSWERS, JOURNALS)) < BYTES
    assert sum(record.whole for record in RECORDS.values()) >= 30
    assert sum(len(record.replays) for record in RECORDS.values()) >= 100


def test_a_difference_is_noticed(reading: Reading) -> None:
    """One event less, and the answers are others."""
    record = next(record for record in RECORDS.values() if record.id.startswith("dep_") and len(record.journal) > 3)
    shorter = Record(record.name, record.id, record.cut(len(record.journal) - 1))
    recorded = RECORDED[record.name]
    assert any(
        label not in recorded or not same(answer, recorded[label]) for label, answer in answers(reading, shorter)
    )

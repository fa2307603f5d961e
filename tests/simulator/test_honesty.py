"""The fake DynamoDB is honest: on the same requests it answers as moto and a real engine do, to the last item and unit."""

from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Tables
from tests.simulator.__main__ import outcome
from tests.simulator.dynamo import HELD, INDEXES, FakeDynamo
from tests.simulator.expressions import Item
from tests.simulator.operations import Operation, expressions, recorded

SEEDS: Final = (1, 2, 3)
COUNT: Final = 500  # requests of a seed
# Two thousand in all; moto is slow.
RUNS: Final = (
    pytest.param("ministack", 1, marks=pytest.mark.real_engine),
    ("ministack", 2),
    ("ministack", 3),
    ("moto", 1),
)
WRITES: Final = frozenset({"put_item", "update_item", "transact_write_items"})
READS: Final = frozenset({"get_item", "batch_get_item", "query"})
SEEN: Final = ("Item", "Items", "Responses", "UnprocessedKeys", "LastEvaluatedKey")

# Every difference that is left out of the comparison, by the engine that shows it, and why it may be.
KNOWN: Final = {
    ("moto", "a full last page names no place to go on"): (
        "DynamoDB, ministack and the fake name one, and the next page is empty; moto looks ahead. Our store copes with both."
    ),
    ("moto", "write units"): "It counts one for a write of any size, and none for a transaction.",
    ("ministack", "a token that is sent again costs units"): (
        "It counts, as DynamoDB does, the items that it read; the fake counts writes only."
    ),
    ("both", "texts of errors"): "Nobody reads them: codes, reasons and images decide.",
    ("both", "indexes that lag"): "Theirs never do. The fake's lag is nothing here, and a fault in a history.",
}

Answer = dict[str, Any]


def answer(client: Any, operation: Operation, **more: Any) -> tuple[Answer, float | None]:
    """What our store can see of an answer, and the write units it cost where the engine says so."""
    try:
        found = getattr(client, operation.method)(**operation.parameters, **more)
    except ClientError as error:
        told: Any = error.response
        reasons = [(one["Code"], one.get("Item")) for one in told.get("CancellationReasons", [])]
        return {"error": told["Error"]["Code"], "item": told.get("Item"), "reasons": reasons}, None
    seen = {name: found[name] for name in SEEN if found.get(name)}
    return seen, units(found["ConsumedCapacity"]) if "ConsumedCapacity" in found else None


def units(consumed: Any) -> float | None:
    tables = consumed if isinstance(consumed, list) else [consumed]
    if any("ReadCapacityUnits" in table for table in tables):
        return None  # a token that was sent again
    return sum(float(table["CapacityUnits"]) for table in tables)


def known(engine: str, operation: Operation, seen: Answer) -> Answer:
    """The fake's answer as that engine would give it."""
    full = len(seen.get("Items", [])) == operation.parameters.get("Limit")
    if engine == "moto" and full:
        return {name: part for name, part in seen.items() if name != "LastEvaluatedKey"}
    return seen


def everything(client: Any, table: str, index: str | None = None) -> list[Item]:
    """All that a table or an index holds, by key."""
    more: dict[str, Any] = {"IndexName": index} if index is not None else {}
    found: list[Item] = []
    while True:
        page = client.scan(TableName=table, **more)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return sorted(found, key=lambda item: str(item["pk"]["S"]))
        more["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def index_of(fake: FakeDynamo, index: str) -> list[Item]:
    """The items that have the keys of an index, with these keys and what the index holds besides."""
    names = ("pk", *INDEXES[index])
    rows = (
        {name: item[name] for name in {*names, *HELD[index]} if name in item}
        for item in fake.items.values()
        if all(name in item for name in names)
    )
    return sorted(rows, key=lambda item: str(item["pk"]["S"]))


@pytest.mark.parametrize(("dynamodb", "seed"), RUNS, indirect=["dynamodb"])
def test_the_fake_answers_as_the_engines_do(table: Tables, seed: int, request: pytest.FixtureRequest) -> None:
    engine = request.node.callspec.params["dynamodb"]
    fake = FakeDynamo()
    differences = []
    for number, operation in enumerate(recorded(seed, COUNT, table.name)):
        before = fake.units
        here, _ = answer(fake, operation)
        asked = {"ReturnConsumedCapacity": "INDEXES"} if operation.method in WRITES else {}
        there, cost = answer(table.client, operation, **asked)
        if known(engine, operation, here) != known(engine, operation, there):
            differences.append(f"{number} {operation.told()}\n  fake {here}\n  {engine} {there}")
        if engine == "ministack" and cost is not None and cost != fake.units - before:
            differences.append(f"{number} {operation.told()}\n  fake {fake.units - before}, {engine} {cost} units")
    assert not differences, f"{len(differences)} differences, the first:\n{differences[0]}"
    assert everything(table.client, table.name) == [fake.items[pk] for pk in sorted(fake.items)]
    for index in INDEXES:
        assert everything(table.client, table.name, index) == index_of(fake, index)


def test_the_requests_are_worth_comparing() -> None:
    """Each kind of write succeeds often and fails often, each for every reason that it has."""
    told: dict[tuple[str, str | None], int] = {}
    going_on = 0
    for seed in SEEDS:
        fake = FakeDynamo()
        for operation in recorded(seed, COUNT, f"earnest-{seed}"):
            seen, _ = answer(fake, operation)
            kind = (operation.method, seen.get("error"))
            told[kind] = told.get(kind, 0) + 1
            going_on += "ExclusiveStartKey" in operation.parameters
    failures = {
        ("put_item", "ConditionalCheckFailedException"),
        ("update_item", "ConditionalCheckFailedException"),
        ("transact_write_items", "TransactionCanceledException"),
        ("transact_write_items", "IdempotentParameterMismatchException"),
    }
    assert told.keys() == {(method, None) for method in WRITES | READS} | failures
    assert min(told.values()) >= 5, told
    assert going_on >= 5


def test_every_expression_of_a_history_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = {one for seed in SEEDS for each in recorded(seed, COUNT, "earnest") for one in expressions(each)}
    written: set[str] = set()

    def recording(method: str) -> Any:
        real = getattr(FakeDynamo, method)

        def call(engine: FakeDynamo, **parameters: Any) -> Any:
            written.update(expressions(Operation(method, parameters)))
            return real(engine, **parameters)

        return call

    for method in WRITES | READS:
        monkeypatch.setattr(FakeDynamo, method, recording(method))
    for seed in range(5):
        outcome(seed)
    assert written
    assert written <= compared

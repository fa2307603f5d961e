"""What the store relies on, asked of all three engines; and that our shim still fits the moto it is pinned to."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models import dynamodb_backends
from mypy_boto3_dynamodb import DynamoDBClient

from chalicelib.store import schema
from local.engine import Engine, EngineFailed
from tests import moto_shim
from tests.conftest import Tables
from tests.engines import dynamodb_client

pytestmark = pytest.mark.real_engine

DEPOSIT: dict[str, Any] = {
    "pk": {"S": "dep_1"},
    "v": {"N": "1"},
    "journal": {"L": [{"M": {"t": {"S": "created"}}}]},
    "by_buyer": {"S": "buyer#1"},
    "by_offer": {"S": "offer#1"},
    "created": {"N": "1"},
    "due_shard": {"S": "time#00"},
    "due": {"N": "2"},
}


@pytest.fixture
def tables(table: Tables) -> Tables:
    """The test's tables with one deposit in them."""
    table.client.put_item(TableName=table.name, Item=DEPOSIT)
    return table


def append(tables: Tables, version: int, **more: Any) -> Any:
    """The store's write in small: one event more, if nobody was faster."""
    return tables.client.update_item(
        TableName=tables.name,
        Key={"pk": {"S": "dep_1"}},
        UpdateExpression="SET journal = list_append(journal, :events), v = v + :n",
        ConditionExpression="v = :v",
        ExpressionAttributeValues={
            ":events": {"L": [{"M": {"t": {"S": "locked"}}}]},
            ":n": {"N": "1"},
            ":v": {"N": str(version)},
        },
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
        **more,
    )


def refusal(call: Callable[[], object]) -> dict[str, Any]:
    """The answer of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call()
    return dict(caught.value.response)


def put(tables: Tables, pk: str, **more: Any) -> Any:
    return {"Put": {"TableName": tables.name, "Item": {"pk": {"S": pk}}, **more}}


def exists(tables: Tables, pk: str) -> bool:
    return "Item" in tables.client.get_item(TableName=tables.name, Key={"pk": {"S": pk}}, ConsistentRead=True)


def test_a_lost_creation_hands_back_who_was_first(tables: Tables) -> None:
    answer = refusal(
        lambda: tables.client.put_item(
            TableName=tables.name,
            Item={"pk": {"S": "dep_1"}},
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    )
    assert answer["Error"]["Code"] == "ConditionalCheckFailedException"
    assert answer["Item"] == DEPOSIT


def test_an_append_grows_the_journal_once(tables: Tables) -> None:
    append(tables, 1)
    answer = refusal(lambda: append(tables, 1))
    assert answer["Error"]["Code"] == "ConditionalCheckFailedException"
    assert answer["Item"]["v"] == {"N": "2"}
    assert [event["M"]["t"]["S"] for event in answer["Item"]["journal"]["L"]] == ["created", "locked"]


def test_a_cancelled_transaction_says_why_and_leaves_nothing(tables: Tables) -> None:
    condition = {
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    writes = [put(tables, "key_1"), put(tables, "dep_1", **condition)]
    answer = refusal(lambda: tables.client.transact_write_items(TransactItems=writes))
    assert answer["Error"]["Code"] == "TransactionCanceledException"
    assert [reason["Code"] for reason in answer["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
    assert answer["CancellationReasons"][1]["Item"] == DEPOSIT
    assert not exists(tables, "key_1")


def test_a_token_answers_the_same_request_only(tables: Tables) -> None:
    bump: Any = {
        "Update": {
            "TableName": tables.name,
            "Key": {"pk": {"S": "dep_1"}},
            "UpdateExpression": "ADD v :n",
            "ExpressionAttributeValues": {":n": {"N": "1"}},
        }
    }
    for _ in range(2):
        tables.client.transact_write_items(TransactItems=[bump], ClientRequestToken="one")
    assert tables.client.get_item(TableName=tables.name, Key={"pk": {"S": "dep_1"}})["Item"]["v"] == {"N": "2"}
    other = [put(tables, "key_2")]
    answer = refusal(lambda: tables.client.transact_write_items(TransactItems=other, ClientRequestToken="one"))
    assert answer["Error"]["Code"] == "IdempotentParameterMismatchException"


def test_an_index_holds_only_items_that_have_its_keys(tables: Tables) -> None:
    def found(index: str, key: str, value: str) -> list[dict[str, Any]]:
        return tables.client.query(
            TableName=tables.name,
            IndexName=index,
            KeyConditionExpression="#key = :value",
            ExpressionAttributeNames={"#key": key},
            ExpressionAttributeValues={":value": {"S": value}},
        )["Items"]

    tables.client.put_item(TableName=tables.name, Item={"pk": {"S": "terms_1"}, "created": {"N": "1"}})
    assert [item["pk"]["S"] for item in found("by_buyer", "by_buyer", "buyer#1")] == ["dep_1"]
    assert [item["pk"]["S"] for item in found("due", "due_shard", "time#00")] == ["dep_1"]
    assert found("open", "open", "merchant#1") == []
    assert set(found("due", "due_shard", "time#00")[0]) == {"pk", "due_shard", "due"}


def moved(tables: Tables, day: str) -> list[dict[str, Any]]:
    """What the day's index shows."""
    return tables.client.query(
        TableName=tables.name,
        IndexName="moved",
        KeyConditionExpression="#day = :day AND #pk > :after",
        ExpressionAttributeNames={"#day": "moved", "#pk": "pk"},
        ExpressionAttributeValues={":day": {"S": day}, ":after": {"S": "dep_"}},
    )["Items"]


def move(tables: Tables, pk: str, day: str, lines: str) -> dict[str, float]:
    """A deposit's place in the day's index and what it shows there; the units that each index took."""
    answer = tables.client.update_item(
        TableName=tables.name,
        Key={"pk": {"S": pk}},
        UpdateExpression="SET #moved = :moved, #lines = :lines",
        ExpressionAttributeNames={"#moved": "moved", "#lines": "lines"},
        ExpressionAttributeValues={":moved": {"S": day}, ":lines": {"S": lines}},
        ReturnConsumedCapacity="INDEXES",
    )
    parts: Any = answer.get("ConsumedCapacity", {}).get("GlobalSecondaryIndexes", {})
    return {name: part["CapacityUnits"] for name, part in parts.items()}


def test_the_day_of_a_movement_shows_its_lines_and_nothing_else_sorted_by_deposit(tables: Tables) -> None:
    for pk in ("dep_3", "dep_1", "dep_2"):
        move(tables, pk, "20261121#00", f"lines of {pk}")
    move(tables, "dep_0", "20261121#01", "in another shard")
    assert moved(tables, "20261121#00") == [
        {"pk": {"S": pk}, "moved": {"S": "20261121#00"}, "lines": {"S": f"lines of {pk}"}}
        for pk in ("dep_1", "dep_2", "dep_3")
    ]
    move(tables, "dep_2", "20261122#00", "later")
    assert [item["pk"]["S"] for item in moved(tables, "20261121#00")] == ["dep_1", "dep_3"]
    assert [item["lines"]["S"] for item in moved(tables, "20261122#00")] == ["later"]


@pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)  # moto does not count
def test_the_day_of_a_movement_costs_one_unit_where_it_comes_or_changes_and_two_where_the_day_does(
    tables: Tables,
) -> None:
    costs = [
        # the day, and what the index shows; what that costs
        ("20261121#00", "one line", {"moved": 1}),
        ("20261121#00", "one line", {}),
        ("20261121#00", "two lines", {"moved": 1}),
        ("20261122#00", "two lines", {"moved": 2}),
        ("20261122#00", "x" * 1_024, {"moved": 2}),  # it is over 1 kB then
    ]
    assert [(day, lines, move(tables, "dep_1", day, lines)) for day, lines, _ in costs] == costs


def test_a_batch_has_its_limit(tables: Tables) -> None:
    writes: Any = [{"PutRequest": {"Item": {"pk": {"S": f"key_{number}"}}}} for number in range(26)]
    answer = refusal(lambda: tables.client.batch_write_item(RequestItems={tables.name: writes}))
    assert answer["Error"]["Code"] == "ValidationException"


def test_one_of_many_threads_wins(tables: Tables) -> None:
    start = threading.Barrier(8)

    def attempt(_: int) -> bool:
        start.wait()
        try:
            append(tables, 1)
        except tables.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1


@pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)  # moto does not count
def test_the_cost_of_a_creation_is_the_item_and_its_indexes(table: Tables) -> None:
    answer = table.client.put_item(TableName=table.name, Item=DEPOSIT, ReturnConsumedCapacity="INDEXES")
    consumed = answer["ConsumedCapacity"]
    assert consumed["CapacityUnits"] == 4
    assert {name: cost["CapacityUnits"] for name, cost in consumed["GlobalSecondaryIndexes"].items()} == {
        "by_buyer": 1,
        "by_offer": 1,
        "due": 1,
    }


def test_tables_are_created_once(table: Tables) -> None:
    schema.create_tables(*table)


def test_the_engine_keeps_items_over_a_stop_and_its_folder_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.engine.LOCK_SECONDS", 0)
    with Engine.start(tmp_path) as first:
        client = dynamodb_client(first.url)
        schema.create_tables(client, "earnest", "sandbox")
        client.put_item(TableName="earnest", Item=DEPOSIT)
        client.close()
        with pytest.raises(EngineFailed, match="STATE_DIR"):
            Engine.start(tmp_path)
    with Engine.start(tmp_path) as second:
        client = dynamodb_client(second.url)
        assert client.get_item(TableName="earnest", Key={"pk": DEPOSIT["pk"]})["Item"] == DEPOSIT
        client.close()


def test_the_shim_fits_this_moto() -> None:
    gone = [f"{owner.__name__}.{name}" for owner, name in moto_shim.PATCHES if not callable(getattr(owner, name, None))]
    assert not gone, f"moto changed: {gone}; look again at tests/moto_shim.py before trusting any store test"


def test_the_shim_undoes_single_items_and_their_stream_records(in_process: DynamoDBClient) -> None:
    tables = Tables(in_process, "earnest-shim", "sandbox-shim")
    schema.create_tables(*tables)
    backend = dynamodb_backends["123456789012"]["eu-central-1"]
    inside = backend.tables[tables.name]
    writes = [put(tables, "key_1"), put(tables, "key_2", ConditionExpression="attribute_exists(pk)")]
    refusal(lambda: in_process.transact_write_items(TransactItems=writes))
    assert not inside.items
    assert inside.stream_shard is not None
    assert inside.stream_shard.items == []
    assert backend.tables[tables.name] is inside, "moto put a copy in place, which costs time with every item stored"

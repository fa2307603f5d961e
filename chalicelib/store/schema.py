"""The tables, as arguments of CreateTable. deploy/infra.json states the first again; a test compares the two."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def _index(name: str, partition: str, sort: str, *attributes: str) -> dict[str, Any]:
    """An index that lists items has keys only; one that is read instead of journals has the ``attributes`` too."""
    projection = (
        {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(attributes)}
        if attributes
        else {"ProjectionType": "KEYS_ONLY"}
    )
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": partition, "KeyType": "HASH"},
            {"AttributeName": sort, "KeyType": "RANGE"},
        ],
        "Projection": projection,
    }


TABLE: Final[dict[str, Any]] = {
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "by_buyer", "AttributeType": "S"},
        {"AttributeName": "by_offer", "AttributeType": "S"},
        {"AttributeName": "created", "AttributeType": "N"},
        {"AttributeName": "open", "AttributeType": "S"},
        {"AttributeName": "promised", "AttributeType": "N"},
        {"AttributeName": "due_shard", "AttributeType": "S"},
        {"AttributeName": "due", "AttributeType": "N"},
        {"AttributeName": "moved", "AttributeType": "S"},
        {"AttributeName": "claims", "AttributeType": "S"},
        {"AttributeName": "claims_shard", "AttributeType": "S"},
        {"AttributeName": "claim_due", "AttributeType": "N"},
    ],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        _index("by_buyer", "by_buyer", "created"),
        _index("by_offer", "by_offer", "created"),
        _index("open", "open", "promised"),
        _index("due", "due_shard", "due"),
        _index("moved", "moved", "pk", "lines"),
        _index("claims", "claims", "claim_due"),
        _index("all_claims", "claims_shard", "claim_due"),
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
}

SANDBOX_TABLE: Final[dict[str, Any]] = {
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ],
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


def create_tables(client: "DynamoDBClient", table: str, sandbox: str) -> None:
    """Create what is missing, for one machine and tests; on AWS the template does it. Safe to call at every start."""
    for name, shape in ((table, TABLE), (sandbox, SANDBOX_TABLE)):
        try:
            client.create_table(TableName=name, **shape)
        except client.exceptions.ResourceInUseException:
            continue

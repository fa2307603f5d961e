"""Calls of DynamoDB: its errors become exceptions that a flow can act on, and actions that several stores share."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.store import WriteContention
from chalicelib.store.codec import Wire, encode

Item = Mapping[str, Wire]

# Errors that pass by themselves. A write that ended this way may have happened: the caller repeats it with the same key.
TRANSIENT: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ServiceUnavailable",
        "TransactionInProgressException",
    }
)
CONTENDED: Final = frozenset({"TransactionConflictException"})
ALL_OLD: Final = "ALL_OLD"
MAX_BATCH_KEYS: Final = 100  # of one BatchGetItem
CONDITION: Final = "ConditionalCheckFailed"
CONFLICT: Final = "TransactionConflict"


class ConditionFailed(Exception):
    """A condition did not hold. ``items`` has one image for each action, None where its condition held."""

    def __init__(self, failed: Sequence[bool], items: Sequence[Item | None]) -> None:
        super().__init__("condition failed")
        self.failed = failed
        self.items = items


def send(call: Callable[..., Any], **parameters: Any) -> Any:
    """One call. Raises ConditionFailed, WriteContention, or Refused(BUSY) for errors that pass; any other is a bug."""
    try:
        return call(**parameters)
    except ClientError as error:
        raise _classify(error) from error
    except (HTTPClientError, NotConnected) as error:
        raise Refused(Reason.BUSY, retry_after=1) from error


def key(item_id: str) -> dict[str, Wire]:
    return {"pk": {"S": item_id}}


def get_item(client: Any, table: str, item_id: str) -> Item | None:
    """The item by a consistent read, or None."""
    item: Item | None = send(client.get_item, TableName=table, Key=key(item_id), ConsistentRead=True).get("Item")
    return item


def batch_get(client: Any, table: str, ids: Sequence[str], **options: Any) -> Iterator[Item]:
    """Those items that exist, in any order, with one call for a hundred. Keys left unprocessed are asked for again."""
    for start in range(0, len(ids), MAX_BATCH_KEYS):
        wanted: Any = {table: {"Keys": [key(item_id) for item_id in ids[start : start + MAX_BATCH_KEYS]], **options}}
        while wanted:
            answer = send(client.batch_get_item, RequestItems=wanted)
            yield from answer["Responses"].get(table, [])
            wanted = answer.get("UnprocessedKeys")


def put_new(table: str, item: Item) -> dict[str, Any]:
    """The action that writes an item under the condition that it does not exist."""
    return {
        "TableName": table,
        "Item": item,
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": ALL_OLD,
    }


def update_action(
    table: str,
    item_id: str,
    expression: str,
    condition: str,
    values: Mapping[str, int | str],
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """The action that updates an item under a condition. ``values`` as ``:name``, ``names`` as ``#name``."""
    action: dict[str, Any] = {
        "TableName": table,
        "Key": key(item_id),
        "UpdateExpression": expression,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {f":{name}": encode(value) for name, value in values.items()},
        "ReturnValuesOnConditionCheckFailure": ALL_OLD,
    }
    if names:
        action["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
    return {"Update": action}


def transact(client: Any, actions: Sequence[Mapping[str, Any]]) -> None:
    """Write all actions or none. The token is the request's digest, so it covers re-sends of the same request only."""
    send(client.transact_write_items, TransactItems=list(actions), ClientRequestToken=token(actions))


def token(actions: Sequence[Mapping[str, Any]]) -> str:
    """DynamoDB allows at most 36 characters."""
    return hashlib.sha256(json.dumps(actions, sort_keys=True, default=bytes.hex).encode()).hexdigest()[:36]


def _classify(error: ClientError) -> Exception:
    code = error.response["Error"]["Code"]
    if code == "ConditionalCheckFailedException":
        return ConditionFailed([True], [_item(error.response)])
    if code in CONTENDED:
        return WriteContention()
    if code == "TransactionCanceledException":
        return _cancelled(error.response.get("CancellationReasons", []))
    if code in TRANSIENT:
        return Refused(Reason.BUSY, retry_after=1)
    return error


def _cancelled(reasons: Sequence[Mapping[str, Any]]) -> Exception:
    """A failed condition counts before a conflict. A conflict alone can be tried again at once; the rest passes."""
    failed = [reason.get("Code") == CONDITION for reason in reasons]
    if any(failed):
        return ConditionFailed(failed, [_item(reason) for reason in reasons])
    if any(reason.get("Code") == CONFLICT for reason in reasons):
        return WriteContention()
    return Refused(Reason.BUSY, retry_after=1)


def _item(holder: Mapping[str, Any]) -> Item | None:
    return holder.get("Item") or None

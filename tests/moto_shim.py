"""moto's DynamoDB made fit for tests with threads: one lock, rollback of single items, remembered tokens.

As it comes, moto 5.2.5 loses acknowledged writes when threads meet, copies whole tables for every transaction, ignores
ClientRequestToken and takes any number of writes in a batch. ``installed()`` mends these four for as long as it lasts.
It replaces methods of moto, so moto is pinned, and tests/contracts/test_engine.py fails when a name has gone.
"""

import copy
import json
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from moto.dynamodb.exceptions import ERROR_TYPE_PREFIX, DynamodbException, MockValidationException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

TOKEN_SECONDS: Final = 600  # as long as DynamoDB remembers a token
BATCH_LIMIT: Final = 25  # BatchWriteItem's published limit

Call: TypeAlias = Callable[..., Any]
_lock: Final = threading.RLock()
_tokens: Final[dict[tuple[str, str, str], tuple[float, str, Any]]] = {}


class _TokenMismatch(DynamodbException):
    def __init__(self) -> None:
        kind = f"{ERROR_TYPE_PREFIX}IdempotentParameterMismatchException"
        super().__init__(kind, message="The token was used with other parameters")


@contextmanager
def installed() -> Iterator[None]:
    """Mend moto for the length of the block."""
    with ExitStack() as stack:
        for (owner, name), wrap in PATCHES.items():
            stack.enter_context(patch.object(owner, name, wrap(getattr(owner, name))))
        yield
    _tokens.clear()


def _one_at_a_time(call: Call) -> Call:
    def call_action(handler: DynamoHandler) -> Any:
        with _lock:
            return call(handler)

    return call_action


def _remembering_tokens(call: Call) -> Call:
    """Only what was accepted is remembered; a cancelled transaction may be sent again."""

    def transact_write_items(handler: DynamoHandler) -> Any:
        token = handler.body.get("ClientRequestToken")
        if not token:
            return call(handler)
        place = (handler.current_account, handler.region, token)
        request = json.dumps(handler.body, sort_keys=True, default=str)
        at, known, answer = _tokens.get(place, (float("-inf"), "", None))
        if time.monotonic() - at < TOKEN_SECONDS:
            if known != request:
                raise _TokenMismatch
            return answer
        answer = call(handler)
        _tokens[place] = (time.monotonic(), request, answer)
        return answer

    return transact_write_items


def _within_the_batch_limit(call: Call) -> Call:
    def batch_write_item(handler: DynamoHandler) -> Any:
        if sum(map(len, handler.body["RequestItems"].values())) > BATCH_LIMIT:
            raise MockValidationException("Too many items requested for the BatchWriteItem call")
        return call(handler)

    return batch_write_item


def _undoing_items(call: Call) -> Call:
    """moto rolls back by whole copies of its tables; here a copy is the table itself and we put the items back."""

    def transact_write_items(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        undo = [_undo(backend, *action.values()) for action in transact_items]
        with patch.object(Table, "__deepcopy__", lambda table, _: table, create=True):
            try:
                call(backend, transact_items)
            except Exception:
                for put_back in reversed(undo):
                    put_back()
                raise

    return transact_write_items


def _undo(backend: DynamoDBBackend, action: dict[str, Any], *_: object) -> Callable[[], None]:
    """How to make one item, and the stream of its table, what they are now."""
    table = backend.tables.get(action["TableName"])
    key = action.get("Key") or action.get("Item") or {}
    if table is None or not all(name in key for name in table.table_key_attrs):
        return lambda: None  # moto will refuse it before it changes anything
    place, name = _place(table, key)
    before = copy.deepcopy(place.get(name))
    records = table.stream_shard.items if table.stream_shard else []
    length = len(records)

    def put_back() -> None:
        del records[length:]
        if before is None:
            place.pop(name, None)
        else:
            place[name] = before

    return put_back


def _place(table: Table, key: dict[str, Any]) -> tuple[MutableMapping[Any, Any], DynamoType]:
    """The mapping that holds an item, and the item's name in it."""
    partition = DynamoType(key[table.hash_key_attr])
    if table.range_key_attr is None:
        return table.items, partition
    return table.items[partition], DynamoType(key[table.range_key_attr])


PATCHES: Final[dict[tuple[type, str], Callable[[Call], Call]]] = {
    (DynamoHandler, "call_action"): _one_at_a_time,
    (DynamoHandler, "transact_write_items"): _remembering_tokens,
    (DynamoHandler, "batch_write_item"): _within_the_batch_limit,
    (DynamoDBBackend, "transact_write_items"): _undoing_items,
}

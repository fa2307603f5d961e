"""How DynamoDB is asked: one place that knows its errors and turns them into what a flow can act on."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.store import WriteContention
from chalicelib.store.codec import Wire

Item = Mapping[str, Wire]

# What passes by itself. A write that ended this way may have happened: the caller asks again with the same key.
PASSING: Final = frozenset(
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
CONDITION: Final = "ConditionalCheckFailed"
CONFLICT: Final = "TransactionConflict"


class ConditionFailed(Exception):
    """A condition did not hold. ``items`` are the images found, one for each action, None where it held."""

    def __init__(self, failed: Sequence[bool], items: Sequence[Item | None]) -> None:
        super().__init__("condition failed")
        self.failed = failed
        self.items = items


def send(call: Callable[..., Any], **parameters: Any) -> Any:
    """One call. ConditionFailed, Contended, or Refused(BUSY) for what passes by itself; the rest is a bug."""
    try:
        return call(**parameters)
    except ClientError as error:
        raise _told_apart(error) from error
    except (HTTPClientError, NotConnected) as error:
        raise Refused(Reason.BUSY, retry_after=1) from error


def transact(client: Any, actions: Sequence[Mapping[str, Any]]) -> None:
    """All actions or none. The token is the digest of the request: it covers re-sends of this very request only."""
    send(client.transact_write_items, TransactItems=list(actions), ClientRequestToken=token(actions))


def token(actions: Sequence[Mapping[str, Any]]) -> str:
    """36 characters at most are allowed."""
    return hashlib.sha256(json.dumps(actions, sort_keys=True, default=bytes.hex).encode()).hexdigest()[:36]


def _told_apart(error: ClientError) -> Exception:
    code = error.response["Error"]["Code"]
    if code == "ConditionalCheckFailedException":
        return ConditionFailed([True], [_item(error.response)])
    if code in CONTENDED:
        return WriteContention()
    if code == "TransactionCanceledException":
        return _cancelled(error.response.get("CancellationReasons", []))
    if code in PASSING:
        return Refused(Reason.BUSY, retry_after=1)
    return error


def _cancelled(reasons: Sequence[Mapping[str, Any]]) -> Exception:
    """A condition that failed outweighs a conflict; a conflict alone is worth another try; the rest passes."""
    failed = [reason.get("Code") == CONDITION for reason in reasons]
    if any(failed):
        return ConditionFailed(failed, [_item(reason) for reason in reasons])
    if any(reason.get("Code") == CONFLICT for reason in reasons):
        return WriteContention()
    return Refused(Reason.BUSY, retry_after=1)


def _item(holder: Mapping[str, Any]) -> Item | None:
    found = holder.get("Item")
    return found if found else None

"""A journal is one item: read it, begin it, add to it under the condition that nobody else did, or push its due time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic

from chalicelib.core.common.journal import Caller, E_co, Entry, Key
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import DuePage, Leased, Page, VersionConflict
from chalicelib.store.codec import Wire, encode, members, reader
from chalicelib.store.requests import ConditionFailed, Item, send

ALL_OLD: Final = "ALL_OLD"
IDS: Final = 1_000  # keys that one query asks for
BATCH: Final = 100  # keys that one BatchGetItem takes
INDEXED: Final = ("open", "promised", "due_shard", "due", "moved", "lines", "claims", "claims_shard", "claim_due")


class Journals(Generic[E_co]):
    """Journals of one kind of event in the table. ``kinds`` are the event classes by their public name."""

    def __init__(self, client: Any, table: str, kinds: Mapping[str, type[Any]]) -> None:
        self._client = client
        self._table = table
        self._kinds = kinds

    def get(self, item_id: str) -> Stored[E_co] | None:
        answer = send(self._client.get_item, TableName=self._table, Key=key(item_id), ConsistentRead=True)
        return self.read(answer["Item"]) if "Item" in answer else None

    def begun(self, item_id: str, entries: Sequence[Entry[E_co]], indexed: Mapping[str, Wire]) -> dict[str, Any]:
        """The action that begins a journal, for a transaction or for ``put``."""
        item = {
            "pk": {"S": item_id},
            "journal": self._entries(entries),
            "v": {"N": str(len(entries))},
            "n": {"N": str(len(entries))},
            **indexed,
        }
        return {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": ALL_OLD,
        }

    def added(
        self, stored: Stored[E_co], entries: Sequence[Entry[E_co]], indexed: Mapping[str, Wire]
    ) -> dict[str, Any]:
        """The action that adds to a journal as it was read. What is not in ``indexed`` leaves its index."""
        gone = [name for name in INDEXED if name not in indexed]
        removed = ", ".join(f"#{name}" for name in gone)
        sets = "".join(f", #{name} = :{name}" for name in indexed)
        return {
            "TableName": self._table,
            "Key": key(stored.id),
            "UpdateExpression": f"SET journal = list_append(journal, :entries), v = v + :n, n = :n{sets}"
            f" REMOVE lease_owner, lease_until, failures{', ' if removed else ''}{removed}",
            "ConditionExpression": "v = :v",
            "ExpressionAttributeNames": {f"#{name}": name for name in (*indexed, *gone)},
            "ExpressionAttributeValues": {
                ":entries": self._entries(entries),
                ":n": {"N": str(len(entries))},
                ":v": {"N": str(stored.version)},
                **{f":{name}": value for name, value in indexed.items()},
            },
            "ReturnValuesOnConditionCheckFailure": ALL_OLD,
        }

    def put(self, action: Mapping[str, Any]) -> None:
        self._alone(self._client.put_item, action)

    def update(self, action: Mapping[str, Any]) -> None:
        self._alone(self._client.update_item, action)

    def touch(self, stored: Stored[E_co], due: int, *, owner: str, until: int, now: int, failures: int) -> None:
        """Push ``due`` and take the lease if it is free, past or ours. The journal and its version stay."""
        try:
            send(
                self._client.update_item,
                TableName=self._table,
                Key=key(stored.id),
                UpdateExpression="SET due = :due, n = :zero, failures = :failures,"
                " lease_owner = :owner, lease_until = :until",
                ConditionExpression="v = :v AND attribute_exists(due)"
                " AND (attribute_not_exists(lease_until) OR lease_until <= :now OR lease_owner = :owner)",
                ExpressionAttributeValues={
                    ":due": {"N": str(due)},
                    ":zero": {"N": "0"},
                    ":failures": {"N": str(failures)},
                    ":owner": {"S": owner},
                    ":until": {"N": str(until)},
                    ":now": {"N": str(now)},
                    ":v": {"N": str(stored.version)},
                },
                ReturnValuesOnConditionCheckFailure=ALL_OLD,
            )
        except ConditionFailed as failed:
            found = self.image(failed.items[0])
            if found.version == stored.version:
                raise Leased from None
            raise VersionConflict(found) from None

    def image(self, item: Item | None) -> Stored[E_co]:
        """The item that a failed condition handed back."""
        assert item is not None, "the condition failed on an item that is there"
        return self.read(item)

    def read(self, item: Item) -> Stored[E_co]:
        return Stored(
            id=item["pk"]["S"],
            journal=tuple(self._entry(wire) for wire in item["journal"]["L"]),
            due=int(item["due"]["N"]) if "due" in item else None,
            failures=int(item["failures"]["N"]) if "failures" in item else 0,
        )

    def page(
        self,
        index: str,
        partitions: Sequence[str],
        sort: str,
        limit: int,
        position: Mapping[str, object] | None,
        *,
        newest_first: bool = True,
    ) -> Page[E_co]:
        """A page over one or several partitions of an index, merged by their sort key, then read from the table.

        The position is the last row's instant and id. Rows of one instant go by id, so ties lose and repeat nothing.
        """
        sign = -1 if newest_first else 1
        after = (sign * int(str(position["at"])), str(position["id"])) if position else None
        found = sorted(
            place
            for partition in partitions
            for place in self._places(index, partition, sort, limit + 1, sign, after)
            if after is None or place > after
        )
        chosen = found[:limit]
        stored = self._batch([item_id for _, item_id in chosen])
        rows = tuple(stored[item_id] for _, item_id in chosen if item_id in stored)
        more = len(found) > limit
        return Page(rows, {"at": sign * chosen[-1][0], "id": chosen[-1][1]} if more else None)

    def due(self, partition: str, until: int, limit: int, position: Mapping[str, Wire] | None = None) -> DuePage:
        """The ids of a due queue up to an instant, earliest first, behind the position of an earlier page."""
        answer = self._query(
            "due", partition, "due", limit, forward=True, condition="#s <= :at", at=until, start=position
        )
        return DuePage([item["pk"]["S"] for item in answer["Items"]], answer.get("LastEvaluatedKey"))

    def ids(self, index: str, partition: str) -> Iterator[str]:
        """All ids of a partition, in the order of its index."""
        start: Mapping[str, Wire] | None = None
        while True:
            answer = self._query(index, partition, "", IDS, forward=True, start=start)
            yield from (item["pk"]["S"] for item in answer["Items"])
            start = answer.get("LastEvaluatedKey")
            if start is None:
                return

    def _places(
        self, index: str, partition: str, sort: str, wanted: int, sign: int, after: tuple[int, str] | None
    ) -> list[tuple[int, str]]:
        """At least so many places behind ``after``, if there are, and the last instant's whole: an index gives the rows
        of one instant in an order of its own. Instants carry the sign that makes the list ascend."""
        found: list[tuple[int, str]] = []
        start: Mapping[str, Wire] | None = None
        condition = "" if after is None else "#s >= :at" if sign > 0 else "#s <= :at"
        while True:
            answer = self._query(
                index,
                partition,
                sort,
                wanted + 1,
                forward=sign > 0,
                condition=condition,
                at=sign * after[0] if after is not None else None,
                start=start,
            )
            places = ((sign * int(item[sort]["N"]), item["pk"]["S"]) for item in answer["Items"])
            found += [place for place in places if after is None or place > after]
            start = answer.get("LastEvaluatedKey")
            if start is None or (len(found) > wanted and found[-1][0] != found[wanted - 1][0]):
                return found

    def _query(
        self,
        index: str,
        partition: str,
        sort: str,
        limit: int,
        *,
        forward: bool,
        condition: str = "",
        at: int | None = None,
        start: Mapping[str, Wire] | None = None,
    ) -> Any:
        names = {"#p": INDEX_KEYS[index]}
        values: dict[str, Wire] = {":p": {"S": partition}}
        if at is not None:
            names["#s"] = sort
            values[":at"] = {"N": str(at)}
        return send(
            self._client.query,
            TableName=self._table,
            IndexName=index,
            KeyConditionExpression=f"#p = :p AND {condition}" if condition else "#p = :p",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ScanIndexForward=forward,
            Limit=limit,
            **({"ExclusiveStartKey": start} if start is not None else {}),
        )

    def _batch(self, ids: Sequence[str]) -> dict[str, Stored[E_co]]:
        found: dict[str, Stored[E_co]] = {}
        for start in range(0, len(ids), BATCH):
            wanted: Any = {self._table: {"Keys": [key(one) for one in ids[start : start + BATCH]]}}
            while wanted:
                answer = send(self._client.batch_get_item, RequestItems=wanted)
                for item in answer["Responses"].get(self._table, []):
                    found[item["pk"]["S"]] = self.read(item)
                wanted = answer.get("UnprocessedKeys")
        return found

    def _alone(self, call: Any, action: Mapping[str, Any]) -> None:
        try:
            send(call, **action)
        except ConditionFailed as failed:
            raise VersionConflict(self.image(failed.items[0])) from None

    def _entries(self, entries: Sequence[Entry[E_co]]) -> Wire:
        return {"L": [self._written(entry) for entry in entries]}

    def _written(self, entry: Entry[E_co]) -> Wire:
        """The envelope in short keys: t type, at, w received, a caller, k and b digests, r renderer, l locale, d data."""
        event: Any = entry.event
        data = members(event)
        at = data.pop("at")
        by = [entry.by.id, entry.by.role] + ([entry.by.merchant] if entry.by.merchant else [])
        wire = {
            "t": encode(event.TYPE),
            "at": at,
            "a": encode(by),
            "r": encode(entry.renderer),
            "l": encode(entry.locale),
            "d": {"M": data},
        }
        if entry.received_at != event.at:
            wire["w"] = encode(entry.received_at)
        if entry.key is not None:
            wire |= {"k": encode(entry.key.scope), "b": encode(entry.key.body)}
        return {"M": wire}

    def _entry(self, wire: Wire) -> Entry[E_co]:
        held = wire["M"]
        kind: Any = self._kinds[held["t"]["S"]]
        event = reader(kind)({"M": {**held["d"]["M"], "at": held["at"]}})
        caller = [part["S"] for part in held["a"]["L"]]
        return Entry(
            event=event,
            received_at=int(held["w"]["N"]) if "w" in held else event.at,
            by=Caller(caller[0], caller[1], caller[2] if len(caller) > 2 else None),  # noqa: PLR2004 - id, role, merchant
            key=Key(bytes(held["k"]["B"]), bytes(held["b"]["B"])) if "k" in held else None,
            locale=held["l"]["S"],
            renderer=int(held["r"]["N"]),
        )


INDEX_KEYS: Final[Mapping[str, str]] = {
    "by_buyer": "by_buyer",
    "by_offer": "by_offer",
    "open": "open",
    "due": "due_shard",
    "claims": "claims",
    "all_claims": "claims_shard",
}


def key(item_id: str) -> dict[str, Wire]:
    return {"pk": {"S": item_id}}

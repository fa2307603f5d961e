"""The client around the fake engine: whatever befalls an answer, each write is judged in its own instant."""

from contextlib import suppress
from random import Random
from typing import Final

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.simulator.client import FaultyClient
from tests.simulator.dynamo import FakeDynamo
from tests.simulator.faults import CLASSES, Faults
from tests.simulator.scheduler import Actor, Scheduler

# What may happen to the answer, and how often the write takes effect then.
EFFECTS: Final = {
    "store.answer_lost_and_sent_again": 2,
    "store.answer_lost": 1,
    "store.internal_error_after": 1,
    "store.not_reached": 0,
    "store.throttled": 0,
}


@pytest.mark.parametrize("fault", EFFECTS)
def test_a_write_is_told_before_anything_else_happens(fault: str) -> None:
    """Else the invariants would compare an old image with the state after a later write."""
    scheduler, pending, told = Scheduler(0), list[str](), list[str]()

    def tell() -> None:
        told.extend(pending)
        pending.clear()

    def write() -> None:
        with suppress(BotoCoreError, ClientError):
            client.put_item(TableName="earnest", Item={"pk": {"S": "dep_1"}, "v": {"N": "1"}})

    engine = FakeDynamo(
        clock=lambda: scheduler.now, watch=lambda key, _before, _after: pending.append(key), counting=False
    )
    faults = Faults({name: 100 if name == fault else 0 for name in CLASSES})
    client = FaultyClient(engine, scheduler, faults, tell)
    scheduler.spawn(Actor("writer", Random(1), write), 0)
    scheduler.drain()
    assert (told, pending) == (["dep_1"] * EFFECTS[fault], [])
    assert faults.hits[fault] == 1

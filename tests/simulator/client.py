"""The DynamoDB client of a simulation: the fake engine with time, crashes and faults."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.simulator.dynamo import FakeDynamo
from tests.simulator.faults import Faults
from tests.simulator.scheduler import Actor, Killed, Scheduler

WRITES: Final = frozenset({"put_item", "update_item", "transact_write_items"})
URL: Final = "https://dynamodb"


class FaultyClient:
    """Each method is one trip: time passes before and after the effect, and anything may go wrong around it."""

    def __init__(
        self, engine: FakeDynamo, scheduler: Scheduler, faults: Faults, done: Callable[[], None] = lambda: None
    ) -> None:
        self._done = done
        self._engine = engine
        self._scheduler = scheduler
        self._faults = faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **parameters: self._trip(name, parameters)

    def _trip(self, name: str, parameters: dict[str, Any]) -> Any:
        actor = self._scheduler.actor
        assert actor is not None, "the store is used by actors"
        random = actor.random
        if self._faults.fast_reads and name not in WRITES:
            return self._at_once(actor, name, parameters)
        self._step(actor, random, "process.crash_before_io")
        write = name in WRITES
        self._before(name, random, write=write)
        answer = self._effect(name, parameters, random, write=write)
        self._step(actor, random, "process.crash_after_io")
        return answer

    def _at_once(self, actor: Actor, name: str, parameters: dict[str, Any]) -> Any:
        """In calm weather reads take no time; the process may die at them all the same."""
        if actor.container is not None and self._faults.strikes("process.crash_before_io", actor.random):
            actor.dead = True
            raise Killed
        return self._effect(name, parameters, actor.random, write=False)

    def _step(self, actor: Actor, random: Random, crash: str) -> None:
        """Half of a trip. The process may be gone or frozen when it would go on."""
        if actor.container is not None and self._faults.strikes(crash, random):
            actor.dead = True
            raise Killed
        pause = random.randrange(1, 15)
        if self._faults.strikes("process.frozen", random):
            pause += random.randrange(1_000, 120_000)
        deadline = actor.deadline
        try:
            self._scheduler.sleep(pause)
        except Killed:
            if deadline is not None and self._scheduler.now > deadline:
                self._faults.hits["process.deadline"] += 1
            raise

    def _before(self, name: str, random: Random, *, write: bool) -> None:
        if self._faults.strikes("store.not_reached", random):
            raise EndpointConnectionError(endpoint_url=URL)
        if self._faults.strikes("store.throttled", random):
            raise _error("ProvisionedThroughputExceededException", name)
        if write and self._faults.strikes("store.conflict", random):
            raise _conflict(name)
        if self._faults.strikes("store.internal_error_before", random):
            raise _error("InternalServerError", name)

    def _effect(self, name: str, parameters: dict[str, Any], random: Random, *, write: bool) -> Any:
        call = getattr(self._engine, name)
        if self._scheduler.actor is not None and self._scheduler.actor.dead:
            raise Killed
        if name == "batch_get_item":
            return self._some_of(call, parameters, random)
        answer = self._send(call, parameters)
        if not write:
            return answer
        if self._faults.strikes("store.internal_error_after", random):
            raise _error("InternalServerError", name)
        lost = _moves_cursor(parameters) and self._faults.strikes("store.cursor_answer_lost", random)
        if lost or self._faults.strikes("store.answer_lost", random):
            raise ReadTimeoutError(endpoint_url=URL)
        if self._faults.strikes("store.answer_lost_and_sent_again", random):
            # The library's own retry: the same request once more, its token too.
            return self._send(call, parameters)
        return answer

    def _send(self, call: Callable[..., Any], parameters: dict[str, Any]) -> Any:
        """Each request that takes effect is told by itself: what a second one writes is judged by the state of its instant."""
        answer = call(**parameters)
        self._done()
        return answer

    def _some_of(self, call: Callable[..., Any], parameters: dict[str, Any], random: Random) -> Any:
        """A page of keys may come back half done."""
        [(table, wanted)] = parameters["RequestItems"].items()
        keys = wanted["Keys"]
        if len(keys) > 1 and self._faults.strikes("store.batch_unprocessed", random):
            answer = call(RequestItems={table: {**wanted, "Keys": keys[:1]}})
            return {**answer, "UnprocessedKeys": {table: {**wanted, "Keys": keys[1:]}}}
        return call(**parameters)


def _moves_cursor(parameters: dict[str, Any]) -> bool:
    """Whether a slice of a reconciliation run saves where it stands."""
    updates = (action.get("Update", {}) for action in parameters.get("TransactItems", ()))
    return any("#cursor" in update.get("ExpressionAttributeNames", {}) for update in updates)


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


def _conflict(name: str) -> ClientError:
    if name != "transact_write_items":
        return _error("TransactionConflictException", name)
    reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
    told: Any = {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons}
    return ClientError(told, name)

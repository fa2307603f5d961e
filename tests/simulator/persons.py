"""Base of the classes that send requests: tokens and keys, what a caller knows, and waiting."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from chalicelib.core.common.instants import HOUR, MINUTE
from tests.simulator.deposit_invariants import DepositRecord
from tests.simulator.plan import Action
from tests.simulator.request_patterns import IntendedRequest, RequestSender
from tests.simulator.tokens import token

if TYPE_CHECKING:
    from tests.simulator.history import History, Reply

ROOT: Final = "/v1/deposits"
ONE: Final = f"{ROOT}/{{deposit_id}}"
REFUSED: Final = frozenset({409, 503})
LONGEST: Final = 6 * HOUR  # how long anybody waits for an instant


class Persons:
    """Each action is an actor that calls one method of a class below this one."""

    def __init__(self, history: "History") -> None:
        self._history = history
        self._sender = RequestSender(history)
        self._orders: dict[int, dict[str, Any]] = {}
        self._shown: dict[int, list[dict[str, Any]]] = {}

    def action_of(self, action: Action) -> Callable[[], None]:
        return lambda: getattr(self, f"_{action.kind}")(action)

    # Requests.

    def _buyer_commands(
        self, action: Action, name: str, body: dict[str, Any], *, plainly: bool = False
    ) -> "Reply | None":
        deposit = self._ordered(action)
        if deposit is None:
            return None
        intended = self._buyer_request(action, f"{ROOT}/{deposit['id']}/{name}", f"{ONE}/{name}", body, name)
        return self._send_command(name, intended, plainly=plainly)

    def _merchant_commands(
        self, action: Action, name: str, body: dict[str, Any], *, plainly: bool = False
    ) -> "Reply | None":
        deposit = self._ordered(action)
        if deposit is None:
            return None
        intended = IntendedRequest(
            who="shop",
            bearer=token("merchant", "shop", "mer_shop"),
            stranger=token("merchant", "thief", "mer_thief"),
            path=f"{ROOT}/{deposit['id']}/{name}",
            template=f"{ONE}/{name}",
            body=body,
            key=f"k{action.id}",
        )
        return self._send_command(name, intended, plainly=plainly)

    def _send_command(self, name: str, intended: IntendedRequest, *, plainly: bool) -> "Reply | None":
        reply = self._sender.send_once(intended) if plainly else self._sender.send_until_answered(intended)
        right = 201 if name == "lock-intents" else 200
        if reply is not None and reply.status not in REFUSED | {right}:
            self._violated("contract", f"{name} answered {reply.status} {reply.body}")
        return reply

    def _buyer_request(
        self, action: Action, path: str, template: str, body: dict[str, Any], step: str = ""
    ) -> IntendedRequest:
        who, own = f"b{action.buyer}", f"k{action.id}"
        several = action.kind in {"edge_lock", "race", "balance", "inspect_race"}
        key = f"{own}-{step}" if several else own
        return IntendedRequest(who, token("buyer", who), token("buyer", "thief"), path, template, body, key)

    def _withdrawal_request(
        self, action: Action, path: str, template: str, body: dict[str, Any], step: str = "state"
    ) -> IntendedRequest:
        one = self._buyer_request(action, path, template, body)
        held = self._orders[self._order_number(action)]["withdrawal_token"]
        bearer = held if action.how == "holder" else one.bearer
        return IntendedRequest(
            f"{one.who}/{action.how}", bearer, one.stranger, path, template, body, f"{one.key}-{step}"
        )

    # What a caller knows, and waiting.

    def _order_number(self, action: Action) -> int:
        return action.order if action.order is not None else -1

    def _ordered(self, action: Action) -> dict[str, Any] | None:
        return self._orders.get(self._order_number(action))

    def _latest_intent(self, action: Action) -> dict[str, Any] | None:
        shown = self._shown.get(self._order_number(action))
        return shown[-1] if shown else None

    def _record(self, action: Action) -> DepositRecord | None:
        deposit = self._ordered(action)
        return self._history.invariants.records.get(deposit["id"]) if deposit is not None else None

    def _wait_for_final(self, action: Action) -> bool:
        """Wait until the lock is final, to the millisecond or some minutes more; "at_once" does not wait. Whether to go on."""
        record = self._record(action)
        if action.how == "at_once" or record is None:
            return True
        around = (-1, 0, 0, 1) if action.how == "edge" else (0, MINUTE, 5 * MINUTE, HOUR)
        paid = self._wait_until(action, lambda record: record.paid_at is not None)
        self._sleep_to(record.final_at, around)
        return paid

    def _wait_for_window_end(self, action: Action, around: tuple[int, ...]) -> None:
        record = self._record(action)
        if record is not None:
            self._sleep_to(record.window_ends_at, around, HOUR)

    def _wait_until(self, action: Action, condition: Callable[[DepositRecord], bool]) -> bool:
        """Poll a condition every few minutes for at most 6 hours.

        Whether to go on: true when it holds, and in one of five cases when it does not.
        """
        until = self._now + LONGEST
        record = self._record(action)
        while record is not None and not condition(record) and self._now < until and record.ended_at is None:
            self._sleep(MINUTE, 20 * MINUTE)
        return (record is not None and condition(record)) or not self._random.randrange(5)

    def _sleep_to(self, instant: int | None, around: tuple[int, ...], longest: int = LONGEST) -> None:
        if instant is None:
            return
        at = instant + self._random.choice(around)
        if self._now < at < self._now + longest:
            self._history.scheduler.sleep(at - self._now)

    def _sleep(self, least: int, most: int) -> None:
        self._history.scheduler.sleep(self._random.randrange(least, most))

    @property
    def _now(self) -> int:
        return self._history.scheduler.now

    @property
    def _random(self) -> Any:
        return self._history.actor().random

    def _violated(self, promise: str, what: str) -> None:
        self._history.invariants.violated(promise, what)

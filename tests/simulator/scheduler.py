"""Virtual time and actors: greenlets that switch before and after every I/O, and that can be killed at any of them."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import greenlet


class Killed(BaseException):
    """The process was killed; a BaseException, so that no handler catches it."""


@dataclass(eq=False)
class Actor:
    """One Lambda invocation or one client, with random numbers of its own."""

    name: str
    random: Random
    run: Callable[[], Any]
    container: Any = None
    dead: bool = False
    deadline: int | None = None  # a Lambda is killed at this instant
    skew: int = 0  # its machine's clock is off by this much
    greenlet: Any = None
    waiting: list["Actor"] = field(default_factory=list)


class Scheduler:
    """The hub. Time moves to the next due action; none is skipped."""

    def __init__(self, start: int) -> None:
        self.now = start
        self.steps = 0
        self.trace: list[str] = []
        self.actor: Actor | None = None
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = count()
        self._hub = greenlet.getcurrent()

    def at(self, instant: int, action: Callable[[], None]) -> None:
        """Do something at an instant, or at once when that is past."""
        heapq.heappush(self._due, (max(instant, self.now), next(self._serial), action))

    def spawn(self, actor: Actor, instant: int) -> Actor:
        """Start an actor at an instant."""
        actor.greenlet = greenlet.greenlet(lambda: self._live(actor), parent=self._hub)
        self.at(instant, lambda: self._resume(actor))
        return actor

    def sleep(self, milliseconds: int) -> None:
        """Suspend the running actor; others go on."""
        actor = self.actor
        assert actor is not None, "only actors sleep"
        self.at(self.now + milliseconds, lambda: self._resume(actor))
        self._hub.switch()
        if actor.deadline is not None and self.now > actor.deadline:
            actor.dead = True
        if actor.dead:
            raise Killed

    def call(self, actor: Actor) -> None:
        """The running actor starts another one now and waits until it is over."""
        caller = self.actor
        assert caller is not None, "only actors call"
        actor.waiting.append(caller)
        self.spawn(actor, self.now)
        self._hub.switch()
        if caller.dead:
            raise Killed

    def drain(self, until: int | None = None) -> None:
        """Run what is due, in order, to the end or up to an instant."""
        while self._due and (until is None or self._due[0][0] <= until):
            instant, _, action = heapq.heappop(self._due)
            self.now = max(self.now, instant)
            self.steps += 1
            action()
        if until is not None:
            self.now = max(self.now, until)

    def note(self, text: str) -> None:
        """A line of the history, for the trace and for people."""
        self.trace.append(f"{self.now} {self.actor.name if self.actor else '-'} {text}")

    def _resume(self, actor: Actor) -> None:
        self.actor = actor
        try:
            actor.greenlet.switch()
        finally:
            self.actor = None

    def _live(self, actor: Actor) -> None:
        try:
            actor.run()
        except Killed:
            self.note("killed")
        finally:
            for caller in actor.waiting:
                self.at(self.now, lambda caller=caller: self._resume(caller))  # type: ignore[misc]

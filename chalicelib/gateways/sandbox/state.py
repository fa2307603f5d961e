"""What all parts of the sandbox share: rows, one lock, a clock that people move forward, serial numbers."""

from collections.abc import Callable
from threading import RLock

from chalicelib.gateways.sandbox.books import Books


class SandboxState:
    """``machine_clock`` gives milliseconds. The sandbox's clock is that plus ``offset``, which only grows."""

    def __init__(self, books: Books, machine_clock: Callable[[], int]) -> None:
        self.books = books
        self.lock = RLock()
        self.offset = int((books.get("clock", "offset") or {"ms": 0})["ms"])
        self._machine_clock = machine_clock

    def now(self) -> int:
        return self._machine_clock() + self.offset

    def forward(self, milliseconds: int) -> None:
        with self.lock:
            self.offset += milliseconds
            self.books.put("clock", "offset", {"ms": self.offset})

    def next_serial(self) -> int:
        with self.lock:
            serial = int((self.books.get("serial", "last") or {"n": 0})["n"]) + 1
            self.books.put("serial", "last", {"n": serial})
            return serial

"""Capture of all log lines of the service, with their extra fields."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _LogHandler(logging.Handler):
    def __init__(self, receive: Callable[[str], None]) -> None:
        super().__init__()
        self._receive = receive
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._receive(f"{self.format(record)} {record.__dict__}")


@contextmanager
def capture_log(receive: Callable[[str], None]) -> Iterator[None]:
    """Call ``receive`` with every line that is logged while the block runs, with its extra fields."""
    handler, log = _LogHandler(receive), logging.getLogger("earnest")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)

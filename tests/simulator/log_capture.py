"""Everything that our code logs, as a person would read it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _LogHandler(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__()
        self._hear = hear
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(f"{self.format(record)} {record.__dict__}")


@contextmanager
def capture_log(hear: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, every line goes to ``hear``, its extra fields too."""
    ears, log = _LogHandler(hear), logging.getLogger("earnest")
    log.addHandler(ears)
    try:
        yield
    finally:
        log.removeHandler(ears)

"""Publishing in a test: a copy of the policies that this test alone reads, with versions of its own."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chalicelib import policies
from chalicelib.core.policy import dated, offer_terms


class Publisher:
    """Adds files, as a release does. What was read before is forgotten, as in a new container."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, path: str, text: str) -> None:
        """``path`` below the policies, with its ending."""
        place = self._folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
        forget()

    def text(self, path: str) -> str:
        return (self._folder / path).read_text("utf-8")

    def change(self, path: str, as_: str, begins: str, **figures: str) -> None:
        """A later version of a file: everything as before but its date and the figures, each as TOML writes it."""
        text = replaced(self.text(path), "from", begins)
        for name, figure in figures.items():
            text = replaced(text, name, figure)
        self.add(as_, text)


def replaced(text: str, name: str, value: str) -> str:
    """The only line that gives a member of that name, with another value."""
    told, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
    assert count == 1, f"{name} stands {count} times"
    return told


@contextmanager
def publishing(folder: Path) -> Iterator[Publisher]:
    """Until the end of the block everybody reads the copy in ``folder``."""
    copied = folder / "policies"
    shutil.copytree(Path(policies.__file__).parent, copied, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "files", lambda _package: copied)
        forget()
        yield Publisher(copied)
    forget()


def forget() -> None:
    """What a container remembers of the policies."""
    policies.read.cache_clear()
    policies.names.cache_clear()
    policies.languages.cache_clear()
    dated._read_series.cache_clear()
    dated._read_series_by_member.cache_clear()
    dated._read_version.cache_clear()
    offer_terms.read_preset.cache_clear()

"""Rules, figures and texts as data files. Every file names its source."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read(path: str) -> dict[str, Any]:
    """One data file, by its path below this folder: ``markets/CN-2026.toml``."""
    return tomllib.loads(files(__name__).joinpath(path).read_text("utf-8"))


@cache
def names(folder: str) -> tuple[str, ...]:
    """The names of a folder's data files, without the ending, sorted. Empty for a folder that does not exist."""
    directory = files(__name__).joinpath(folder)
    entries = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    return tuple(sorted(name.removesuffix(".toml") for name in entries if name.endswith(".toml")))


@cache
def languages() -> tuple[str, ...]:
    """The codes of the languages, sorted: each is a folder of ``texts``."""
    return tuple(sorted(entry.name for entry in files(__name__).joinpath("texts").iterdir() if entry.is_dir()))

"""Reads the versioned files that prompts are kept in. Knows nothing of what they ask for.

A file is released with its SHA-256 in `versions.json`, and does not change from then on: its version is part of the key under which answers
are kept, and its system text is the prefix that servers cache.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class PromptFile:
    """One version: the system text, the template around the data (`{data}` stands for it), and how an answer is to be made.

    `limits`: numbers that bound the data, by name.
    """

    version: str
    system: str
    user: str
    max_tokens: int
    temperature: float
    limits: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.user.count("{data}") != 1:
            raise ValueError(f"the user part of prompt {self.version} names {{data}} {self.user.count('{data}')} times; name it once")
        if self.max_tokens < 1 or not 0 <= self.temperature <= 2:
            raise ValueError(f"prompt {self.version}: max_tokens is at least 1 and temperature from 0 to 2; correct them")


@cache
def prompt_file(version: str) -> PromptFile:
    """The file `<version>.toml` beside this module; raises `FileNotFoundError`, and `ValueError` when it is no prompt of that version."""
    try:
        read = PromptFile(**tomllib.loads((files(__package__) / f"{version}.toml").read_text(encoding="utf-8")))
    except (TypeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{version}.toml is not a prompt ({error}); see the fields of PromptFile") from error
    if read.version != version:
        raise ValueError(f"{version}.toml says that it is {read.version!r}; name the file after its version")
    return read

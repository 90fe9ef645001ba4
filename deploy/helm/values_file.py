"""Reads values.yaml with its `# --` comments. Knows nothing of what the keys mean."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z][\w.-]*):")
COMMENT = re.compile(r"^ *# -- (?P<text>.+)$")
DESCRIBED, ALIKE = "services.gateway.", re.compile(r"^services\.(?:encoder|expander|retriever(?:\.readers)?)\.")


def values(path: Path) -> dict[str, Any]:
    """The defaults."""
    return dict(yaml.safe_load(path.read_text()))


def written(path: Path) -> Iterator[tuple[str, str]]:
    """Each key that has a line of its own, dotted, with the comment right above it (empty without one)."""
    above, comment = list[tuple[int, str]](), ""
    for line in path.read_text().splitlines():
        if found := COMMENT.match(line):
            comment = found["text"]
        elif found := KEY.match(line):
            indent = len(found["indent"])
            above = [(depth, name) for depth, name in above if depth < indent] + [(indent, found["name"])]
            yield ".".join(name for _, name in above), comment
            comment = ""


def comments(path: Path) -> dict[str, str]:
    """Dotted key -> what it means; a key of a service that says nothing means what it means for the gateway."""
    own = dict(written(path))
    return {key: text or own.get(ALIKE.sub(DESCRIBED, key), "") for key, text in own.items()}

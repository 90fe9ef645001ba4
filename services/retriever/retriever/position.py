"""Where in a writer's history somebody is, and how that is kept and announced. Knows nothing of what the history says."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from retriever.errors import Foreign
from retriever.storage import Objects, sealed, unsealed

HEAD = "head"
"""The object that tells readers up to where there is something to hear."""
CHANGES = "changes/"
PUBLISHED, HEARD = "published.json", "heard.json"
"""Where a writer and a reader keep their position, in the state folder."""
FORMAT = "warmstart-head-1"


@dataclass(frozen=True)
class Position:
    """Up to where a writer has told, or a reader has heard.

    `line` names one history of one catalogue; `watermark` is the writer's last vector version; `sha256` is that of the change that ended
    here, "" where a snapshot begins.
    """

    line: str
    generation: int
    watermark: int
    sha256: str = ""

    @property
    def next_change(self) -> str:
        """The object that tells what comes after."""
        return f"{CHANGES}{self.line}/{self.generation:020d}"


def announce(objects: Objects, position: Position) -> None:
    """Lets readers go up to `position`."""
    objects.put(HEAD, sealed(json.dumps({"format": FORMAT, **asdict(position)}).encode()))


def announced(objects: Objects) -> Position:
    """Raises ObjectMissing when nothing was ever announced, Damaged, or Foreign for another format."""
    said = json.loads(unsealed(HEAD, objects.get(HEAD)))
    if (found := said.pop("format", None)) != FORMAT:
        raise Foreign(
            f"{HEAD} under {objects.url} has the format {found!r}, this retriever reads {FORMAT!r}; use the version that wrote it."
        )
    return Position(**said)


def remember(path: Path, url: str, position: Position) -> None:
    """Keeps in the file `path` where one is under `url`; what it said before is there until the new is."""
    aside = path.with_suffix(".aside")
    with aside.open("w") as file:
        json.dump({"url": url, **asdict(position)}, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def remembered(path: Path, url: str) -> Position | None:
    """None when nothing, or nothing readable, is kept of this URL: then one has to begin anew."""
    try:
        said = json.loads(path.read_text())
        return Position(**said) if said.pop("url") == url else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None

"""Brings a restored folder from its snapshot up to what its writer published last. Knows nothing of who will serve from it."""

import hashlib
from contextlib import closing
from pathlib import Path

from retriever.changelog import from_bytes
from retriever.claim import held
from retriever.errors import Foreign, ObjectMissing
from retriever.library import Library
from retriever.manifest import CATALOGUE, Manifest
from retriever.position import Position
from retriever.storage import Objects


def caught_up(state_dir: Path, objects: Objects, manifest: Manifest) -> int:
    """Applies the published changes after `manifest`, which was restored into `state_dir`; the generation that is reached.

    A writer that died having published this far loses nothing. Raises Foreign when the snapshot belongs to no line of changes, Damaged
    for a change that is not what was written: the folder is whole then, as of the change before.
    """
    if manifest.follows is None:
        raise Foreign(f"The snapshot {manifest.name} was taken of a retriever that does not publish; restore it without changes.")
    position = manifest.follows
    with held(state_dir), closing(Library(state_dir / CATALOGUE, lenders=1)) as library:
        while True:
            try:
                content = objects.get(position.next_change)
            except ObjectMissing:
                return library.generation
            change = from_bytes(position.next_change, content, position)
            if change.generation > library.generation:
                library.apply(change)
            position = Position(position.line, change.generation, change.watermark, hashlib.sha256(content).hexdigest())

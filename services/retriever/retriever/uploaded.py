"""What an uploaded space holds now. Knows nothing of how it is used."""

from dataclasses import dataclass

from retriever.catalogue import Catalogue
from retriever.spaces import Upload


@dataclass(frozen=True)
class UploadState:
    """`rows` were uploaded; `unknown` ids among them (neighbours too) are in no item at present."""

    name: str
    kind: str
    rows: int
    unknown: int = 0
    dimension: int | None = None


def state_of(name: str, upload: Upload | None, catalogue: Catalogue) -> UploadState:
    """The state of the uploaded space `name`, which is None when there was no upload."""
    if upload is None:
        return UploadState(name, "empty", 0)
    unknown = int((catalogue.numbers(upload.ids) < 0).sum())
    return UploadState(name, upload.kind, upload.rows, unknown, upload.dimension)

"""A prepared model in a folder: what is in it, how it is published whole, and the proof that nothing of it was changed.

Knows no runtime: every byte is hashed before anything else reads it.
"""

import base64
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoder.backends.protocol import Goldens
from encoder.errors import FileDamaged, FileMissing, ModelFault
from encoder.fingerprint import Identity

FORMAT = 1
MANIFEST = "manifest.json"
GRAPH, WEIGHTS, TOKENISER, GOLDENS, REPORT = "graph.onnx", "weights.bin", "tokenizer.json", "goldens.json", "report.json"
FILES = (GRAPH, WEIGHTS, TOKENISER, GOLDENS, REPORT)
UNFINISHED = ".preparing-"
AGAIN = "fetch or prepare the artefact again."


@dataclass(frozen=True)
class Artefact:
    """An artefact whose every file is as it was published."""

    root: Path
    identity: Identity
    padding_id: int
    lower_case: bool
    goldens: Goldens


def is_artefact(root: Path) -> bool:
    """Whether the folder is, or was meant to be, an artefact."""
    return (root / MANIFEST).exists() or (root / GOLDENS).exists()


def open_artefact(root: Path) -> Artefact:
    """Raises `FileMissing` or `FileDamaged` with the file's name unless all is as the manifest says."""
    manifest = _json(root / MANIFEST)
    try:
        if manifest["format"] != FORMAT:
            raise FileDamaged(
                f"{root / MANIFEST} has the format {manifest['format']!r}; this encoder reads {FORMAT}. Prepare the model again."
            )
        identity = Identity(**manifest["identity"] | {"dimensions": tuple(manifest["identity"]["dimensions"])})
        files = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in manifest["files"].items()}
        padding_id, lower_case = int(manifest["padding_id"]), bool(manifest["lower_case"])
        if identity.fingerprint != manifest["fingerprint"] or set(files) != set(FILES):
            raise FileDamaged(f"{root / MANIFEST} contradicts itself; {AGAIN}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileDamaged(f"{root / MANIFEST} is not what an encoder wrote ({error!r}); {AGAIN}") from error
    for name, (size, sha256) in files.items():
        _verify(root / name, size, sha256)
    return Artefact(root, identity, padding_id, lower_case, _read_goldens(root / GOLDENS, identity.dimension))


@contextmanager
def publishing(root: Path) -> Iterator[Path]:
    """A new folder beside `root` to write the files into; it becomes `root`, whole, when the block ends and never when it raises.

    Raises `ModelFault` when `root` is there already or can not be written.
    """
    if root.exists():
        raise ModelFault(f"{root} is there already; an artefact is never changed. Choose another folder or remove it.")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=root.parent))
    except OSError as error:
        raise ModelFault(f"No folder can be made in {root.parent} ({error.strerror}); choose another one with --out.") from error
    try:
        yield aside
        for path in (*aside.iterdir(), aside):
            _sync(path)
        aside.chmod(0o755)
        os.rename(aside, root)
        _sync(root.parent)
    except OSError as error:
        raise ModelFault(f"{root} can not be written ({error}); make room or choose another folder with --out.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_manifest(folder: Path, identity: Identity, padding_id: int, lower_case: bool, more: Mapping[str, Any]) -> None:
    """Writes the manifest over the files that are in `folder`; `more` is kept beside what is checked."""
    entries = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in FILES}
    manifest = {
        "format": FORMAT,
        "fingerprint": identity.fingerprint,
        "identity": dataclasses.asdict(identity),
        "padding_id": padding_id,
        "lower_case": lower_case,
        "files": entries,
        **more,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def write_goldens(file: Path, goldens: Goldens) -> None:
    """Texts, base64 of little-endian float32 embeddings, and the tolerance."""
    rows = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in goldens.embeddings]
    file.write_text(json.dumps({"texts": goldens.texts, "embeddings": rows, "tolerance": goldens.tolerance}, indent=1) + "\n")


def sha256(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_goldens(file: Path, dimension: int) -> Goldens:
    content = _json(file)
    rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in content["embeddings"]]
    return Goldens(tuple(content["texts"]), np.stack(rows).reshape(-1, dimension), float(content["tolerance"]))


def _verify(file: Path, size: int, expected: str) -> None:
    try:
        if (found := file.stat().st_size) != size:
            raise FileDamaged(f"{file} has {found:,} bytes and should have {size:,}; {AGAIN}")
        if (found_hash := sha256(file)) != expected:
            raise FileDamaged(f"{file} has SHA-256 {found_hash} and should have {expected}; {AGAIN}")
    except OSError as error:
        raise FileMissing(f"{file} can not be read ({error.strerror}); {AGAIN}") from error


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise FileMissing(f"{file} can not be read ({error.strerror}); {AGAIN}") from error
    except ValueError as error:
        raise FileDamaged(f"{file} is not JSON ({error}); {AGAIN}") from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

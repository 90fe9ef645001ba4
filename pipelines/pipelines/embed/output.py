"""Joins parts into one .npz or Parquet file, and says what such a file holds. Knows nothing of how embeddings are made.

.npz: `ids` (n,) strings, `embeddings` (n, dim) float32, `origin` a JSON text. Parquet: columns `id` and `embedding` (a list of dim
float32), a row group per part, the origin under `warmstart` in the schema's metadata. Both are written part by part: memory stays flat.
"""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipelines.embed.faults import InputUnusable, ResumeRefused
from pipelines.embed.parts import Origin, Parts, written

FORMATS = (".npz", ".parquet")
METADATA = b"warmstart"


def check(path: Path) -> None:
    """Raises `InputUnusable` when no file of that name can be written."""
    if path.suffix not in FORMATS:
        raise InputUnusable(f"{path} ends with neither .npz nor .parquet; name the output so.")
    if path.suffix == ".parquet":
        _pyarrow()


def join(parts: Parts, path: Path) -> None:
    """Writes all rows to `path`, at once whole."""
    write = _write_parquet if path.suffix == ".parquet" else _write_npz
    path.parent.mkdir(parents=True, exist_ok=True)
    written(path, lambda file: write(parts, file))


def origin_of(path: Path) -> Origin:
    """What the file at `path` holds; raises `ResumeRefused` for one that this job did not write."""
    try:
        if path.suffix == ".parquet":
            return Origin.parse(_pyarrow().parquet.read_schema(path).metadata[METADATA].decode())
        with np.load(path) as held:
            return Origin.parse(str(held["origin"]))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ResumeRefused(f"{path} is there and was not written by this job ({error}); name another output.") from error


def _write_npz(parts: Parts, file: BinaryIO) -> None:
    """NumPy's format, .npy 1.0 in a ZIP archive, from headers for all rows and the bytes of one part after the other."""
    widest = max((ids.dtype for ids, _ in parts), key=lambda dtype: dtype.itemsize)
    rows, dimension = parts.rows, parts.origin.dimension
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("ids.npy", "w", force_zip64=True) as member:
            _header(member, widest, (rows,))
            for ids, _ in parts:
                member.write(ids.astype(widest).tobytes())
        with archive.open("embeddings.npy", "w", force_zip64=True) as member:
            _header(member, np.dtype("<f4"), (rows, dimension))
            for _, embeddings in parts:
                member.write(np.ascontiguousarray(embeddings, "<f4").tobytes())
        with archive.open("origin.npy", "w") as member:
            np.lib.format.write_array(member, np.array(parts.origin.json()))


def _header(member: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)


def _write_parquet(parts: Parts, file: BinaryIO) -> None:
    arrow = _pyarrow()
    width = parts.origin.dimension
    schema = arrow.schema([("id", arrow.string()), ("embedding", arrow.list_(arrow.float32(), width))])
    with arrow.parquet.ParquetWriter(file, schema.with_metadata({METADATA: parts.origin.json()})) as writer:
        for ids, embeddings in parts:
            flat: NDArray[np.float32] = np.ascontiguousarray(embeddings, np.float32).ravel()
            columns = [arrow.array(ids.tolist(), arrow.string()), arrow.FixedSizeListArray.from_arrays(arrow.array(flat), width)]
            writer.write_table(arrow.table(columns, schema=writer.schema))


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputUnusable("Parquet needs pyarrow, which is not installed: pip install 'warmstart-pipelines[parquet]'.") from None
    return pyarrow

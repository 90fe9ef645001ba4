import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.retriever.segments.sealing import FOREVER, catalogue, topics

from retriever.segments.build import build
from retriever.segments.entry import Entry, FileEntry, SegmentDamaged
from retriever.segments.sealed import Sealed

SUFFIXES = ["vectors", "index", "sketch", "numbers", "versions", "shape"]


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    made = build(catalogue(tmp_path / "c.sqlite", topics(300, 16), np.arange(300)), tmp_path, 1, 16, "hnsw", 0, FOREVER, 1)
    assert made is not None
    return made


def test_a_manifest_line_survives_json(entry: Entry, tmp_path: Path) -> None:
    assert Entry.from_json(json.loads(json.dumps(entry.to_json()))) == entry
    assert sorted(entry.files) == sorted(f"{entry.name}.{suffix}" for suffix in SUFFIXES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_file_is_refused_by_name_before_anything_reads_it(entry: Entry, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"{entry.name}.{suffix}"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    foreign = np.random.default_rng(0).bytes(len(whole))  # FAISS would abort or read wild memory
    for content, reason in [
        (bytes(flipped), "SHA-256"),
        (foreign, "SHA-256"),
        (whole[:-1], "bytes"),
        (b"", "0 bytes"),
        (whole + b"\0", "bytes"),
    ]:
        path.write_bytes(content)
        with pytest.raises(SegmentDamaged, match=rf"{path.name}.*{reason}"):
            Sealed.open(tmp_path, entry)
    path.unlink()
    with pytest.raises(SegmentDamaged, match=rf"{path.name} can not be read \(No such file"):
        Sealed.open(tmp_path, entry)
    path.write_bytes(whole)
    assert len(Sealed.open(tmp_path, entry)) == 300


def test_a_manifest_of_another_kind_is_refused(entry: Entry, tmp_path: Path) -> None:
    changed = entry.to_json()
    with pytest.raises(SegmentDamaged, match=r"'ivf-pq'|sketch"):
        Sealed.open(tmp_path, Entry.from_json(changed | {"kind": "ivf-pq"}))
    with pytest.raises(SegmentDamaged, match="'vamana'; this version knows hnsw"):
        Sealed.open(tmp_path, Entry.from_json(changed | {"kind": "vamana"}))
    with pytest.raises(SegmentDamaged, match="301 rows"):
        Sealed.open(tmp_path, Entry.from_json(changed | {"rows": 301}))


@pytest.mark.parametrize("name", ["../1.vectors", "/etc/passwd", "other.vectors", "1./../../x"])
def test_a_manifest_that_names_files_elsewhere_is_refused(name: str) -> None:
    line = Entry("1", "hnsw", 0, 1, 1, {name: FileEntry(1, "00")}).to_json()
    with pytest.raises(SegmentDamaged, match="is not a file of segment '1'"):
        Entry.from_json(line)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_no_manifest_line_is_refused(value: object) -> None:
    with pytest.raises(SegmentDamaged, match="is not the manifest line"):
        Entry.from_json(value)  # type: ignore[arg-type]  # whatever a damaged file holds


def test_files_that_are_whole_but_disagree_are_refused(entry: Entry, tmp_path: Path) -> None:
    """A segment in which a number came twice would answer with it twice."""
    path = tmp_path / f"{entry.name}.numbers"
    with path.open("wb") as file:
        np.save(file, np.zeros(300, np.int64), allow_pickle=False)
    files = dict(entry.files) | {path.name: FileEntry.of(path)}
    with pytest.raises(SegmentDamaged, match="a number comes twice"):
        Sealed.open(tmp_path, Entry(entry.name, entry.kind, entry.lo, entry.hi, entry.rows, files))

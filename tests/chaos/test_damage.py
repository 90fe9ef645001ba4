"""The folder of derived files after each kind of damage: the truth is in SQLite, so nothing is lost and nothing wrong is served."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.chaos import damage

from retriever.backends.protocol import CONTENT, Ask
from retriever.builder import do
from retriever.items import Floats, Item
from retriever.library import Library
from retriever.upkeep import Base, Job, Seal

IDS = [f"i{number}" for number in range(300)]
HARMLESS = {"foreign file"}
"""What is cleared away without a word."""


def units(seed: int) -> Floats:
    drawn = np.random.default_rng(seed).standard_normal((len(IDS), 16))
    scaled: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def build(library: Library, job: Job) -> None:
    library.begin(job)
    library.end_job(job, do(job.asked(library.catalogue.path, library.store.folder, 1)))


def sealed(folder: Path, seed: int) -> None:
    """A catalogue with two segments and a base of attributes."""
    library = Library(folder / "catalogue.sqlite3", lenders=2, fsync=False)
    half = len(IDS) // 2
    for part in (slice(0, half), slice(half, len(IDS))):
        library.put("f", [Item(name, name, {"first": name in IDS[:half]}) for name in IDS[part]], units(seed)[part])
        (space,) = library.view.spaces.values()
        build(library, Seal(space.identity, space.memories[-1].lo, library.catalogue.next_version(), "hnsw"))
    build(library, Base(library.view.attributes.changed_rows))
    assert library.spaces()[0].segments == 2
    assert library.spaces()[0].unsealed == 0
    library.close()


def check(folder: Path, seed: int) -> None:
    library = Library(folder / "catalogue.sqlite3", lenders=2, fsync=False)
    try:
        assert np.allclose(library.vectors(CONTENT, IDS), units(seed), atol=1e-6)
        assert [ids[0] for ids in library.search(Ask(units(seed)[:50], 1)).ids] == IDS[:50]
        assert {path.name for path in damage.derived(library.store.folder)} == library.store.manifest.files
    finally:
        library.close()


@pytest.mark.parametrize("way", damage.WAYS)
def test_damage_is_told_and_everything_is_there(way: str, tmp_path: Path) -> None:
    sealed(tmp_path, 1)
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "segments", whole)
    for seed in range(6):
        shutil.rmtree(tmp_path / "segments")
        shutil.copytree(whole, tmp_path / "segments")
        damage.WAYS[way](tmp_path / "segments", random.Random(seed))
        changed = {path.name: path.read_bytes() for path in (tmp_path / "segments").iterdir()} != {
            path.name: path.read_bytes() for path in whole.iterdir()
        }
        with capture_logs() as logs:
            check(tmp_path, 1)
        told = {entry["event"] for entry in logs}
        if changed and way not in HARMLESS and (tmp_path / "segments" / damage.MANIFEST).exists():
            gone = way in ("manifest missing", "empty folder")  # a new folder looks the same
            assert gone or told & {"segment_damaged", "segment_foreign"}, told


def test_segments_of_another_catalogue_with_the_same_numbers_are_not_believed(tmp_path: Path) -> None:
    """Filled alike but by another encoder, as a copied state folder has it: only the vectors differ."""
    for name, seed in (("one", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        sealed(tmp_path / name, seed)
    shutil.rmtree(tmp_path / "one" / "segments")
    shutil.copytree(tmp_path / "other" / "segments", tmp_path / "one" / "segments")
    with capture_logs() as logs:
        check(tmp_path / "one", 1)
    assert "segment_foreign" in {entry["event"] for entry in logs}

"""Snapshots to a local folder: what is restored is what was there, and nothing else is ever put in place."""

import json
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retriever import schema
from retriever.claim import LOCK, held
from retriever.copying import TAKING
from retriever.errors import Damaged, FolderNotEmpty, FolderTaken, Foreign, ObjectMissing, StorageFailed
from retriever.items import Floats, Item
from retriever.library import Library
from retriever.manifest import CATALOGUE, FILES, SEALED, Manifest, object_of
from retriever.restoration import RESTORING, names, read, restore, verify
from retriever.segments.entry import FileEntry
from retriever.snapshot import main, prune, take
from retriever.storage import Objects, sealed, unsealed

DIMENSION = 4
SEGMENT = "segments/1-0-9.graph"


def unit_vectors(count: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    units: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def put(library: Library, *ids: str, seed: int = 0) -> None:
    library.put("f", [Item(name, f"the title of {name}", {"genre": "fantasy"}, "text") for name in ids], unit_vectors(len(ids), seed))


def seal(state: Path, content: bytes = b"a segment") -> None:
    """Writes a sealed file and the list that names it, as the retriever lays them down."""
    (state / SEGMENT).parent.mkdir(exist_ok=True)
    (state / SEGMENT).write_bytes(content)
    file = FileEntry.of(state / SEGMENT)
    line = {"space": 1, "name": "1-0-9", "kind": "hnsw", "lo": 0, "hi": 9, "rows": 2, "files": {"1-0-9.graph": vars(file)}}
    (state / SEALED).write_text(json.dumps({"format": 1, "generation": 0, "segments": [line], "attributes": None}))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder with two items and a sealed file."""
    folder = tmp_path / "state"
    folder.mkdir()
    with closing(Library(folder / CATALOGUE, 10)) as library:
        put(library, "a", "b")
    seal(folder)
    return folder


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "objects")


def stored_file(url: str, manifest: Manifest, path: str) -> Path:
    return Path(url) / FILES / manifest.files[path].sha256


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_what_is_restored_is_what_was_taken(state: Path, url: str, tmp_path: Path) -> None:
    taken = take(state, url)
    assert restore(url, "latest", tmp_path / "new") == taken
    assert (tmp_path / "new" / SEGMENT).read_bytes() == b"a segment"
    with closing(Library(tmp_path / "new" / CATALOGUE, 10)) as library, closing(Library(state / CATALOGUE, 10)) as before:
        assert (len(library), library.generation) == (2, before.generation)
        assert library.item("a") == before.item("a")
        np.testing.assert_array_equal(library.vectors("content", ["a", "b"]), before.vectors("content", ["a", "b"]))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [CATALOGUE, LOCK, "segments"]


def test_a_snapshot_is_named_by_its_manifest_and_says_what_it_holds(state: Path, url: str) -> None:
    manifest = take(state, url)
    assert (manifest.layout, manifest.generation, manifest.items, manifest.content) == (schema.VERSION, 1, 2, "content-1")
    assert [(space.name, space.fingerprint, space.dimension) for space in manifest.spaces] == [("content-1", "f", DIMENSION)]
    assert set(manifest.files) == {CATALOGUE, SEALED, SEGMENT}
    assert names(Objects(url)) == [manifest.name]
    assert read(Objects(url), manifest.name) == manifest


def test_a_file_that_is_there_already_is_not_sent_again(state: Path, url: str) -> None:
    first = take(state, url)
    segment = stored_file(url, first, SEGMENT)
    before = segment.stat().st_mtime_ns, segment.stat().st_ino
    with closing(Library(state / CATALOGUE, 10)) as library:
        put(library, "c")
    seal(state)
    second = take(state, url)
    assert second.files[SEGMENT] == first.files[SEGMENT]
    assert second.files[CATALOGUE] != first.files[CATALOGUE]
    assert (segment.stat().st_mtime_ns, segment.stat().st_ino) == before


def test_a_snapshot_taken_while_writes_go_on_has_whole_writes_only(state: Path, url: str, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with closing(Library(state / CATALOGUE, 10)) as library:
            number = 0
            while not stop.is_set():
                put(library, *(f"{number}-{at}" for at in range(7)))
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = [take(state, url) for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    assert len({manifest.generation for manifest in taken}) > 1, "nothing was written meanwhile"
    for number, manifest in enumerate(taken):
        restore(url, manifest.name, tmp_path / str(number))
        with closing(Library(tmp_path / str(number) / CATALOGUE, 10)) as library:
            assert (len(library) - 2) % 7 == 0
            assert library.generation == 1 + (len(library) - 2) // 7 == manifest.generation


def test_a_segment_that_a_merge_takes_away_is_not_waited_for_for_ever(state: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retriever.copying.PAUSE_S", 0.0)
    (state / SEGMENT).unlink()
    assert set(take(state, url).files) == {CATALOGUE}


def test_one_snapshot_of_a_folder_is_taken_at_a_time(state: Path, url: str) -> None:
    (state / TAKING).mkdir()
    (state / TAKING / "left by one that was killed").write_bytes(b"junk")
    with held(state / TAKING), pytest.raises(FolderTaken, match="Another snapshot"):
        take(state, url)
    take(state, url)
    assert [path.name for path in (state / TAKING).iterdir()] == [LOCK]


def test_no_snapshot_is_taken_of_a_folder_without_a_catalogue(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageFailed, match=CATALOGUE):
        take(tmp_path, url)
    assert names(Objects(url)) == []


@pytest.mark.parametrize("spoil", [cut, flip])
@pytest.mark.parametrize("path", [CATALOGUE, SEALED, SEGMENT])
def test_a_damaged_file_is_named_and_nothing_is_put_in_place(
    state: Path, url: str, tmp_path: Path, path: str, spoil: Callable[[Path], None]
) -> None:
    manifest = take(state, url)
    spoil(stored_file(url, manifest, path))
    with pytest.raises(Damaged, match=path):
        restore(url, manifest.name, tmp_path / "new")
    assert not (tmp_path / "new" / CATALOGUE).exists()
    with pytest.raises(Damaged, match=path):
        verify(Objects(url), manifest, tmp_path)


def test_a_missing_file_is_named(state: Path, url: str, tmp_path: Path) -> None:
    manifest = take(state, url)
    stored_file(url, manifest, SEGMENT).unlink()
    with pytest.raises(Damaged, match=f"incomplete.*{SEGMENT}"):
        restore(url, "latest", tmp_path / "new")
    assert not (tmp_path / "new" / CATALOGUE).exists()


@pytest.mark.parametrize("spoil", [cut, flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_manifest_is_refused(state: Path, url: str, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    name = take(state, url).name
    spoil(Path(url) / object_of(name))
    with pytest.raises(Damaged, match=object_of(name)):
        restore(url, name, tmp_path / "new")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "another-1"}, "another-1"),
        ({"layout": schema.VERSION + 1}, f"layout {schema.VERSION + 1}"),
        ({"name": "another"}, "another"),
        ({"files": {}}, CATALOGUE),
        ({"files": {"catalogue.sqlite3": {"bytes": 1, "sha256": "a" * 64}, "../beside": {"bytes": 1, "sha256": "a" * 64}}}, "beside"),
        ({"files": {"catalogue.sqlite3": {"bytes": 1, "sha256": "../../beside"}}}, "beside"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_foreign_manifest_is_refused(state: Path, url: str, tmp_path: Path, change: dict[str, object], told: str) -> None:
    name = take(state, url).name
    objects = Objects(url)
    said = json.loads(unsealed("manifest", objects.get(object_of(name))))
    objects.put(object_of(name), sealed(json.dumps({**said, **change}).encode()))
    with pytest.raises(Foreign, match=told):
        restore(url, name, tmp_path / "new")
    assert not (tmp_path / "new" / CATALOGUE).exists()


def test_a_folder_that_holds_something_is_refused(state: Path, url: str) -> None:
    take(state, url)
    with pytest.raises(FolderNotEmpty, match=CATALOGUE):
        restore(url, "latest", state)


def test_a_folder_that_is_in_use_is_refused(state: Path, url: str, tmp_path: Path) -> None:
    take(state, url)
    (tmp_path / "new").mkdir()
    with held(tmp_path / "new"), pytest.raises(FolderTaken):
        restore(url, "latest", tmp_path / "new")


def test_what_an_interrupted_restoring_left_is_no_obstacle(state: Path, url: str, tmp_path: Path) -> None:
    new = tmp_path / "new"
    (new / RESTORING / "segments").mkdir(parents=True)
    (new / RESTORING / CATALOGUE).write_bytes(b"half")
    (new / "segments").mkdir()
    (new / "segments" / "stray.graph").write_bytes(b"of another snapshot")
    take(state, url)
    restore(url, "latest", new)
    assert sorted(path.name for path in (new / "segments").iterdir()) == ["1-0-9.graph", "manifest.json"]
    assert not (new / RESTORING).exists()


def test_there_is_nothing_to_restore_where_no_snapshot_was_taken(url: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing, match="no snapshot"):
        restore(url, "latest", tmp_path / "new")


def test_the_newest_snapshots_stay_with_all_their_files(state: Path, url: str, tmp_path: Path) -> None:
    taken = []
    for name in "cdef":
        with closing(Library(state / CATALOGUE, 10)) as library:
            put(library, name)
        seal(state)
        taken.append(take(state, url))
    assert [manifest.name for manifest in prune(Objects(url), 2)] == [manifest.name for manifest in taken[-2:]] == names(Objects(url))
    kept = {file.sha256 for manifest in taken[-2:] for file in manifest.files.values()}
    assert {path.name for path in (Path(url) / FILES).iterdir()} == kept
    assert restore(url, taken[-2].name, tmp_path / "new").items == 5


def test_a_file_that_nobody_names_yet_stays_for_a_day(state: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(state, url)
    objects = Objects(url)
    objects.put(FILES + "a" * 64, b"of a snapshot that is being taken")
    prune(objects, 1)
    assert FILES + "a" * 64 in [stored.name for stored in objects.list(FILES)]
    monkeypatch.setattr("retriever.snapshot.UNNAMED_S", -1)
    prune(objects, 1)
    assert FILES + "a" * 64 not in [stored.name for stored in objects.list(FILES)]


def test_nothing_is_cleared_away_while_a_manifest_can_not_be_read(state: Path, url: str) -> None:
    first, _ = take(state, url), take(state, url)
    flip(Path(url) / object_of(first.name))
    with pytest.raises(Damaged):
        prune(Objects(url), 1)
    assert len(names(Objects(url))) == 2


def test_the_command_takes_lists_verifies_and_restores(
    state: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETRIEVER_STATE_DIR", str(state))
    for _ in range(3):
        main(["take", url, "--keep", "2"])
    assert capsys.readouterr().out.count("generation 1  2 items") == 3
    main(["list", url])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names(Objects(url))
    main(["verify", url])
    monkeypatch.setenv("RETRIEVER_STATE_DIR", str(tmp_path / "new"))
    main(["restore", url, names(Objects(url))[0]])
    assert (tmp_path / "new" / CATALOGUE).exists()


def test_the_command_says_what_is_wrong_and_fails(
    state: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETRIEVER_STATE_DIR", str(state))
    main(["take", url])
    flip(stored_file(url, read(Objects(url), "latest"), SEGMENT))
    with pytest.raises(SystemExit) as ended:
        main(["verify", url])
    assert ended.value.code == 1
    assert SEGMENT in capsys.readouterr().err


def test_a_manifest_survives_its_bytes(state: Path, url: str) -> None:
    manifest = take(state, url, line="a line")
    assert manifest.follows is not None
    assert Manifest.from_bytes(manifest.name, manifest.to_bytes()) == manifest
    assert replace(manifest, generation=9).to_bytes() != manifest.to_bytes()

"""Objects in a local folder are whole or not there, and what is wrong with them is told."""

from pathlib import Path

import pytest

from retriever.errors import Damaged, ObjectMissing, StorageAway
from retriever.storage import ASIDE, Objects, sealed, unsealed


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(str(tmp_path / "objects"))


def test_what_is_put_is_got_listed_and_deleted(objects: Objects, tmp_path: Path) -> None:
    objects.put("a/b", b"first")
    objects.put("a/b", b"second")
    (tmp_path / "file").write_bytes(b"from a file")
    objects.upload(tmp_path / "file", "a/c/d")
    objects.put("ab", b"beside")
    assert objects.get("a/b") == b"second"
    assert [(stored.name, stored.bytes) for stored in objects.list("a/")] == [("a/b", 6), ("a/c/d", 11)]
    objects.download("a/c/d", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"from a file"
    objects.delete(["a/b", "a/b"])
    assert [stored.name for stored in objects.list("")] == ["a/c/d", "ab"]


def test_an_empty_place_has_no_objects(objects: Objects) -> None:
    assert objects.list("") == []
    assert objects.list("a/") == []
    with pytest.raises(ObjectMissing, match="'a'"):
        objects.get("a")


def test_what_a_killed_writer_left_aside_is_no_object(objects: Objects, tmp_path: Path) -> None:
    objects.put("a", b"whole")
    (tmp_path / "objects" / f"a{ASIDE}").write_bytes(b"ha")
    assert [stored.name for stored in objects.list("")] == ["a"]
    assert objects.get("a") == b"whole"


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"a file, not a folder")
    with pytest.raises(StorageAway, match="Could not write 'a'"):
        Objects(str(tmp_path / "objects")).put("a", b"content")


@pytest.mark.parametrize("url", ["nonsense://bucket/x", "s4://bucket"])
def test_a_url_that_no_storage_has_is_told(url: str) -> None:
    with pytest.raises(StorageAway, match=url):
        Objects(url)


def test_a_seal_tells_every_change() -> None:
    content = sealed(b"what was said")
    assert unsealed("x", content) == b"what was said"
    for at in range(len(content)):
        with pytest.raises(Damaged, match="x is damaged"):
            unsealed("x", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(Damaged):
            unsealed("x", content[:at])

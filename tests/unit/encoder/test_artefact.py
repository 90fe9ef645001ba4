"""An artefact is published whole or not at all, and opened only as it was published."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from encoder import artefact
from encoder.artefact import FILES, open_artefact, publishing, write_goldens, write_manifest
from encoder.backends.protocol import Goldens
from encoder.errors import FileDamaged, FileMissing, ModelFault
from encoder.fingerprint import Identity

IDENTITY = Identity("tiny", "0" * 64, "int8", "mean", "l2", "", 4, 16, "onnx", (2,))
GOLDENS = Goldens(("space opera", ""), np.eye(2, 4, dtype=np.float32), 0.001)


def publish(root: Path, weights: bytes = b"weights" * 99) -> Path:
    with publishing(root) as aside:
        for name in (artefact.GRAPH, artefact.TOKENISER, artefact.REPORT):
            (aside / name).write_text(json.dumps({"this is": name}))
        (aside / artefact.WEIGHTS).write_bytes(weights)
        write_goldens(aside / artefact.GOLDENS, GOLDENS)
        write_manifest(aside, IDENTITY, 3, True, {"versions": {"onnx": "1"}})
    return root


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def turn_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def swap(file: Path) -> None:
    """Another artefact's file of the same size."""
    content = bytearray(file.read_bytes())
    content[-8:] = content[-8:][::-1]
    file.write_bytes(content)


def test_what_was_published_is_what_is_opened(tmp_path: Path) -> None:
    opened = open_artefact(publish(tmp_path / "deep" / "tiny"))
    assert (opened.identity, opened.identity.backend, opened.identity.dimensions) == (IDENTITY, "onnx", (2,))
    assert (opened.padding_id, opened.lower_case) == (3, True)
    assert (opened.goldens.texts, opened.goldens.tolerance) == (GOLDENS.texts, GOLDENS.tolerance)
    assert np.array_equal(opened.goldens.embeddings, GOLDENS.embeddings)


@pytest.mark.parametrize("damage", [truncate, turn_a_bit, swap])
@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused_by_name(name: str, damage: Callable[[Path], None], tmp_path: Path) -> None:
    root = publish(tmp_path / "tiny")
    damage(root / name)
    with pytest.raises(FileDamaged, match=rf"{name} has .* and should have .*prepare"):
        open_artefact(root)


@pytest.mark.parametrize("name", [*FILES, artefact.MANIFEST])
def test_a_missing_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    root = publish(tmp_path / "tiny")
    (root / name).unlink()
    with pytest.raises(FileMissing, match=rf"{name} can not be read"):
        open_artefact(root)
    assert artefact.is_artefact(root)


def test_the_manifest_of_another_artefact_is_refused(tmp_path: Path) -> None:
    root, other = publish(tmp_path / "tiny"), publish(tmp_path / "other", b"other weights")
    shutil.copy(other / artefact.MANIFEST, root)
    with pytest.raises(FileDamaged, match=r"weights\.bin"):
        open_artefact(root)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format 2"),
        ("fingerprint", "tiny/fp32", "contradicts itself"),
        ("files", {}, "contradicts itself"),
        ("files", None, "not what an encoder wrote"),
        ("identity", {"model": "tiny"}, "not what an encoder wrote"),
        ("padding_id", "none", "not what an encoder wrote"),
    ],
)
def test_a_manifest_that_was_edited_is_refused(key: str, value: object, message: str, tmp_path: Path) -> None:
    file = publish(tmp_path / "tiny") / artefact.MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(FileDamaged, match=rf"manifest\.json .*{message}"):
        open_artefact(file.parent)


def test_a_precision_that_was_edited_is_refused(tmp_path: Path) -> None:
    file = publish(tmp_path / "tiny") / artefact.MANIFEST
    file.write_text(file.read_text().replace('"precision": "int8"', '"precision": "fp32"'))
    with pytest.raises(FileDamaged, match="contradicts itself"):
        open_artefact(file.parent)


@pytest.mark.parametrize("content", ["", "{", "[]", "3"])
def test_a_manifest_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / artefact.MANIFEST).write_text(content)
    with pytest.raises(FileDamaged, match=r"manifest\.json"):
        open_artefact(tmp_path)


def test_what_fails_on_the_way_publishes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of luck"), publishing(tmp_path / "tiny") as aside:
        (aside / artefact.WEIGHTS).write_bytes(b"half")
        raise RuntimeError("out of luck")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_seen_at_the_target_before_the_end(tmp_path: Path) -> None:
    with publishing(tmp_path / "tiny") as aside:
        assert aside.parent == tmp_path
        assert not (tmp_path / "tiny").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_an_artefact_is_never_overwritten(tmp_path: Path) -> None:
    publish(tmp_path / "tiny")
    with pytest.raises(ModelFault, match="is there already"):
        publish(tmp_path / "tiny", b"other")
    assert open_artefact(tmp_path / "tiny").identity == IDENTITY


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFault, match="--out"):
        publish(tmp_path / "file" / "tiny")

"""A graph is built once, kept whole or not at all, and never used when it was damaged."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from encoder.backends.building import kept_graph
from encoder.backends.folder import ModelFolder
from encoder.backends.onnx import OnnxBackend
from encoder.backends.protocol import embed
from encoder.errors import ModelFault, ModelUnsupported


@pytest.fixture
def folder(t5: Path) -> ModelFolder:
    return ModelFolder(t5, "tiny")


def test_a_kept_graph_is_used_again(folder: ModelFolder, tmp_path: Path) -> None:
    first, second = kept_graph(folder, tmp_path), kept_graph(folder, tmp_path)
    assert first == (second[0], True)
    assert second[1] is False


@pytest.mark.parametrize("damaged", ["graph.onnx", "weights.bin", "manifest.json"])
def test_a_damaged_graph_is_built_again(
    damaged: str, t5: Path, folder: ModelFolder, tmp_path: Path, open_model: Callable[..., OnnxBackend]
) -> None:
    graph, _ = kept_graph(folder, tmp_path / "state")
    before = embed(open_model(t5), ["love in paris"])
    file = graph.with_name(damaged)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x40
    file.write_bytes(content)
    assert kept_graph(folder, tmp_path / "state") == (graph, True)
    assert kept_graph(folder, tmp_path / "state") == (graph, False)
    assert np.array_equal(embed(open_model(t5), ["love in paris"]), before)


def test_a_missing_part_is_built_again(folder: ModelFolder, tmp_path: Path) -> None:
    graph, _ = kept_graph(folder, tmp_path)
    graph.with_name("weights.bin").unlink()
    assert kept_graph(folder, tmp_path) == (graph, True)
    assert graph.with_name("weights.bin").exists()


def test_nothing_unfinished_stays_behind(folder: ModelFolder, tmp_path: Path) -> None:
    graph, _ = kept_graph(folder, tmp_path)
    assert [path.name for path in (tmp_path / "graphs").iterdir()] == [graph.parent.name]
    assert sorted(path.name for path in graph.parent.iterdir()) == ["graph.onnx", "manifest.json", "weights.bin"]


def test_what_a_killed_process_left_is_removed_once_it_is_old(folder: ModelFolder, tmp_path: Path) -> None:
    graphs = tmp_path / "graphs"
    for name, age_s in (("building-old", 7200), ("building-now", 0)):
        (graphs / name).mkdir(parents=True)
        (graphs / name / "weights.bin").write_bytes(b"half")
        os.utime(graphs / name, (time.time() - age_s,) * 2)
    graph, _ = kept_graph(folder, tmp_path)
    assert {path.name for path in graphs.iterdir()} == {"building-now", graph.parent.name}


def test_a_failed_build_leaves_nothing(t5: Path, tmp_path: Path) -> None:
    config = (t5 / "config.json").read_text()
    (t5 / "config.json").write_text(config.replace('"relu"', '"mish"'))
    with pytest.raises(ModelUnsupported, match="mish"):
        kept_graph(ModelFolder(t5, "tiny"), tmp_path)
    assert list((tmp_path / "graphs").iterdir()) == []


def test_other_weights_have_another_graph(folder: ModelFolder, tiny: ModuleType, tmp_path: Path) -> None:
    other = ModelFolder(tiny.write_t5(tmp_path / "other", seed=5), "tiny")
    assert kept_graph(folder, tmp_path)[0] != kept_graph(other, tmp_path)[0]


def test_a_state_folder_that_is_a_file_is_named(folder: ModelFolder, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(ModelFault, match="ENCODER_STATE_DIR"):
        kept_graph(folder, tmp_path / "state")


def test_an_unknown_architecture_is_refused_with_the_known_ones(t5: Path, tmp_path: Path) -> None:
    config = (t5 / "config.json").read_text()
    (t5 / "config.json").write_text(config.replace('"model_type": "t5"', '"model_type": "llama"'))
    with pytest.raises(ModelUnsupported, match=r"llama.*bert.*t5"):
        kept_graph(ModelFolder(t5, "tiny"), tmp_path)


def test_a_graph_built_by_another_process_meanwhile_is_taken(folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process is a second build that finishes between our build and our rename."""
    rename = os.rename
    beaten: list[bool] = []

    def beaten_rename(source: Path, target: Path) -> None:
        if not beaten:
            beaten.append(True)
            kept_graph(folder, tmp_path)
        rename(source, target)

    monkeypatch.setattr(os, "rename", beaten_rename)
    graph, _ = kept_graph(folder, tmp_path)
    assert beaten
    assert kept_graph(folder, tmp_path) == (graph, False)
    assert len(list((tmp_path / "graphs").iterdir())) == 1

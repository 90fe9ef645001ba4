"""Keys of compiled artefacts, and the manifest."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expander.runtimes import artefacts
from expander.runtimes.errors import ArtefactAbsent, ArtefactCorrupt, ArtefactMismatched, Refused, RuntimesError
from expander.runtimes.options import Options
from expander.runtimes.table import PROFILES

TRN1 = PROFILES["trn1-sdk2.28"]
OPTIONS = Options("/artefacts/models/TinyLlama-1.1B", model_revision="fe8a4ea", image="registry.example/vllm-neuron:1-trn1-sdk2.28")
TEXT = f"""warmstart-compiled/1
profile=trn1-sdk2.28
model=TinyLlama-1.1B
revision=fe8a4ea
tensor_parallel_size=2
max_num_seqs=8
max_model_len=2048
buckets=512,1024,2048
dtype=bfloat16
target=trn1
flags={TRN1.flags}
image=registry.example/vllm-neuron:1-trn1-sdk2.28"""
CHANGES: list[dict[str, Any]] = [
    {"model_path": "/artefacts/models/zephyr-7b"},
    {"model_name": "other"},
    {"model_revision": "fe8a4eb"},
    {"image": "registry.example/vllm-neuron@sha256:00"},
    {"tensor_parallel_size": 8},
    {"max_model_len": 4096},
    {"max_num_seqs": 4},
    {"dtype": "float16"},
]


def test_the_key_is_the_hash_of_the_documented_text() -> None:
    assert artefacts.inputs(TRN1, OPTIONS) == TEXT
    assert artefacts.key(TRN1, OPTIONS) == hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_each_input_changes_the_key(change: dict[str, Any]) -> None:
    assert artefacts.key(TRN1, replace(OPTIONS, **change)) != artefacts.key(TRN1, OPTIONS)


def test_profile_target_and_flags_change_the_key() -> None:
    others = (
        PROFILES["trn1-sdk2.31"],
        replace(TRN1, compile_target="inf2"),
        replace(TRN1, args=(*TRN1.args, "--new")),
        replace(TRN1, environment=(*TRN1.environment, ("NEURON_CC_FLAGS", "-O1"))),
    )
    assert len({artefacts.key(profile, OPTIONS) for profile in (TRN1, *others)}) == 5


@pytest.mark.parametrize("change", [{"served_name": "x"}, {"port": 9}, {"host": "127.0.0.1"}, {"min_replicas": 3}])
def test_what_is_not_compiled_in_leaves_the_key_alone(change: dict[str, Any]) -> None:
    assert artefacts.key(TRN1, replace(OPTIONS, **change)) == artefacts.key(TRN1, OPTIONS)


@pytest.mark.parametrize("change", [{"model_revision": ""}, {"image": ""}])
def test_a_key_that_would_not_identify_the_artefact_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=next(iter(change))):
        artefacts.key(TRN1, replace(OPTIONS, **change))
    with pytest.raises(Refused, match="nothing is compiled"):
        artefacts.key(PROFILES["gpu"], OPTIONS)


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    folder = tmp_path / "compiled"
    (folder / "neuron").mkdir(parents=True)
    (folder / "model.pt").write_bytes(b"graph")
    (folder / "neuron" / "buckets.neff").write_bytes(b"bytes" * 1000)
    artefacts.write_manifest(folder, "k", "a=1\nb=2")
    return folder


def verify(folder: Path, identity: str = "k", hashed: str = "a=1\nb=2") -> None:
    artefacts.verify(folder, identity, hashed, "Compile again")


def test_what_was_compiled_is_accepted_and_listed_with_sizes_and_hashes(compiled: Path) -> None:
    verify(compiled)
    manifest = json.loads((compiled / artefacts.MANIFEST).read_text())
    assert manifest["files"]["neuron/buckets.neff"] == {"bytes": 5000, "sha256": hashlib.sha256(b"bytes" * 1000).hexdigest()}
    assert (manifest["key"], manifest["inputs"]) == ("k", ["a=1", "b=2"])


def test_a_file_changed_within_its_size_is_noticed(compiled: Path) -> None:
    (compiled / "model.pt").write_bytes(b"grapH")
    with pytest.raises(ArtefactCorrupt, match=r"model\.pt was changed\. Compile again"):
        verify(compiled)


def test_a_missing_and_an_added_file_are_noticed(compiled: Path) -> None:
    (compiled / "extra").write_bytes(b"")
    with pytest.raises(ArtefactCorrupt, match="extra was added"):
        verify(compiled)
    (compiled / "extra").unlink()
    (compiled / "neuron" / "buckets.neff").unlink()
    with pytest.raises(ArtefactCorrupt, match=r"buckets\.neff is missing"):
        verify(compiled)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": 3}'])
def test_a_broken_manifest_is_corrupt(compiled: Path, text: str) -> None:
    (compiled / artefacts.MANIFEST).write_text(text)
    with pytest.raises(ArtefactCorrupt):
        verify(compiled)


def test_other_inputs_are_a_mismatch_that_names_the_difference(compiled: Path) -> None:
    with pytest.raises(ArtefactMismatched, match="b=2 there, b=3 here"):
        verify(compiled, hashed="a=1\nb=3")
    with pytest.raises(ArtefactMismatched, match="another key"):
        verify(compiled, identity="l")


def test_links_become_files_when_compiled_and_are_refused_when_added(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "artefact", tmp_path / "elsewhere"
    for made in (folder, elsewhere):
        made.mkdir()
    (elsewhere / "graph.neff").write_text("graph")
    (folder / "linked.neff").symlink_to(elsewhere / "graph.neff")
    (folder / "cache").symlink_to(elsewhere, target_is_directory=True)
    artefacts.write_manifest(folder, "k", "a=1")
    (elsewhere / "graph.neff").write_text("another")
    artefacts.verify(folder, "k", "a=1", "Compile again")
    assert [(folder / name).read_text() for name in ("linked.neff", "cache/graph.neff")] == ["graph", "graph"]
    (folder / "more").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(ArtefactCorrupt, match="more is a link"):
        artefacts.verify(folder, "k", "a=1", "Compile again")


@pytest.mark.parametrize("target", ["nowhere", "."])
def test_a_link_that_can_not_be_copied_is_no_artefact(tmp_path: Path, target: str) -> None:
    (tmp_path / "graph.neff").write_text("graph")
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(ArtefactCorrupt, match="can not be copied"):
        artefacts.write_manifest(tmp_path, "k", "a=1")


def test_no_artefact_and_one_without_manifest_are_absent(compiled: Path) -> None:
    (compiled / artefacts.MANIFEST).unlink()
    for folder in (compiled, compiled / "nothing", compiled / "model.pt"):
        with pytest.raises(ArtefactAbsent, match="Compile again"):
            verify(folder)


def test_an_empty_folder_is_no_artefact(tmp_path: Path) -> None:
    with pytest.raises(ArtefactCorrupt):
        artefacts.write_manifest(tmp_path, "k", "a=1")


def test_each_error_has_an_exit_status_of_its_own() -> None:
    statuses = [kind.status for kind in RuntimesError.__subclasses__()]
    assert len(set(statuses)) == len(statuses) >= 8
    assert all(64 <= status < 126 for status in statuses)

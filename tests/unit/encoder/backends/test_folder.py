"""A model folder that can not be used says which file is at fault and what to do."""

import hashlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from encoder.backends.folder import MINILM_SHA256, ModelFolder, open_folder
from encoder.errors import FileDamaged, FileMissing, ModelUnsupported


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(FileMissing, match=r"/no/such/model.*ENCODER_MODEL"):
        open_folder("/no/such/model")


@pytest.mark.parametrize(
    ("file", "remedy"), [("tokenizer.json", "save_pretrained"), ("model.safetensors", "pytorch_model.bin"), ("config.json", "fetch")]
)
def test_a_missing_file_is_named_with_the_remedy(file: str, remedy: str, t5: Path) -> None:
    (t5 / file).unlink()
    with pytest.raises(FileMissing, match=f"{file}.*{remedy}"):
        ModelFolder(t5, "tiny")


def test_weights_with_another_hash_are_refused(t5: Path) -> None:
    weights = t5 / "model.safetensors"
    expected = hashlib.sha256(weights.read_bytes()).hexdigest()
    ModelFolder(t5, "tiny", expected)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(FileDamaged, match=f"should have {expected}"):
        ModelFolder(t5, "tiny", expected)


def test_the_default_model_is_the_pinned_one_and_its_package_is_not_imported() -> None:
    folder = open_folder("minilm")
    assert hashlib.sha256((folder.root / "model.safetensors").read_bytes()).hexdigest() == MINILM_SHA256
    assert MINILM_SHA256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert (folder.name, folder.max_tokens, folder.pooling, folder.lower_case) == ("minilm-l6-v2", 256, "mean", False)
    with pytest.raises(FileDamaged, match="should have 0000"):
        open_folder("minilm", "0" * 64)


def test_truncated_weights_are_refused(t5: Path) -> None:
    weights = t5 / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(FileDamaged, match="no safetensors file"):
        ModelFolder(t5, "tiny")


def test_a_config_that_is_no_json_is_refused(t5: Path) -> None:
    (t5 / "config.json").write_text("{")
    with pytest.raises(FileDamaged, match=r"config\.json is not JSON"):
        ModelFolder(t5, "tiny")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "[]", r"config\.json is no JSON object"),
        ("modules.json", "{}", r"modules\.json is no list"),
        ("modules.json", '[{"path": ""}]', r"modules\.json has no 'type'"),
    ],
)
def test_a_file_of_another_form_is_refused(file: str, content: str, message: str, t5: Path) -> None:
    (t5 / file).write_text(content)
    with pytest.raises(FileDamaged, match=message):
        ModelFolder(t5, "tiny")


def test_a_config_without_a_needed_key_is_refused(t5: Path) -> None:
    (t5 / "config.json").write_text("{}")
    with pytest.raises(FileDamaged, match=r"config\.json has no 'model_type'"):
        ModelFolder(t5, "tiny").config["model_type"]


def test_a_missing_tensor_is_named(t5: Path) -> None:
    with pytest.raises(FileDamaged, match=r"encoder\.block\.9"):
        ModelFolder(t5, "tiny").checkpoint["encoder.block.9.layer.0.layer_norm.weight"]


def test_the_digest_covers_what_embeddings_depend_on_and_nothing_else(t5: Path, tiny: ModuleType) -> None:
    digest = ModelFolder(t5, "tiny").digest
    (t5 / "README.md").write_text("Nothing of this changes an embedding.")
    assert ModelFolder(t5, "tiny").digest == digest
    tiny.write_tokeniser(t5, "bert", 0)
    assert ModelFolder(t5, "tiny").digest != digest


def test_the_layout_of_sentence_transformers_is_followed(tmp_path: Path, tiny: ModuleType) -> None:
    folder = ModelFolder(tiny.write_t5(tmp_path / "st", "sentence-t5-projection"), "st")
    (projection,) = folder.projections()
    assert (folder.pooling, projection.weight.shape, projection.bias, projection.activation) == ("mean", (16, 24), None, None)


@pytest.mark.parametrize(
    ("module", "file", "old", "new", "message"),
    [
        ("a module", "modules.json", "models.Normalize", "models.CNN", "CNN module.*known are Transformer"),
        (
            "a pooling",
            "1_Pooling/config.json",
            '"pooling_mode_max_tokens": false',
            '"pooling_mode_max_tokens": true',
            "max_tokens.*known are",
        ),
        ("an activation", "2_Dense/config.json", "linear.Identity", "activation.Mish", "Mish.*known are"),
    ],
)
def test_what_no_graph_is_written_for_is_refused(
    module: str, file: str, old: str, new: str, message: str, tmp_path: Path, tiny: ModuleType
) -> None:
    root = tiny.write_t5(tmp_path / "st", "sentence-t5-projection")
    content = (root / file).read_text()
    assert old in content, module
    (root / file).write_text(content.replace(old, new))
    with pytest.raises(ModelUnsupported, match=message):
        ModelFolder(root, "st").projections()


def test_a_projection_without_safetensors_is_named(tmp_path: Path, tiny: ModuleType) -> None:
    root = tiny.write_t5(tmp_path / "st", "sentence-t5-projection")
    (root / "2_Dense/model.safetensors").unlink()
    with pytest.raises(FileMissing, match=r"2_Dense/model\.safetensors.*pytorch_model\.bin"):
        ModelFolder(root, "st")


def test_weights_in_several_files_are_read_as_one(t5: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(t5 / "model.safetensors")
    names = sorted(tensors)
    parts = {"part-1.safetensors": names[:5], "part-2.safetensors": names[5:]}
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, t5 / file)
    weight_map = {name: file for file, held in parts.items() for name in held}
    (t5 / "model.safetensors").unlink()
    (t5 / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    checkpoint = ModelFolder(t5, "tiny").checkpoint
    assert all(np.array_equal(checkpoint[name], tensors[name]) for name in names)
    with pytest.raises(ModelUnsupported, match="ENCODER_WEIGHTS_SHA256"):
        ModelFolder(t5, "tiny", "0" * 64)

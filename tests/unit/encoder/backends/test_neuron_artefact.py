"""A compiled model is used only whole, unchanged and for exactly what it was compiled for."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from encoder.backends.neuron_artefact import MANIFEST, TOKENISER, Recipe, Wanted, find, read_manifest, room, verify, write_manifest
from encoder.backends.neuron_buckets import grid
from encoder.errors import FileDamaged, FileMissing, ModelUnsupported

VERSIONS = {"torch": "2.9.0", "torch-neuronx": "2.9.0.2.11", "neuronx-cc": "2.22.1"}
RECIPE = Recipe(
    model="tiny",
    weights="ab" * 32,
    pooling="mean",
    projections=((16, 24),),
    dimension=16,
    dimensions=(8,),
    max_tokens=64,
    precision="bf16",
    target="trn1",
    buckets=("1x32", "8x64"),
    options=("--target", "trn1"),
    versions=VERSIONS,
    padding_id=0,
    lower_case=False,
)
OTHER: dict[str, Any] = {
    "model": "large",
    "weights": "cd" * 32,
    "pooling": "cls",
    "projections": ((16, 25),),
    "dimension": 17,
    "dimensions": (),
    "max_tokens": 128,
    "precision": "fp32",
    "target": "trn2",
    "buckets": ("1x32",),
    "options": ("--target", "trn2"),
    "versions": VERSIONS | {"neuronx-cc": "2.23.0"},
    "padding_id": 1,
    "lower_case": True,
    "builder": "0",
}
WANTED = Wanted("trn1", "bf16", 0, VERSIONS)


def publish(store: Path, recipe: Recipe = RECIPE) -> Path:
    home = store / recipe.key
    home.mkdir(parents=True)
    for name in recipe.files:
        (home / name).write_bytes(f"{recipe.key} {name}".encode())
    write_manifest(home, recipe)
    return home


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_the_key_changes_with_everything_in_the_recipe(name: str) -> None:
    assert replace(RECIPE, **{name: OTHER[name]}).key != RECIPE.key


def test_the_key_does_not_depend_on_the_order_of_versions() -> None:
    assert replace(RECIPE, versions=dict(reversed(VERSIONS.items()))).key == RECIPE.key


def test_a_published_model_is_found_in_its_store_and_by_its_own_path(tmp_path: Path) -> None:
    home = publish(tmp_path)
    assert find(tmp_path, WANTED) == (home, RECIPE)
    assert find(home, WANTED) == (home, RECIPE)


def test_the_one_that_fits_is_found_among_others(tmp_path: Path) -> None:
    home = publish(tmp_path)
    for change in ("target", "precision", "versions"):
        publish(tmp_path, replace(RECIPE, **{change: OTHER[change]}))
    assert find(tmp_path, WANTED)[0] == home


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (replace(WANTED, target="trn2"), "target is trn1, wanted trn2"),
        (replace(WANTED, precision="fp32"), "precision is bf16, wanted fp32"),
        (replace(WANTED, max_tokens=128), "max_tokens is 64, wanted 128"),
        (replace(WANTED, versions=VERSIONS | {"torch-neuronx": "2.8"}), r"torch-neuronx is 2\.9\.0\.2\.11, wanted 2\.8"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_difference_told(wanted: Wanted, message: str, tmp_path: Path) -> None:
    publish(tmp_path)
    with pytest.raises(ModelUnsupported, match=f"{message}.*python -m encoder compile"):
        find(tmp_path, wanted)


def test_a_compiler_that_is_not_installed_where_models_are_served_is_not_compared(tmp_path: Path) -> None:
    home = publish(tmp_path)
    served = {name: version for name, version in VERSIONS.items() if name != "neuronx-cc"}
    assert find(tmp_path, replace(WANTED, versions=served))[0] == home


def test_an_older_builders_model_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, replace(RECIPE, builder="0"))
    with pytest.raises(ModelUnsupported, match="builder is 0"):
        find(tmp_path, WANTED)


@pytest.mark.parametrize("where", [".", "not-there"])
def test_an_empty_store_is_refused_with_the_command(where: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnsupported, match=r"nothing compiled.*--target trn1 --precision bf16"):
        find(tmp_path / where, WANTED)


def test_two_that_fit_are_refused_by_name(tmp_path: Path) -> None:
    homes = [publish(tmp_path), publish(tmp_path, replace(RECIPE, buckets=("1x64",)))]
    with pytest.raises(ModelUnsupported, match="set ENCODER_MODEL to one") as refused:
        find(tmp_path, WANTED)
    assert all(home.name in str(refused.value) for home in homes)


@pytest.mark.parametrize("name", RECIPE.files)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    home = publish(tmp_path)
    (home / name).unlink()
    with pytest.raises(FileMissing, match=name):
        find(tmp_path, WANTED)


@pytest.mark.parametrize("name", RECIPE.files)
def test_a_changed_file_is_named(name: str, tmp_path: Path) -> None:
    home = publish(tmp_path)
    content = bytearray((home / name).read_bytes())
    content[-1] ^= 1
    (home / name).write_bytes(content)
    with pytest.raises(FileDamaged, match=name):
        verify(home)


def test_swapped_files_are_seen(tmp_path: Path) -> None:
    home = publish(tmp_path)
    first, second = (home / f"{name}.pt" for name in RECIPE.buckets)
    first.rename(home / "aside")
    second.rename(first)
    (home / "aside").rename(second)
    with pytest.raises(FileDamaged, match="SHA-256"):
        verify(home)


@pytest.mark.parametrize(
    ("field", "value"), [("target", "trn2"), ("buckets", ["1x32", "8x128"]), ("buckets", []), ("buckets", ["../x"]), ("weights", None)]
)
def test_a_manifest_whose_recipe_was_changed_is_refused(field: str, value: Any, tmp_path: Path) -> None:
    home = publish(tmp_path)
    manifest = json.loads((home / MANIFEST).read_text())
    manifest["recipe"][field] = value
    (home / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(FileDamaged, match=r"manifest\.json"):
        read_manifest(home)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"recipe": {}}', '{"recipe": {"buckets": 3}, "files": {}, "key": ""}', "null"])
def test_a_manifest_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    home = publish(tmp_path)
    (home / MANIFEST).write_text(content)
    with pytest.raises(FileDamaged, match=r"manifest\.json"):
        find(tmp_path, WANTED)


def test_a_manifest_that_names_no_hash_for_a_file_is_refused(tmp_path: Path) -> None:
    home = publish(tmp_path)
    manifest = json.loads((home / MANIFEST).read_text())
    del manifest["files"][TOKENISER]
    (home / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(FileDamaged, match=r"manifest\.json"):
        verify(home)


def test_a_damaged_manifest_beside_it_does_not_keep_a_sound_model_from_being_served(tmp_path: Path) -> None:
    home = publish(tmp_path)
    (publish(tmp_path, replace(RECIPE, target="trn2")) / MANIFEST).write_text("{")
    assert find(tmp_path, WANTED)[0] == home


def test_buckets_that_a_core_has_no_memory_for_are_refused() -> None:
    room(grid((1, 8), (64,)), 2_400_000_000, "trn1")
    with pytest.raises(ModelUnsupported, match=r"8 buckets of 2\.4 GB.*16 GiB"):
        room(grid((1, 8), (32, 64, 128, 256)), 2_400_000_000, "trn1")

"""Compiled models in a store of folders: what they were compiled from, their hashes, and which of them fits. Knows no device.

A store holds `<model>/<key>/` with one trace per bucket, the tokeniser, goldens and manifest.json. The key is the hash of the recipe, and
the recipe has everything that changes the traces, so another compiler, target or checkpoint is another folder and never the wrong one.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from encoder.backends.neuron_buckets import Bucket, parse
from encoder.errors import FileDamaged, FileMissing, ModelUnsupported

BUILDER = "1"
"""Raise it when the modules that are traced change."""
MANIFEST, TOKENISER, GOLDENS = "manifest.json", "tokenizer.json", "goldens.npz"


@dataclass(frozen=True)
class Recipe:
    """Everything that changes a compiled model."""

    model: str
    weights: str
    """SHA-256 over the files of the model folder: tensors, pooling, projections and configuration."""
    pooling: str
    projections: tuple[tuple[int, int], ...]
    """Rows and columns of each dense layer after pooling."""
    dimension: int
    dimensions: tuple[int, ...]
    """Fewer numbers that an embedding may be cut to."""
    max_tokens: int
    precision: str
    target: str
    buckets: tuple[str, ...]
    options: tuple[str, ...]
    """What the compiler was told."""
    versions: Mapping[str, str]
    """Of the compiler and of the libraries that traced, by package."""
    padding_id: int
    lower_case: bool
    builder: str = BUILDER

    @property
    def key(self) -> str:
        """Such as `0123456789abcdef0123456789abcdef`."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]

    @property
    def shapes(self) -> tuple[Bucket, ...]:
        """The buckets as shapes."""
        return tuple(parse(name) for name in self.buckets)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the compiled model consists of, beside its manifest."""
        return (TOKENISER, GOLDENS, *(trace_name(bucket) for bucket in self.shapes))


@dataclass(frozen=True)
class Wanted:
    """What a service needs of a compiled model; `max_tokens` 0 takes what it was compiled with."""

    target: str
    precision: str
    max_tokens: int
    versions: Mapping[str, str]
    """Of the packages that are installed; one that is not can not be compared."""

    def misfits(self, recipe: Recipe) -> list[str]:
        """Why it can not be used; empty where it can."""
        pairs = [("target", self.target, recipe.target), ("precision", self.precision, recipe.precision)]
        pairs += [("max_tokens", str(self.max_tokens or recipe.max_tokens), str(recipe.max_tokens)), ("builder", BUILDER, recipe.builder)]
        pairs += [(package, version, recipe.versions.get(package, "none")) for package, version in self.versions.items()]
        return [f"{name} is {found}, wanted {wanted}" for name, wanted, found in pairs if wanted != found]


def trace_name(bucket: Bucket) -> str:
    """The file of one bucket."""
    return f"{bucket.name}.pt"


def find(path: Path, wanted: Wanted) -> tuple[Path, Recipe]:
    """The one compiled model at or in `path` that fits, every file verified; raises `ModelFault` and never compiles."""
    homes = [path] if (path / MANIFEST).exists() else sorted(file.parent for file in path.glob(f"*/{MANIFEST}"))
    recipes, faults = _recipes(homes)
    fitting = [home for home, recipe in recipes.items() if not wanted.misfits(recipe)]
    if faults and not fitting:
        raise faults[0]
    if len(fitting) > 1:
        names = ", ".join(home.name for home in fitting)
        raise ModelUnsupported(f"{path} has {len(fitting)} compiled models that fit ({names}); set ENCODER_MODEL to one of them.")
    if not fitting:
        found = "; ".join(f"{home.name}: {', '.join(wanted.misfits(recipe))}" for home, recipe in recipes.items()) or "nothing compiled"
        raise ModelUnsupported(
            f"{path} has no compiled model for {wanted.target}/{wanted.precision} ({found}). Nothing is compiled at start: run "
            f"`python -m encoder compile MODEL --out STORE --target {wanted.target} --precision {wanted.precision}` with these versions."
        )
    verify(fitting[0])
    return fitting[0], recipes[fitting[0]]


def _recipes(homes: Sequence[Path]) -> tuple[dict[Path, Recipe], list[FileDamaged]]:
    """A damaged manifest is no reason to refuse the model beside it."""
    recipes: dict[Path, Recipe] = {}
    faults: list[FileDamaged] = []
    for home in homes:
        try:
            recipes[home] = read_manifest(home)[0]
        except FileDamaged as fault:
            faults.append(fault)
    return recipes, faults


def read_manifest(home: Path) -> tuple[Recipe, dict[str, str]]:
    """The recipe and the SHA-256 of each file; raises `FileDamaged` when they do not belong together."""
    try:
        manifest: dict[str, Any] = json.loads((home / MANIFEST).read_bytes())
        told = manifest["recipe"]
        lists = {name: tuple(told[name]) for name in ("buckets", "options", "dimensions")}
        recipe = Recipe(**{**told, **lists, "projections": tuple(tuple(shape) for shape in told["projections"])})
        hashes: dict[str, str] = dict(manifest["files"])
        sound = bool(manifest["key"] == recipe.key and recipe.shapes and set(hashes) == set(recipe.files))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileDamaged(f"{home / MANIFEST} can not be read ({type(error).__name__}: {error}); compile the model again.") from error
    if not sound:
        raise FileDamaged(f"{home / MANIFEST} was changed: its key is not that of its recipe; compile the model again.")
    return recipe, hashes


def verify(home: Path) -> None:
    """Raises `FileMissing` or `FileDamaged`, with the file, unless every file is as it was when it was written."""
    for name, known in read_manifest(home)[1].items():
        if not (home / name).is_file():
            raise FileMissing(f"{home / name} is not there; copy the compiled model again or compile it again.")
        if (found := sha256(home / name)) != known:
            raise FileDamaged(f"{home / name} has SHA-256 {found} and should have {known}; copy or compile the model again.")


def write_manifest(home: Path, recipe: Recipe) -> None:
    """Notes the recipe and the hashes of its files, which are there already."""
    manifest = {"key": recipe.key, "recipe": asdict(recipe), "files": {name: sha256(home / name) for name in recipe.files}}
    part = home / f"{MANIFEST}.part"
    part.write_text(json.dumps(manifest, indent=1))
    os.replace(part, home / MANIFEST)


def sha256(file: Path) -> str:
    """Of its bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def room(buckets: Sequence[Bucket], weight_bytes: int, target: str) -> None:
    """Raises `ModelUnsupported` when the traces can not lie in a core's memory together: each brings weights of its own."""
    needed, limit = weight_bytes * len(buckets), CORE_BYTES[target]
    if needed > limit * USABLE:
        raise ModelUnsupported(
            f"{len(buckets)} buckets of {weight_bytes / 1e9:.1f} GB of weights are {needed / 1e9:.1f} GB, but a core of {target} has "
            f"{limit / 2**30:.0f} GiB; name fewer --lengths or --rows, or take --precision bf16."
        )


CORE_BYTES = {"inf2": 16 * 2**30, "trn1": 16 * 2**30, "trn1n": 16 * 2**30, "trn2": 24 * 2**30}
"""Device memory of a core; on trn2 of a logical core, which is two physical ones."""
USABLE = 0.85
"""The part that weights may take; activations and the runtime need the rest."""

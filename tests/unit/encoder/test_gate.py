"""The gate counts what differs, and its sample is real."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder import gate
from gateway.passages import passage
from pipelines import sample


def unit(rows: int, width: int = 32, seed: int = 3) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def off_by(embeddings: NDArray[np.float32], noise: float, seed: int = 4) -> NDArray[np.float32]:
    near = embeddings + noise * unit(len(embeddings), embeddings.shape[1], seed)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    return near.astype(np.float32)


def test_the_same_embeddings_are_as_near_as_can_be() -> None:
    found = gate.compare(unit(100), unit(100))
    assert found.mean_cosine == pytest.approx(1)
    assert found.least_cosine == pytest.approx(1)
    assert (found.overlap, found.passages, found.passes) == (1.0, 100, True)


def test_a_rotation_keeps_the_neighbours_and_not_the_cosines() -> None:
    turned = unit(100)[:, ::-1]
    found = gate.compare(unit(100), turned)
    assert found.overlap == 1
    assert found.mean_cosine < 0.5
    assert not found.passes


def test_lost_neighbours_fail_however_near_the_cosines_are() -> None:
    crowded = off_by(np.repeat(unit(1), 200, axis=0), 0.2)
    found = gate.compare(crowded, off_by(crowded, 0.1, seed=5))
    assert found.mean_cosine > gate.MEAN_COSINE
    assert found.overlap < gate.OVERLAP
    assert not found.passes


def test_the_overlap_is_the_share_of_the_ten_nearest_others() -> None:
    """On a circle everybody's ten nearest are known; one of them moves far away and takes a tenth of ten neighbourhoods with it."""
    angles = np.arange(0, 40) / 40 * 2 * np.pi
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(40)], axis=1).astype(np.float32)
    moved = circle.copy()
    moved[7] = 0, 0, 1
    rows = gate.compare(circle, moved).overlap * 40
    assert 38 < rows <= 39 + 1e-9  # ten others each lose one of ten; the moved one keeps what it keeps by chance


def test_the_worst_embedding_is_told() -> None:
    broken = unit(100).copy()
    broken[5] *= -1
    assert gate.compare(unit(100), broken).least_cosine == pytest.approx(-1)


def test_the_sample_is_every_fourth_book_of_the_catalogue_as_the_gateway_writes_it() -> None:
    books = list(sample.items())[::4][: len(gate.sample())]
    assert gate.sample() == [passage(book["title"], book["attributes"], None).replace("\n", " ") for book in books]
    assert len(gate.sample()) >= gate.LEAST_LINES


def test_the_sample_is_named_in_the_notice_with_its_licence() -> None:
    notice = (Path(__file__).parents[3] / "NOTICE").read_text()
    assert "services/encoder/encoder/sample.txt.gz" in notice

"""The student, its training and its folder, on tiny shapes; needs torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

from pipelines.distil import batches, folder, training  # noqa: E402  # torch first
from pipelines.distil.student import Shape, Student, bucket  # noqa: E402

TINY = Shape(vocabulary=40, width=16, layers=2, heads=2, head_width=4, inner=24, dimension=20)
TOKENS = [[1, 5, 9, 2], [1, 7, 2], [1, 11, 12, 13, 14, 15, 2], [1, 30, 2], [1, 8, 8, 2]] * 4


def _student(seed: int = 1) -> Student:
    torch.manual_seed(seed)
    return Student(TINY)


def _examples(seed: int = 3) -> training.Examples:
    rows = np.random.default_rng(seed).standard_normal((len(TOKENS), TINY.dimension)).astype(np.float32)
    return training.Examples(TOKENS, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_embeddings_have_unit_length_and_ignore_padding() -> None:
    student = _student()
    together = training.run(student, TOKENS)
    alone = np.concatenate([training.run(student, [passage]) for passage in TOKENS])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_order_of_words_matters_once_distances_are_learnt() -> None:
    student = _student()
    torch.nn.init.normal_(student.distances.weight)
    one, other = training.run(student, [[1, 5, 9, 11, 2], [1, 11, 9, 5, 2]])
    assert np.abs(one - other).max() > 1e-4


def test_distances_fall_into_the_buckets_of_t5() -> None:
    t5 = pytest.importorskip("encoder.backends.t5")
    distances = np.arange(-200, 201)
    np.testing.assert_array_equal(bucket(torch.from_numpy(distances), 32, 128).numpy(), t5.buckets(distances, 32, 128))


def test_the_start_puts_each_word_where_the_teacher_puts_it() -> None:
    student, random = _student(), np.random.default_rng(2)
    words = torch.nn.functional.normalize(torch.from_numpy(random.standard_normal((40, 20))).float())
    student.start_from(words, words)
    with torch.no_grad():
        near = torch.nn.functional.cosine_similarity(student.projection(student.words.weight), words)
    assert float(near.mean()) > 0.9
    assert float(near.min()) > 0.6


def test_training_lowers_the_loss() -> None:
    student, examples = _student(), _examples()
    ids, mask = batches.padded(examples.tokens)
    theirs = torch.from_numpy(np.asarray(examples.embeddings))
    before = training.loss_of(student(ids, mask), theirs, 1.0).item()
    plan = training.Plan(steps=60, positions=64, warm_up=5, rate=1e-2, table_rate=1e-2, relations=1.0)
    run = training.Training(student, examples, plan, Path("not-written.pt"))
    for _ in range(plan.steps):
        run._advance(run._next_batch())
    assert training.loss_of(student(ids, mask), theirs, 1.0).item() < 0.7 * before


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_ends(tmp_path: Path) -> None:
    plan = training.Plan(steps=12, positions=32, warm_up=2)
    whole = training.Training(_student(), _examples(), plan, tmp_path / "whole.pt")
    whole.run({})
    first = training.Training(_student(), _examples(), plan, tmp_path / "parts.pt")
    for _ in range(5):
        first._advance(first._next_batch())
    first._save()
    second = training.Training(_student(seed=9), _examples(), plan, tmp_path / "parts.pt")
    assert second.step == 5
    second.run({})
    np.testing.assert_array_equal(training.run(second.student, TOKENS), training.run(whole.student, TOKENS))


def test_a_run_may_be_made_longer_or_shorter(tmp_path: Path) -> None:
    kept = tmp_path / "kept.pt"
    training.Training(_student(), _examples(), training.Plan(steps=2), kept).run({})
    longer = training.Training(_student(seed=9), _examples(), training.Plan(steps=4), kept)
    assert longer.step == 2
    longer.run({})
    assert longer.step == 4


def test_a_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kept.pt"
    training.Training(_student(), _examples(), training.Plan(steps=1), kept).run({})
    with pytest.raises(ValueError, match="another plan"):
        training.Training(_student(), _examples(), training.Plan(steps=1, positions=64), kept)


def test_batches_hold_every_text_once_and_within_the_limit() -> None:
    lengths = [len(passage) for passage in TOKENS]
    made = batches.shuffled(lengths, 16, seed=4)
    assert sorted(index for batch in made for index in batch) == list(range(len(TOKENS)))
    assert all(max(lengths[index] for index in batch) * len(batch) <= 16 for batch in made)
    assert batches.shuffled(lengths, 16, seed=4) == made != batches.shuffled(lengths, 16, seed=5)


def test_the_written_folder_opens_in_the_encoder_with_the_same_embeddings(
    tmp_path: Path, tiny_tokeniser: dict[str, Any], opened: Callable[[Path], Any]
) -> None:
    from encoder.backends.protocol import embed
    from pipelines.distil.tokeniser import encoded

    student = _student(6)
    folder.write(student, tiny_tokeniser, tmp_path / "model")
    texts = ["w3 w9", "w11 w12 w13 w4", "w7"]
    ours = embed(opened(tmp_path / "model"), texts)
    theirs = training.run(student, encoded(tiny_tokeniser, texts))
    assert (ours * theirs).sum(1).min() > 0.9999

"""`python -m pipelines distil`: texts, teacher, student, training, folder. Knows the order of the work; torch is imported at its start."""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.distil import corpus

SEED = 7


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the job, each with its unit."""
    parser.add_argument("--work", type=Path, required=True, help="folder for the teacher's embeddings and checkpoints (about 500 MB)")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write when training has ended")
    parser.add_argument("--steps", type=int, default=4_000, help="batches to train on")
    parser.add_argument("--positions", type=int, default=4_096, help="tokens and padding per batch")
    parser.add_argument("--phrases", type=int, default=160_000, help="texts of the grammar")
    parser.add_argument("--strings", type=int, default=30_000, help="texts of random words of the vocabulary")
    parser.add_argument("--variants", type=int, default=5, help="shortened or mixed passages per book of the sample, beside the whole one")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")


def run(chosen: argparse.Namespace) -> None:
    """Does the whole job; started again after a stop, it goes on where it was."""
    import torch

    from pipelines.distil import folder, teacher, tokeniser, training
    from pipelines.distil.student import Shape, Student

    torch.set_num_threads(chosen.threads)
    chosen.work.mkdir(parents=True, exist_ok=True)
    source = teacher.folder()
    theirs = tokeniser.read(source)
    ours = tokeniser.trimmed(theirs)
    words = tokeniser.vocabulary(ours)
    texts = corpus.build(corpus.Sizes(chosen.phrases, chosen.strings, chosen.variants), words, SEED)
    print(f"{len(texts.training)} texts; held back: {len(texts.phrases)} phrases, {len(texts.passages)} passages", flush=True)

    def examples(name: str, some: tuple[str, ...]) -> training.Examples:
        embeddings = teacher.embedded(source, tokeniser.encoded(theirs, some), chosen.work / f"{name}-{key(some)}.npy")
        return training.Examples(tokeniser.encoded(ours, some), embeddings)

    cls, sep = (theirs["model"]["vocab"][token] for token in ("[CLS]", "[SEP]"))
    alone = [[cls, token, sep] for token in tokeniser.teachers_ids(theirs, ours)]
    single = teacher.embedded(source, alone, chosen.work / f"words-{key(words)}.npy")
    measured = {"phrases": examples("phrases", texts.phrases), "passages": examples("passages", texts.passages)}
    learnt = examples("training", texts.training)
    torch.manual_seed(SEED)
    student = Student(Shape(len(words)))
    some = np.asarray(learnt.embeddings[:20_000], np.float32)
    student.start_from(torch.from_numpy(np.asarray(single, np.float32)), torch.from_numpy(some))
    plan = training.Plan(chosen.steps, chosen.positions)
    kept = chosen.work / f"checkpoint-{key(texts.training)}.pt"  # of other texts, another run
    training.Training(student, learnt, plan, kept).run(measured)
    folder.write(student, ours, chosen.out)
    print(f"Written: {chosen.out}")


def key(texts: Sequence[str]) -> str:
    """Names the files that are made of these texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]

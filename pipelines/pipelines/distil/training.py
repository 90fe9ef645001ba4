"""Trains the student on the teacher's embeddings, stoppable at any time. Knows tokens and embeddings, nothing of where they come from."""

import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.distil.batches import Tokens, by_length, padded, shuffled
from pipelines.distil.measuring import Array, nearness
from pipelines.distil.student import Student

REPORT_EVERY, MEASURE_EVERY = 50, 400
"""Steps."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast: `positions` tokens and padding a batch; rates rise over `warm_up` steps and fall as a cosine to 0."""

    steps: int
    positions: int = 4_096
    rate: float = 1e-3
    table_rate: float = 3e-3
    warm_up: int = 150
    relations: float = 10.0
    saved_every_s: float = 300.0
    seed: int = 11


@dataclass(frozen=True)
class Examples:
    """Token ids of texts, and the teacher's unit-length embeddings of them `(n, dim)`, in the same order."""

    tokens: Tokens
    embeddings: np.ndarray[Any, Any]


def loss_of(ours: Tensor, theirs: Tensor, relations: float) -> Tensor:
    """1 - cosine, plus `relations` times the mean squared error of the similarities within the batch (Park et al., 2019)."""
    pointwise = 1 - (ours * theirs).sum(1).mean()
    off = (ours @ ours.T - theirs @ theirs.T).square()
    pairs = max(1, len(ours) * (len(ours) - 1))
    return pointwise + relations * (off.sum() - off.diagonal().sum()) / pairs


class Training:
    """One run, whose state is kept in a folder so that the next start goes on where this one was stopped."""

    def __init__(self, student: Student, examples: Examples, plan: Plan, kept: Path) -> None:
        self.student, self.examples, self.plan, self.kept = student, examples, plan, kept
        table = [student.words.weight]
        others = [weight for weight in student.parameters() if weight is not student.words.weight]
        groups = [{"params": others, "peak": plan.rate}, {"params": table, "peak": plan.table_rate}]
        self.optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.step, self.seconds = 0, 0.0
        self._lengths = [len(passage) for passage in examples.tokens]
        self._epoch, self._before = 0, 0
        self._batches = shuffled(self._lengths, plan.positions, plan.seed)
        if kept.exists():
            self._resume()

    def run(self, measured: dict[str, Examples]) -> None:
        """Trains to the end of the plan; prints the loss and how near the student is on `measured`."""
        saved = started = time.monotonic()
        before, losses = self.seconds, []
        while self.step < self.plan.steps:
            losses.append(self._advance(self._next_batch()))
            self.seconds = before + time.monotonic() - started
            if self.step % REPORT_EVERY == 0:
                print(f"step {self.step} of {self.plan.steps}: loss {np.mean(losses):.4f}, {self.seconds:.0f} s", flush=True)
                losses = []
            if self.step % MEASURE_EVERY == 0 or self.step == self.plan.steps:
                for name, examples in measured.items():
                    ours = run(self.student, examples.tokens)
                    print(f"  {name}: {nearness(ours, examples.embeddings.astype(np.float32))}", flush=True)
            if time.monotonic() - saved > self.plan.saved_every_s or self.step == self.plan.steps:
                self._save()
                saved = time.monotonic()

    def _advance(self, batch: list[int]) -> float:
        self.step += 1
        progress = self.step / self.plan.steps
        scale = min(self.step / self.plan.warm_up, 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * scale
        ids, mask = padded([self.examples.tokens[index] for index in batch])
        theirs = torch.from_numpy(np.asarray(self.examples.embeddings[batch], np.float32))
        with torch.autocast("cpu", torch.bfloat16):
            ours = self.student(ids, mask)
        loss = loss_of(ours.float(), theirs, self.plan.relations)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.detach())

    def _next_batch(self) -> list[int]:
        """By step alone, so that a resumed run takes the batches that an unbroken one would."""
        while self.step - self._before >= len(self._batches):
            self._before += len(self._batches)
            self._epoch += 1
            self._batches = shuffled(self._lengths, self.plan.positions, self.plan.seed + self._epoch)
        return self._batches[self.step - self._before]

    def _save(self) -> None:
        aside = self.kept.with_suffix(".new")
        state = {"student": self.student.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step}
        torch.save({**state, "seconds": self.seconds, "plan": asdict(self.plan)}, aside)
        os.replace(aside, self.kept)

    def _resume(self) -> None:
        state = torch.load(self.kept, weights_only=True)
        if (was := {**state["plan"], "steps": self.plan.steps}) != asdict(self.plan):
            raise ValueError(f"{self.kept} is of another plan, {was}; give the same options (the steps may change) or another folder.")
        self.student.load_state_dict(state["student"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def run(student: Student, tokens: Tokens, positions: int = 4_096) -> Array:
    """Unit-length float32 embeddings `(n, dim)` in the order of `tokens`."""
    embeddings = np.empty((len(tokens), student.shape.dimension), np.float32)
    with torch.inference_mode():
        for batch in by_length([len(passage) for passage in tokens], positions):
            embeddings[batch] = student(*padded([tokens[index] for index in batch])).numpy()
    return embeddings

"""Measures the encoder against its goals, part by part, and writes docs/performance-encoder.md. Knows the parts' order, not what they do.

`--quick` takes a small T5 and a few minutes, and writes its page into the state folder. `--only serving,int8` runs those parts; the page
then tells the latest figures of each part. The GPU's part is measured elsewhere (`encoder_gpu`) and given by `--gpu FILE`.
"""

import argparse
import datetime
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.bench import (
    encoder_distilled,
    encoder_int8,
    encoder_latency,
    encoder_lengths,
    encoder_models,
    encoder_peers,
    encoder_raw,
    encoder_report,
    encoder_serving,
    encoder_soak,
    encoder_start,
)
from tests.bench.encoder_models import Model, PrepareFailed
from tests.bench.encoder_serving import Extent
from tests.bench.retriever_all import kept, run
from tests.bench.retriever_report import machine, verdict

PAGE = Path("docs/performance-encoder.md")
SOAK_S, QUICK_SOAK_S = 600.0, 20.0


class Models:
    """The models that are measured; one that can not be prepared is left out and told why."""

    def __init__(self, state: Path, shape: str) -> None:
        self._state, self.shape = state, shape
        self.failed: dict[str, str] = {}

    @cached_property
    def minilm(self) -> list[Model]:
        """As it is without preparation, and in int8."""
        return [encoder_models.minilm(), *self._made("minilm int8", lambda: encoder_models.minilm_int8(self._state))]

    @cached_property
    def mini(self) -> list[Model]:
        """The small T5, as it is shipped and in int8."""
        return [encoder_models.mini(), *self._made("t5-mini int8", lambda: encoder_models.mini_int8(self._state))]

    @cached_property
    def t5(self) -> list[Model]:
        return self._made(f"{self.shape} int8", lambda: encoder_models.t5_int8(self._state, self.shape))

    def int8(self) -> Model:
        """The T5; raises `PrepareFailed` when there is none."""
        if not self.t5:
            raise PrepareFailed(self.failed[f"{self.shape} int8"])
        return self.t5[0]

    @property
    def every(self) -> list[Model]:
        return [*self.minilm, *self.t5]

    @property
    def small(self) -> list[Model]:
        """What the default is chosen from."""
        return [*self.minilm, *self.mini]

    def _made(self, name: str, make: Callable[[], Model]) -> list[Model]:
        try:
            return [make()]
        except PrepareFailed as failed:
            self.failed[name] = " ".join(str(failed).split())
            print(f"  {name} could not be prepared: {self.failed[name]}", flush=True)
            return []

    def describe(self) -> dict[str, Any]:
        told = {model.name: dict(model.settings) | {"report": encoder_models.report(model)} for model in [*self.every, *self.mini]}
        return {"models": told, "failed": self.failed}


def parts(models: Models, state: Path, quick: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """In the order they run; `models` prepares what the others measure."""
    extent = Extent.quick() if quick else Extent()
    sizes = (1, 8) if quick else encoder_raw.SIZES
    rounds = extent.rounds
    return {
        "models": models.describe,
        "serving": lambda: encoder_serving.measure(models.every, state, extent, sizes),
        "peers": lambda: encoder_peers.measure(models.minilm, state, extent),
        "int8": lambda: encoder_int8.measure(models.int8(), state, models.shape, rounds, 0.2 if quick else 2.0),
        "latency": lambda: encoder_latency.measure(models.every, state, extent),
        "distilled": lambda: encoder_distilled.measure(models.small, state, 100 if quick else 1_000),
        "lengths": lambda: encoder_lengths.measure(models.every, state, 8 if quick else 64, rounds),
        "start": lambda: encoder_start.measure(models.every, state, rounds),
        "overload": lambda: encoder_latency.overload(models.minilm[-1], state, extent),
        "soak": lambda: encoder_soak.measure(models.minilm[-1], state, QUICK_SOAK_S if quick else SOAK_S),
    }


def show(results: dict[str, Any]) -> None:
    for name, goal, text, good in encoder_report.goals(results):
        print(f"  {name:<86} {goal:<9} {text}  {verdict(good).strip('*').upper()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".warmstart-bench"), help="for models, servers and other encoders; 6 GB")
    parser.add_argument("--quick", action="store_true", help="a small T5, short rounds")
    parser.add_argument("--only", default="", help="parts to run, with commas; all by default")
    parser.add_argument("--skip", default="", help="parts not to run, with commas")
    parser.add_argument("--gpu", type=Path, help="what encoder_gpu wrote, to be put on the page")
    parser.add_argument("--page", type=Path, help=f"where to write the figures; {PAGE} after a full run")
    chosen = parser.parse_args()
    state: Path = chosen.state.resolve()
    folder = state / ("results-encoder-quick" if chosen.quick else "results-encoder")
    folder.mkdir(parents=True, exist_ok=True)
    every = parts(Models(state, "t5-small" if chosen.quick else "t5-base"), state, chosen.quick)
    wanted = [name for name in chosen.only.split(",") if name] or list(every)
    if unknown := set(wanted) - set(every):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    if chosen.gpu:
        shutil.copy(chosen.gpu, folder / "gpu.json")
    for name in wanted:
        if name not in chosen.skip.split(","):
            try:
                run(name, every[name], folder)
            except PrepareFailed as failed:
                print(f"  {name} was not measured: {failed}", flush=True)
    results = kept(folder)
    command = f"python -m tests.bench.encoder_all{' --quick' * chosen.quick}"
    page = chosen.page or (folder / "performance.md" if chosen.quick else PAGE)
    page.write_text(encoder_report.page(results, command, datetime.date.today().isoformat()))
    print(f"{machine()}:")
    show(results)
    print(f"written: {page}")


if __name__ == "__main__":
    main()

"""A library under random operations, compared with plain dicts after each: writes, index jobs, failures, damage, restarts, searches.

By hand, for hours if need be: `python tests/chaos/model.py --operations 1000000 --seed 7`. A failure names the seed and the operation, and
the same seed does the same again. Knows nothing of HTTP and processes; those that are killed are in test_kill.py.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.chaos import indexing, reading, refusing, writing
from tests.chaos.sizes import small_sizes
from tests.chaos.trial import Trial

OPERATIONS: dict[str, tuple[float, Callable[[Trial], None]]] = {
    "put": (22, writing.put),
    "put vectors": (8, writing.put_vectors),
    "fill a space": (0.7, writing.fill),
    "patch": (9, writing.patch),
    "delete": (6, writing.delete),
    "delete many": (0.3, writing.delete_many),
    "delete and add": (2, writing.delete_and_add),
    "upload": (0.7, writing.upload),
    "create a space": (1, writing.create_space),
    "drop a space": (0.4, writing.drop_space),
    "cut over": (1.2, writing.cut_over),
    "roll back": (0.5, writing.roll_back),
    "refuse": (4, refusing.refuse),
    "disk full": (1, refusing.fill_the_disk),
    "fail at the end": (2, refusing.fail_at_the_end),
    "begin a job": (4, indexing.begin_job),
    "build": (3, indexing.build),
    "end a job": (2.5, indexing.end_job),
    "all jobs": (0.5, indexing.all_jobs),
    "restart": (0.4, indexing.restart),
    "restart after damage": (1, indexing.damaged_restart),
    "look up": (8, reading.look_up),
    "states": (4, reading.states),
    "search": (26, reading.search),
    "retrieve": (1, reading.retrieve),
}
"""How often each comes, and what it does."""


def run(trial: Trial, operations: int) -> None:
    """Does so many operations; a failure tells how to see it again."""
    names, weights = list(OPERATIONS), [weight for weight, _ in OPERATIONS.values()]
    try:
        for _ in range(operations):
            trial.done += 1
            (name,) = trial.rng.choices(names, weights)
            trial.did[name] += 1
            generation = trial.library.generation
            OPERATIONS[name][1](trial)
            assert trial.library.generation >= generation, f"{name}: the generation fell from {generation} to {trial.library.generation}"
        indexing.restart(trial)
    except BaseException as error:
        again = f"python tests/chaos/model.py --seed {trial.seed} --operations {trial.done}"
        error.add_note(f"operation {trial.done} of seed {trial.seed}: {again}")
        raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    started = time.monotonic()
    with small_sizes(), tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), asked.seed)
        while trial.done < asked.operations:
            run(trial, min(10_000, asked.operations - trial.done))
            took = time.monotonic() - started
            print(f"{trial.done:>9} operations, {took:7.1f} s, {len(trial.truth.items)} items, recall {trial.recall:.4f}", flush=True)
        trial.close()
        for title, counts in (("done", trial.did), ("plans", trial.plans), ("damage", trial.damages)):
            print(f"{title}: {dict(counts.most_common())}")


if __name__ == "__main__":
    main()

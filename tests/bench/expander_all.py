"""Measures the expander against its goals, part by part, and writes docs/performance-expander.md. Knows the parts' order, not what they do.

`--quick` takes a few minutes, and writes its page into the state folder. `--only cached,calls` runs those parts; the page then tells the
latest figures of each part.
"""

import argparse
import datetime
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import expander_cached, expander_calls, expander_overhead, expander_overload, expander_report, expander_soak
from tests.bench.retriever_all import kept, run
from tests.bench.retriever_report import machine, verdict
from tests.bench.retriever_timing import ROUNDS

PAGE = Path("docs/performance-expander.md")
SOAK_S, QUICK_SOAK_S = 600.0, 30.0


def parts(state: Path, quick: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """In the order they run."""
    rounds = 1 if quick else ROUNDS
    return {
        "cached": lambda: expander_cached.measure(state, 2.0 if quick else 8.0, rounds),
        "overhead": lambda: expander_overhead.measure(state, rounds, quick),
        "calls": lambda: expander_calls.measure(state, quick),
        "overload": lambda: expander_overload.measure(state, (8, 8) if quick else (20, 20)),
        "soak": lambda: expander_soak.measure(state, QUICK_SOAK_S if quick else SOAK_S),
    }


def busy(seconds: float = 1.0) -> float:
    """Share of the machine's processors that somebody takes now."""

    def taken() -> tuple[int, int]:
        ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]

    began, idle = taken()
    time.sleep(seconds)
    ended, still_idle = taken()
    return 1 - (still_idle - idle) / max(1, ended - began)


def told_with(work: Callable[[], dict[str, Any]], others: float) -> dict[str, Any]:
    return {**work(), "busy_before": others}


def show(results: dict[str, Any]) -> None:
    for name, goal, text, good in expander_report.goals(results):
        print(f"  {name:<100} {goal:<15} {text}  {verdict(good).strip('*').upper()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".warmstart-bench"), help="for the state of servers")
    parser.add_argument("--quick", action="store_true", help="short rounds, half a minute of soak")
    parser.add_argument("--only", default="", help="parts to run, with commas; all by default")
    parser.add_argument("--skip", default="", help="parts not to run, with commas")
    parser.add_argument("--page", type=Path, help=f"where to write the figures; {PAGE} after a full run")
    chosen = parser.parse_args()
    state: Path = chosen.state.resolve()
    folder = state / ("results-expander-quick" if chosen.quick else "results-expander")
    folder.mkdir(parents=True, exist_ok=True)
    every = parts(state, chosen.quick)
    wanted = [name for name in chosen.only.split(",") if name] or list(every)
    if unknown := set(wanted) - set(every):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    for name in wanted:
        if name not in chosen.skip.split(","):
            others = busy()
            run(name, partial(told_with, every[name], others), folder)
    results = kept(folder)
    command = f"python -m tests.bench.expander_all{' --quick' * chosen.quick}"
    page = chosen.page or (folder / "performance.md" if chosen.quick else PAGE)
    page.write_text(expander_report.page(results, command, datetime.date.today().isoformat()))
    print(f"{machine()}:")
    show(results)
    print(f"written: {page}")


if __name__ == "__main__":
    main()

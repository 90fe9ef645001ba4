"""The options of `python -m pipelines sweep`, and the order of its work. Knows no formula and no request."""

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from pipelines.sweep import endpoints, figures, grid, measuring, plots, replay, report, serving
from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.faults import ServerNotStarted, SweepIncomplete, SweepRefused
from pipelines.sweep.grid import Load, Pace
from pipelines.sweep.journal import Journal
from pipelines.sweep.measuring import Taken
from pipelines.sweep.results import Cell, Results, panels

JOURNAL = "cells.jsonl"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to the job's parser."""
    pace = Pace()
    parser.add_argument("--out", type=Path, required=True, help="folder for journal, report and plots; a sweep that was cut off goes on")
    parser.add_argument("--endpoint", action="append", default=[], metavar="KEY=VALUE,...", help=f"such as {endpoints.EXAMPLE}; repeatable")
    parser.add_argument("--endpoints", type=Path, metavar="FILE", help="TOML with an [[endpoint]] table for each, of the same keys")
    parser.add_argument("--replay", metavar="STUDY", help=f"measure nothing, report published figures: {', '.join(replay.STUDIES)}")
    parser.add_argument("--profile", help="start servers here, one after the other, by this runtime profile")
    parser.add_argument("--model-path", type=Path, help="with --profile: the model's folder")
    parser.add_argument("--tensor-parallel", type=_counts, metavar="N,...", help="with --profile: sizes to serve with; 1 by default")
    parser.add_argument("--serve-args", default="", metavar="TEXT", help="with --profile: further options of `expander.runtimes serve`")
    parser.add_argument("--instance", help="with --profile: the EC2 type it runs on, for the price")
    parser.add_argument("--start-s", type=float, default=1_800.0, help="with --profile: seconds until a server must be ready")
    parser.add_argument("--concurrency", type=_counts, default=[1, 4, 16], metavar="N,...", help="requests at once; 1,4,16 by default")
    parser.add_argument("--prompt-tokens", type=_counts, default=[128, 512], metavar="N,...", help="template included; 128,512 by default")
    parser.add_argument("--output-tokens", type=int, default=pace.output_tokens, help="of every completion; 64 by default")
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--requests", type=int, default=pace.requests, help="of each cell; 200 by default")
    until.add_argument("--seconds", type=float, help="of each cell, instead of a number of requests")
    parser.add_argument("--warmup", type=int, default=pace.warmup, help="requests of each caller that are not counted; 2 by default")
    parser.add_argument("--timeout-s", type=float, default=pace.timeout_s, help="seconds until an answer counts as failed; 120 by default")
    parser.add_argument("--ttft", action="store_true", help="stream answers, and measure the time to the first token too")
    parser.add_argument("--no-plots", action="store_true", help="leave the plots out, which need matplotlib")


def _counts(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 1,4,16") from None


def run(chosen: argparse.Namespace) -> None:
    """Measures or replays, and writes the report; raises `SweepFailed`."""
    if not chosen.no_plots:
        plots.check()
    _check(chosen)
    results = replay.replayed(chosen.replay) if chosen.replay else _measured(chosen)
    write(results, chosen.out, drawn=not chosen.no_plots)
    print(f"{chosen.out / 'sweep.md'}: {len(results.cells)} cells")
    if results.lacking:
        raise SweepIncomplete(f"{chosen.out / 'sweep.md'} is written and lacks {len(results.lacking)} cells: {'; '.join(results.lacking)}.")


def write(results: Results, folder: Path, *, drawn: bool) -> None:
    """`sweep.json`, `sweep.md` and, where `drawn`, the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    names = plots.draw(panels(results.cells), results.unit, folder) if drawn else []
    (folder / "sweep.json").write_text(json.dumps(report.document(results), indent=2) + "\n")
    (folder / "sweep.md").write_text(report.markdown(results, names))


def _check(chosen: argparse.Namespace) -> None:
    """Raises `SweepRefused` for options that would be ignored."""
    if chosen.replay and (chosen.endpoint or chosen.endpoints or chosen.profile):
        raise SweepRefused(f"--replay {chosen.replay} measures nothing: leave out the endpoints and --profile, or it.")
    if chosen.profile is None:
        for name in ("model_path", "tensor_parallel", "serve_args", "instance"):
            if value := getattr(chosen, name):
                raise SweepRefused(f"--{name.replace('_', '-')} {value} needs --profile: it tells how a server is started here.")
    elif chosen.model_path is None:
        raise SweepRefused(f"--profile {chosen.profile} needs --model-path: the folder of the model to serve.")


def _measured(chosen: argparse.Namespace) -> Results:
    pace = Pace(
        output_tokens=chosen.output_tokens,
        requests=None if chosen.seconds is not None else chosen.requests,
        seconds=chosen.seconds,
        warmup=chosen.warmup,
        timeout_s=chosen.timeout_s,
        ttft=chosen.ttft,
    )
    loads = grid.loads(chosen.concurrency, chosen.prompt_tokens, pace)
    given = endpoints.endpoints(chosen.endpoint, chosen.endpoints)
    served = _served(chosen)
    if not given and not served:
        raise SweepRefused("Nothing to measure: give --endpoint, --endpoints, or --profile with --model-path; or --replay aws-2025.")
    endpoints.check((*given, *(each.endpoint for each in served)))
    taken = Taken()
    with Journal(chosen.out / JOURNAL) as journal:
        for endpoint in given:
            asyncio.run(measuring.measure(endpoint, loads, pace, journal, taken))
        for server in served:
            _with_server(server, loads, pace, journal, taken)
    cells = [Cell(endpoint, load, figures.figures(endpoint, run), run) for endpoint, load, run in taken.runs]
    return Results("Sweep", "request", tuple(cells), pace=pace, unusable=taken.unusable)


def _served(chosen: argparse.Namespace) -> Sequence[serving.Server]:
    if chosen.profile is None:
        return ()
    sizes, logs = chosen.tensor_parallel or [1], chosen.out / "logs"
    return serving.servers(chosen.profile, chosen.model_path, sizes, chosen.serve_args, chosen.instance, logs=logs, start_s=chosen.start_s)


def _with_server(server: serving.Server, loads: Sequence[Load], pace: Pace, journal: Journal, taken: Taken) -> None:
    endpoint: Endpoint = server.endpoint
    if not measuring.missing(endpoint, loads, pace, journal):
        asyncio.run(measuring.measure(endpoint, loads, pace, journal, taken))
        return
    try:
        with server.running():
            asyncio.run(measuring.measure(endpoint, loads, pace, journal, taken))
    except ServerNotStarted as failed:
        print(failed)
        taken.unusable[endpoint.name] = str(failed)

"""Results as JSON for programs and as Markdown to read. Computes nothing but sums of text."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipelines.sweep.figures import Quantile
from pipelines.sweep.results import Cell, Panel, Point, Results, panels

HEAD = (
    "endpoint",
    "size",
    "at once",
    "prompt tokens",
    "p50 ms (95 %)",
    "p95 ms (95 %)",
    "p99 ms (95 %)",
    "first token p50 ms",
    "answers/s",
    "prompt tokens/s",
    "completion tokens/s",
    "core-s each",
    "core-s per 1,000",
    "USD per 1,000",
    "failed",
)
BUSY = 0.7
"""From this share of one CPU on, the client is said to have been busy itself."""


def document(results: Results) -> dict[str, Any]:
    """Everything but the single answers, which the journal keeps."""
    return {
        "format": 1,
        "title": results.title,
        "unit": results.unit,
        "pace": results.pace and asdict(results.pace),
        "notes": list(results.notes),
        "unusable": results.unusable,
        "cells": [_row(cell) for cell in results.cells],
        "choices": [_choice(panel) for panel in panels(results.cells) if len(panel.points) > 1],
    }


def markdown(results: Results, plots: Sequence[str] = ()) -> str:
    """Choices, plots, cells, endpoints, failures and notes."""
    found = panels(results.cells)
    parts = [f"# {results.title}", *(f"![{name}]({name})" for name in plots)]
    if choices := [_chosen(panel, results.unit) for panel in found if len(panel.points) > 1]:
        parts += ["## Fast or cheap", "\n".join(choices)]
    parts += ["## Cells", f"One answer is a {results.unit}. {_paced(results)}".strip(), _table(results.cells)]
    parts += ["## Endpoints", _endpoints(results.cells)]
    if failed := _failures(results):
        parts += ["## Failures", "\n".join(failed)]
    parts += ["## Notes", "\n".join(f"- {note}" for note in (*results.notes, *_notes(results.cells)))]
    return "\n\n".join(parts) + "\n"


def _row(cell: Cell) -> dict[str, Any]:
    shown, run = cell.figures, cell.run
    at = {name: value for name, value in asdict(cell.endpoint).items() if name != "key_file"}
    rates = {
        "prompt_tokens_per_second": shown.prompt_tokens_per_second,
        "completion_tokens_per_second": shown.completion_tokens_per_second,
        "core_seconds_per_1000": None if shown.core_seconds is None else 1_000 * shown.core_seconds,
    }
    told = {} if run is None else {name: value for name, value in asdict(run).items() if name not in ("answers", "failures")}
    return {"endpoint": at, "load": asdict(cell.load), "figures": {**asdict(shown), **rates}, "run": told}


def _choice(panel: Panel) -> dict[str, Any]:
    def point(at: Point) -> dict[str, Any]:
        return {"x": at.x, "p50_ms": at.ms, "core_seconds": at.core_seconds, "usd_per_1000": at.figures.usd_per_1000}

    as_fast = [at.x for at in panel.as_fast]
    return {"panel": panel.title, "x": panel.x, "fastest": point(panel.fastest), "as_fast": as_fast, "cheapest": point(panel.cheapest)}


def _chosen(panel: Panel, unit: str) -> str:
    fast, cheap = panel.fastest, panel.cheapest
    near = f" (not told apart from {', '.join(str(at.x) for at in panel.as_fast)})" if panel.as_fast else ""
    lead = f"- {panel.title}: fastest at {panel.at(fast)}{near}, p50 {fast.ms:,.0f} ms for {_priced(fast)} a {unit}"
    if fast is cheap:
        return f"{lead}, which is the cheapest too."
    gained, paid = cheap.ms / fast.ms, fast.core_seconds / cheap.core_seconds
    ratio = f"{gained:.1f} times as fast costs {paid:.1f} times as much"
    return f"{lead}; cheapest at {cheap.x}, {_priced(cheap)} for {cheap.ms:,.0f} ms. {ratio}."


def _priced(point: Point) -> str:
    money = point.figures.usd_per_1000
    return f"{point.core_seconds:.3g} core-s" + (f" ({money:.4g} USD per 1,000)" if money is not None else "")


def _paced(results: Results) -> str:
    if (pace := results.pace) is None:
        return ""
    until = f"{pace.requests} requests" if pace.requests is not None else f"{pace.seconds:g} s"
    return f"Each cell: {until} after {pace.warmup} of each caller to warm up, {pace.output_tokens} tokens asked for."


def _table(cells: Sequence[Cell]) -> str:
    rows = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for cell in cells:
        shown, load = cell.figures, cell.load
        length = "-" if load.prompt_tokens is None else f"{load.prompt_tokens} ({_number(shown.prompt_tokens, 1)})"
        spent = None if shown.core_seconds is None else 1_000 * shown.core_seconds
        fields = [
            *(cell.endpoint.name, str(cell.endpoint.tensor_parallel), str(load.concurrency), length),
            *map(_quantile, (shown.p50, shown.p95, shown.p99, shown.first_p50)),
            *(_number(value, 2) for value in (shown.per_second, shown.prompt_tokens_per_second, shown.completion_tokens_per_second)),
            *(_number(shown.core_seconds, 3), _number(spent, 0), _number(shown.usd_per_1000, 4), str(shown.failed)),
        ]
        rows.append(f"| {' | '.join(fields)} |")
    return "\n".join(rows)


def _quantile(value: Quantile | None) -> str:
    if value is None:
        return "-"
    interval = f" ({value.low:,.1f} to {value.high:,.1f})" if value.low is not None and value.high is not None else ""
    return f"{value.ms:,.1f}{'*' if value.largest else ''}{interval}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _endpoints(cells: Sequence[Cell]) -> str:
    rows = ["| endpoint | model | size | holds | USD/h | price |", "|---|---|---|---|---|---|"]
    for at in dict.fromkeys(cell.endpoint for cell in cells):
        price = ("-", "not given") if at.usd_per_hour is None else (f"{at.usd_per_hour:.4f}", at.price_source)
        plural = "" if at.cores == 1 else "s"
        rows.append(f"| {at.name} | {at.model} | {at.tensor_parallel} | {at.cores:g} {at.core}{plural} | {' | '.join(price)} |")
    return "\n".join(rows)


def _failures(results: Results) -> list[str]:
    lines = [f"- Not measured: {what}. {reason}" for what, reason in results.unusable.items()]
    for cell in results.cells:
        for cause, count in cell.figures.failures.items():
            said = f": {' '.join(cell.run.examples[cause].split())}" if cell.run and cell.run.examples.get(cause) else ""
            lines.append(f"- {cell.endpoint.name}, {cell.load}: {count} failed, {cause}{said}")
        if cell.run and cell.run.given_up:
            lines.append(f"- {cell.endpoint.name}, {cell.load}: given up, because nothing but failures came.")
    return lines


def _notes(cells: Sequence[Cell]) -> list[str]:
    """What a reader has to know of these cells in particular."""
    notes = ["Core-seconds = cores held / answers per second; size / latency, which grows with what is paid, is not a measure of cost."]
    measured = [(cell, cell.run) for cell in cells if cell.run]
    if any(part and part.largest for cell in cells for part in (cell.figures.p95, cell.figures.p99)):
        notes.append("\\* too few answers to tell this percentile from the largest value: the true one may lie above its interval.")
    for at, fixed in dict.fromkeys((cell.endpoint.name, run.fixed) for cell, run in measured):
        notes.append(f"{at}: length of completions set by {fixed}.")
    for cell, run in measured:
        lengths = {each.completion_tokens for each in run.answers}
        if len(lengths) > 1:
            notes.append(
                f"{cell.endpoint.name}, {cell.load}: completions had {min(lengths)} to {max(lengths)} tokens, so cells do not compare well."
            )
        if run.client_share > BUSY:
            notes.append(f"{cell.endpoint.name}, {cell.load}: this client used {run.client_share:.0%} of a CPU: some time is its own.")
    if any(cell.figures.failed for cell, _ in measured):
        notes.append("Percentiles are of answers alone; failures are counted, and the time they took is part of core-seconds and cost.")
    return notes

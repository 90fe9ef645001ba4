"""Keeps every user's recall of a measurement, and holds two measurements against each other. Knows files, nothing of services."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.evaluate import metrics
from pipelines.evaluate.chosen import EvaluateRefused
from pipelines.evaluate.report import Section

NAME = "recalls.json"
UNTOUCHED = ("random", "popularity")
"""Methods that no encoder has a part in."""

Recalls = dict[str, dict[str, list[float]]]


def write(sections: Sequence[Section], folder: Path) -> Recalls:
    """Recall@20 by section, method and user, in the users' order, which is the same in every measurement of one dataset."""
    kept = {section.title: {row.name: row.recalls.tolist() for row in section.rows} for section in sections}
    (folder / NAME).write_text(json.dumps(kept) + "\n")
    return kept


def read(folder: Path) -> Recalls:
    """What `write` kept in a folder; raises `EvaluateRefused` when there is nothing."""
    file = folder / NAME
    if not file.exists():
        raise EvaluateRefused(f"{file} is not there; name a folder that `python -m pipelines evaluate --out` wrote.")
    kept: Recalls = json.loads(file.read_text())
    return kept


def comparison(ours: Recalls, theirs: Recalls) -> list[str]:
    """Markdown: for each method that both measured, and whose recalls differ, which share of their recall ours is, with its interval."""
    lines = ["| evidence | method | recall@20 | against | share of it (95 %, paired) |", "|---|---|---|---|---|"]
    for title, rows in ours.items():
        for name, values in rows.items():
            other = theirs.get(title, {}).get(name)
            if other is None or name in UNTOUCHED or values == other:
                continue
            if len(values) != len(other):
                raise EvaluateRefused(f"{title}, {name}: {len(values)} users against {len(other)}; measure both on the same data.")
            share = metrics.paired_ratio(np.array(values), np.array(other))
            means = f"{np.mean(values):.4f} | {np.mean(other):.4f}"
            lines.append(f"| {title} | {name} | {means} | {share.mean:.3f} ({share.low:.3f} to {share.high:.3f}) |")
    return lines

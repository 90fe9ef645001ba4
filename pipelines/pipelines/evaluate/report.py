"""Turns rankings into the table of docs/quality.md. Knows metrics and Markdown, nothing of services."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.evaluate import metrics
from pipelines.evaluate.metrics import Estimate

K = 20


@dataclass
class Row:
    """One method's rankings for the reported users."""

    name: str
    recalls: metrics.Values
    ndcgs: metrics.Values
    coverage: float


@dataclass
class Section:
    """One amount of evidence: the rows measured with it."""

    title: str
    note: str
    rows: list[Row] = field(default_factory=list)
    compared: tuple[tuple[str, str], ...] = ()
    """Pairs of methods whose difference is told besides that to the best other one."""

    def add(self, name: str, rankings: Sequence[Sequence[str]], targets: Sequence[frozenset[str]], catalogue_size: int) -> None:
        """Measures one method; `rankings[u]` and `targets[u]` belong to the same user in every row of a section."""
        pairs = list(zip(rankings, targets, strict=True))
        recalls = np.array([metrics.recall(ranking, wanted, K) for ranking, wanted in pairs])
        ndcgs = np.array([metrics.ndcg(ranking, wanted, K) for ranking, wanted in pairs])
        self.rows.append(Row(name, recalls, ndcgs, metrics.coverage(rankings, K, catalogue_size)))
        print(f"  {name}: recall@20 {recalls.mean():.4f}, NDCG@20 {ndcgs.mean():.4f}")

    def difference(self, ours: str, control: str) -> tuple[str, Estimate]:
        """The best row other than `ours` and `control`, and the paired interval of ours minus it."""
        rival = max((row for row in self.rows if row.name not in (ours, control)), key=lambda row: row.recalls.mean())
        return rival.name, self.between(ours, rival.name)

    def between(self, one: str, other: str) -> Estimate:
        """The paired interval of one method's recall@20 minus another's."""
        by_name = {row.name: row for row in self.rows}
        return metrics.paired_difference(by_name[one].recalls, by_name[other].recalls)


def _interval(estimate: Estimate) -> str:
    return f"{estimate.mean:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"


def _section(section: Section, ours: str, control: str) -> list[str]:
    lines = [f"### {section.title}", "", section.note, "", "| method | recall@20 (95 %) | NDCG@20 (95 %) | coverage |", "|---|---|---|---|"]
    for row in section.rows:
        name = f"**{row.name}**" if row.name == ours else row.name
        figures = f"{_interval(metrics.estimate(row.recalls))} | {_interval(metrics.estimate(row.ndcgs))} | {row.coverage:.3f}"
        lines.append(f"| {name} | {figures} |")
    rival, gap = section.difference(ours, control)
    lines += ["", f"{ours} minus the best other row ({rival}), recall@20, paired: {_gap(gap)}."]
    for one, other in section.compared:
        lines += ["", f"{one} minus {other}, recall@20, paired: {_gap(section.between(one, other))}."]
    return [*lines, ""]


def _gap(estimate: Estimate) -> str:
    return f"{estimate.mean:+.4f} ({estimate.low:+.4f} to {estimate.high:+.4f})"


def markdown(sections: Sequence[Section], facts: Mapping[str, str], ladder: Mapping[str, Any], ours: str, control: str) -> str:
    """The whole of docs/quality.md."""
    steps = ladder["steps"]
    lines = [
        "# Quality, measured",
        "",
        "Written by `make evaluate`; do not edit. The running services were asked as a frontend asks them. Full ranking over the",
        "catalogue, seeds excluded; recall@20 = hits / min(20, targets); 95 % percentile bootstrap intervals over users. The weights",
        "of the ladder were chosen on other users than the ones reported here.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "## Held-out positives",
        "",
    ]
    for section in sections:
        lines += _section(section, ours, control)
    lines += [
        "## The ladder that was chosen",
        "",
        "| liked items | stated interest | weights | recall@20 on the tuning users |",
        "|---|---|---|---|",
    ]
    for step in steps:
        weights = ", ".join(f"{source} {weight:g}" for source, weight in step["weights"].items())
        measured = "{recall_at_20:.4f} ({cases} cases)".format(**step["measured"]) if "measured" in step else "-"
        lines.append(f"| {step['touched']} | {'yes' if step['interest'] else 'no'} | {weights} | {measured} |")
    return "\n".join([*lines, *_weighed(ladder)]) + "\n"


def _weighed(ladder: Mapping[str, Any]) -> list[str]:
    """How the share of an interest beside its topics was chosen; nothing for a ladder that does not tell."""
    if not (tried := ladder.get("provenance", {}).get("interest_weights")):
        return []
    return [
        "",
        f"A stated interest keeps {ladder['interest_weight']:g} of the content query, its topics share the rest. Of the shares that cost",
        "an interest in the catalogue's words at most 0.003 of recall, it is the one with the best recall in a reader's words, on some of",
        "the tuning users. With 1 topics have no part in the search.",
        "",
        "| the interest keeps | recall@20 in the catalogue's words | in a reader's words |",
        "|---|---|---|",
        *(f"| {weight} | {catalogue:.4f} | {reader:.4f} |" for weight, (catalogue, reader) in tried.items()),
    ]

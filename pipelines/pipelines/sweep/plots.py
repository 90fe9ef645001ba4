"""The two plots: latency against size, and cost beside it. By matplotlib, which the default install leaves out; computes nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.sweep.faults import PlotsMissing
from pipelines.sweep.figures import Quantile
from pipelines.sweep.results import Panel, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LATENCY, COST = "latency.svg", "cost.svg"
COLUMNS = 3
MARGIN = 0.2
COLOURS = {"p50": "#0072b2", "p95": "#e69f00", "p99": "#d55e00", "core": "#009e73", "usd": "#cc79a7"}
"""Told apart by people who see few colours (Okabe and Ito, 2008)."""


def check() -> None:
    """Raises `PlotsMissing` where matplotlib is not installed, which is better known before hours of measuring."""
    try:
        import matplotlib  # noqa: F401 - only here and below: the default install has none
    except ImportError:
        raise PlotsMissing(
            "matplotlib is not installed: pip install 'warmstart-pipelines[plots]', or leave plots out by --no-plots."
        ) from None


def draw(panels: Sequence[Panel], unit: str, folder: Path) -> list[str]:
    """Writes both into `folder`; their names, none where there is nothing to draw. Raises `PlotsMissing`."""
    check()
    import matplotlib

    if not panels:
        return []
    # text stays text, and the same results give the same file
    look = matplotlib.rc_context(
        {"svg.hashsalt": "warmstart", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
    )
    with look:
        for name, figure in ((LATENCY, _latency(panels, unit)), (COST, _cost(panels, unit))):
            figure.savefig(folder / name, metadata={"Date": None})
    return [LATENCY, COST]


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # no window, whatever the machine has
    return figure


def _latency(panels: Sequence[Panel], unit: str) -> "Figure":
    """One panel each: p50, p95 and p99 with their intervals."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(max(5.0, 4.2 * columns), 3.4 * rows)
    for place, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, place)
        for name in ("p50", "p95", "p99"):
            shown = [(point.x, value) for point in panel.points if (value := getattr(point.figures, name)) is not None]
            if shown:
                _line(axes, [x for x, _ in shown], [value for _, value in shown], name)
        _dress(axes, panel, f"ms a {unit}", panel.title)
        axes.legend()
    return figure


def _line(axes: "Axes", xs: Sequence[int], values: Sequence[Quantile], name: str) -> None:
    below = [value.ms - (value.ms if value.low is None else value.low) for value in values]
    above = [(value.ms if value.high is None else value.high) - value.ms for value in values]
    axes.errorbar(xs, [value.ms for value in values], yerr=[below, above], color=COLOURS[name], marker="o", capsize=3, label=name)


def _cost(panels: Sequence[Panel], unit: str) -> "Figure":
    """One row each: latency on the left, what it costs on the right; the best of each side is named."""
    figure = _figure(9.0, 3.4 * len(panels))
    for row, panel in enumerate(panels):
        left, right = figure.add_subplot(len(panels), 2, 2 * row + 1), figure.add_subplot(len(panels), 2, 2 * row + 2)
        xs = [point.x for point in panel.points]
        left.plot(xs, [point.ms for point in panel.points], color=COLOURS["p50"], marker="o", label="p50")
        _mark(left, panel.fastest, panel.fastest.ms, f"fastest: {panel.fastest.x}", above=True)
        _dress(left, panel, f"p50, ms a {unit}", panel.title)
        right.plot(xs, [point.core_seconds for point in panel.points], color=COLOURS["core"], marker="o", label="core-seconds")
        _mark(right, panel.cheapest, panel.cheapest.core_seconds, f"cheapest: {panel.cheapest.x}", above=False)
        _dress(right, panel, f"core-seconds a {unit}", f"cost ({panel.core}s; less is better)")
        _money(right, panel, unit)
    return figure


def _money(axes: "Axes", panel: Panel, unit: str) -> None:
    """A second scale for money where prices are known."""
    priced = [(point.x, point.figures.usd_per_1000) for point in panel.points if point.figures.usd_per_1000 is not None]
    if not priced:
        return
    other = axes.twinx()
    other.plot([x for x, _ in priced], [usd for _, usd in priced], color=COLOURS["usd"], marker="s", linestyle="--", label="USD")
    other.set_ylabel(f"USD per 1,000 {unit}{'es' if unit.endswith('ch') else 's'} (dashed)", color=COLOURS["usd"])
    other.margins(x=MARGIN, y=0.2)
    other.set_ylim(bottom=0)
    other.grid(visible=False)


def _mark(axes: "Axes", point: Point, y: float, text: str, *, above: bool) -> None:
    axes.plot([point.x], [y], marker="*", markersize=16, color="black", linestyle="none")
    axes.annotate(text, (point.x, y), xytext=(0, 12 if above else -20), textcoords="offset points", ha="center")


def _dress(axes: "Axes", panel: Panel, y: str, title: str) -> None:
    xs = [point.x for point in panel.points]
    axes.set_xscale("log", base=2)
    axes.set_xticks(xs, [str(x) for x in xs])
    axes.set_xticks([], minor=True)
    axes.margins(x=MARGIN, y=0.2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(panel.x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=9)

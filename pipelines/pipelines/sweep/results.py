"""Measured or published cells, and how they are laid side by side: by tensor-parallel size, or by concurrency where there is one size.

Knows nothing of how they are written or drawn.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.figures import Figures
from pipelines.sweep.grid import Load, Pace
from pipelines.sweep.runs import Run

SIZE, CALLERS = "tensor-parallel size", "requests at once"


@dataclass(frozen=True)
class Cell:
    """One endpoint under one load. `run` is None for what was published."""

    endpoint: Endpoint
    load: Load
    figures: Figures
    run: Run | None = None


@dataclass(frozen=True)
class Results:
    """`unit` is what one answer stands for: a request, or a batch of unknown size. `unusable` tells reasons by what was not measured."""

    title: str
    unit: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    pace: Pace | None = None
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    def lacking(self) -> tuple[str, ...]:
        """What has no figure, by name."""
        return (*self.unusable, *(f"{cell.endpoint.name}, {cell.load}" for cell in self.cells if cell.figures.p50 is None))


@dataclass(frozen=True)
class Point:
    """`x` is the size or the number of callers; `ms` is p50."""

    x: int
    ms: float
    core_seconds: float
    figures: Figures


@dataclass(frozen=True)
class Panel:
    """Cells that differ in `x` alone, in its order."""

    title: str
    x: str
    core: str
    points: tuple[Point, ...]

    def at(self, point: Point) -> str:
        """What the point stands for, in words."""
        return f"{SIZE} {point.x}" if self.x == SIZE else f"{point.x} {CALLERS}"

    @property
    def fastest(self) -> Point:
        """The lowest p50; of equal ones the one with fewer core-seconds."""
        return min(self.points, key=lambda point: (point.ms, point.core_seconds))

    @property
    def cheapest(self) -> Point:
        """The fewest core-seconds; of equal ones the faster."""
        return min(self.points, key=lambda point: (point.core_seconds, point.ms))

    @property
    def as_fast(self) -> tuple[Point, ...]:
        """Others whose p50 may be the lowest too: their interval reaches into that of the fastest."""
        best = self.fastest.figures.p50
        assert best is not None
        near = [(point, point.figures.p50) for point in self.points if point is not self.fastest]
        return tuple(point for point, p50 in near if p50 and None not in (p50.low, best.high) and (p50.low or 0) <= (best.high or 0))


def panels(cells: Iterable[Cell]) -> tuple[Panel, ...]:
    """A panel for each model, kind of core and load where sizes differ; else one for each model, core, size and prompt length."""
    shown = [cell for cell in cells if cell.figures.p50 is not None and cell.figures.core_seconds is not None]
    by_size: dict[tuple[str, str, str], list[tuple[int, Cell]]] = {}
    by_callers: dict[tuple[str, str, str], list[tuple[int, Cell]]] = {}
    for cell in shown:
        at, load = cell.endpoint, cell.load
        length = "" if load.prompt_tokens is None else f", prompts of {load.prompt_tokens} tokens"
        by_size.setdefault((at.model, at.core, f"{at.model}, {load}"), []).append((at.tensor_parallel, cell))
        title = f"{at.model}, {SIZE} {at.tensor_parallel}{length}"
        by_callers.setdefault((at.model, at.core, title), []).append((load.concurrency, cell))
    sizes_differ = any(len(group) > 1 for group in by_size.values())
    groups, x = (by_size, SIZE) if sizes_differ else (by_callers, CALLERS)
    return tuple(Panel(title, x, core, _points(group)) for (_, core, title), group in groups.items())


def _points(group: Iterable[tuple[int, Cell]]) -> tuple[Point, ...]:
    found = []
    for x, cell in sorted(group, key=lambda pair: pair[0]):
        shown = cell.figures
        assert shown.p50 is not None
        assert shown.core_seconds is not None
        found.append(Point(x, shown.p50.ms, shown.core_seconds, shown))
    return tuple(found)

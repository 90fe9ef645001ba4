"""The sizes at which work falls due, made small. Knows nothing of what the work is."""

from collections.abc import Iterator
from contextlib import contextmanager

from retriever import sealedsearch, upkeep

SMALL = {
    upkeep: {"SEAL_ROWS": 64, "SMALL_ROWS": 90, "MIDDLE_ROWS": 150, "GRAPH_ROWS": 200, "LOG_ROWS": 40, "FANOUT": 3},
    sealedsearch: {"EXACT_ROWS": 48, "SAMPLE": 16},
}
"""With these a catalogue of hundreds has all that one of millions has."""


@contextmanager
def small_sizes() -> Iterator[None]:
    """Inside, segments are sealed, merged and searched by graph at the sizes of SMALL."""
    before = {module: {name: getattr(module, name) for name in sizes} for module, sizes in SMALL.items()}
    try:
        for module, sizes in SMALL.items():
            vars(module).update(sizes)
        yield
    finally:
        for module, sizes in before.items():
            vars(module).update(sizes)

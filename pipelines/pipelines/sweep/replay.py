"""Published studies, as if they had been measured here. Owns what they leave open; their figures lie with those of the plan."""

from pipelines.plan.facts import FACTS
from pipelines.sweep import endpoints
from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.faults import SweepRefused
from pipelines.sweep.figures import Figures, Quantile, core_seconds, usd_per_1000
from pipelines.sweep.grid import Load
from pipelines.sweep.results import Cell, Results

STUDIES = ("aws-2025",)
FAMILY, INSTANCE, CORES_PER_DEVICE = "trn1", "trn1.32xlarge", 2
ONE_BATCH = Load(1, None)


def replayed(study: str) -> Results:
    """The results of a published study; raises `SweepRefused` for one that is not known."""
    if study not in STUDIES:
        raise SweepRefused(f"--replay {study} is unknown. Known: {', '.join(STUDIES)}.")
    published = FACTS["latencies"][FAMILY]
    cells = [_cell(published["model"], int(size), ms) for size, ms in published["tensor_parallel_ms"].items()]
    return Results(
        title="AWS study of 2025 (aws-samples coldstart-recs-on-aws-trainium), replayed",
        unit="batch",
        cells=tuple(cells),
        notes=(
            f"Nothing of this was measured by this project. Source: {published['source']}.",
            "Only P50 is published: there are no p95, p99, tokens or intervals to show.",
            "Core-seconds of a batch are size x P50: one batch at a time, each taken to last its P50.",
            "The study's own cost-to-performance figure is size / P50, which is upside down: it grows with what is paid.",
            f"The model is taken to be {published['model']}.",
            f"A price is that of the devices that a size holds, {CORES_PER_DEVICE} NeuronCores each, as a share of {INSTANCE}. That is"
            " rented whole, so the price holds where others use the rest.",
        ),
    )


def _cell(model: str, size: int, ms: float) -> Cell:
    price, source = endpoints.share(INSTANCE, size / CORES_PER_DEVICE, size, "--replay")
    at = Endpoint(f"TP {size}", "", model, size, size, "NeuronCore", price, source)
    rate = 1_000 / ms
    shown = Figures(
        answered=0,
        failures={},
        p50=Quantile(ms),
        per_second=rate,
        core_seconds=core_seconds(size, rate),
        usd_per_1000=usd_per_1000(price, rate),
    )
    return Cell(at, ONE_BATCH, shown)

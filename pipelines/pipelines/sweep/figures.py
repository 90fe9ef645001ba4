"""Figures of a cell: percentiles with intervals, rates, core-seconds, cost. Knows nothing of endpoints' addresses or of text.

Core-seconds of an answer = cores that the server holds / answers per second. One request at a time, that is cores x latency. It is a cost:
less is better. The ratio the other way up (cores / latency) grows with what is paid and is not computed anywhere here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.special import betainc

from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.runs import Run


@dataclass(frozen=True)
class Quantile:
    """A percentile in milliseconds with its 95 % interval (None: not known). `largest`: too few values to tell it from the largest."""

    ms: float
    low: float | None = None
    high: float | None = None
    largest: bool = False


@dataclass(frozen=True)
class Figures:
    """Of one cell; None where nothing was answered or published. Tokens and cost are of answers alone, over all the time that was spent."""

    answered: int
    failures: dict[str, int]
    p50: Quantile | None = None
    p95: Quantile | None = None
    p99: Quantile | None = None
    first_p50: Quantile | None = None
    """Time to the first token."""
    per_second: float | None = None
    prompt_tokens: float | None = None
    """Mean of an answer, by the server's own count."""
    completion_tokens: float | None = None
    core_seconds: float | None = None
    """Of one answer."""
    usd_per_1000: float | None = None

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def prompt_tokens_per_second(self) -> float | None:
        return None if self.per_second is None or self.prompt_tokens is None else self.per_second * self.prompt_tokens

    @property
    def completion_tokens_per_second(self) -> float | None:
        return None if self.per_second is None or self.completion_tokens is None else self.per_second * self.completion_tokens


def quantile(values: Sequence[float], percent: int) -> Quantile:
    """The smallest value with at least `percent` of all at or below it (Hyndman and Fan, 1996, type 1), and its bootstrap interval.

    The interval is that of Efron's percentile bootstrap (1979) for infinitely many resamples: the k-th smallest of a resample of n is at
    most the j-th smallest value when at least k of the n draws are, which is binomial. Answers count as independent, and an interval says
    nothing of another day.
    """
    ordered, rank = np.sort(np.asarray(values, float)), -(-len(values) * percent // 100)
    places = np.arange(1, len(ordered) + 1)
    at_most = betainc(rank, len(ordered) - rank + 1, places / len(ordered))  # P(binomial(n, j / n) >= k)
    low, high = (float(ordered[np.argmax(at_most >= bound)]) for bound in (0.025, 0.975))
    return Quantile(float(ordered[rank - 1]), low, high, rank == len(ordered))


def core_seconds(cores: float, per_second: float) -> float:
    """Of one answer."""
    return cores / per_second


def usd_per_1000(usd_per_hour: float, per_second: float) -> float:
    """Of 1,000 answers, when the server never waits for work."""
    return usd_per_hour / 3_600 * 1_000 / per_second


def figures(endpoint: Endpoint, run: Run) -> Figures:
    """Of a measured cell."""
    if not run.answers or not (run.per_second > 0 and math.isfinite(run.per_second)):
        return Figures(len(run.answers), run.failures)
    times, firsts = [each.ms for each in run.answers], [each.first_ms for each in run.answers if each.first_ms is not None]
    return Figures(
        answered=len(run.answers),
        failures=run.failures,
        p50=quantile(times, 50),
        p95=quantile(times, 95),
        p99=quantile(times, 99),
        first_p50=quantile(firsts, 50) if firsts else None,
        per_second=run.per_second,
        prompt_tokens=fmean(each.prompt_tokens for each in run.answers),
        completion_tokens=fmean(each.completion_tokens for each in run.answers),
        core_seconds=core_seconds(endpoint.cores, run.per_second),
        usd_per_1000=None if endpoint.usd_per_hour is None else usd_per_1000(endpoint.usd_per_hour, run.per_second),
    )

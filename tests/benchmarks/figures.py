"""What a run measures, what it is compared with, and what it should be."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["at most", "times faster", "share of the rate", "bytes"]


@dataclass(frozen=True)
class Figure:
    """One row: medians in seconds, calls per second or bytes, as `kind` says.

    at most            measured / compared should not exceed the aim
    times faster       compared / measured should reach it
    share of the rate  calls per second: measured / compared should reach it
    bytes              measured itself should not exceed it
    """

    name: str
    measured: float
    beside: str
    compared: float
    aim: float
    kind: Kind = "at most"
    # How many slots or rows `measured` is spread over: what must not grow with the number of staff.
    work: int = 1
    remark: str = ""

    @property
    def ratio(self) -> float:
        match self.kind:
            case "bytes":
                return self.measured
            case "times faster":
                return self.compared / self.measured
            case _:
                return self.measured / self.compared

    @property
    def cost(self) -> float:
        """Of one slot (or call): seconds, or bytes."""
        per_call = 1 / self.measured if self.kind == "share of the rate" else self.measured
        return per_call / self.work


@dataclass(frozen=True)
class Row:
    """The same figure of several runs."""

    figures: Sequence[Figure]

    @property
    def first(self) -> Figure:
        return self.figures[0]

    @property
    def ratios(self) -> list[float]:
        return sorted(figure.ratio for figure in self.figures)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        is_upper_bound = self.first.kind in ("at most", "bytes")
        is_met = self.ratio <= self.first.aim if is_upper_bound else self.ratio >= self.first.aim
        return "meets" if is_met else "misses"

    def median(self, of: Callable[[Figure], float]) -> float:
        return statistics.median(of(figure) for figure in self.figures)


def seconds(step: Callable[[], object]) -> float:
    """How long that takes."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def median_seconds(step: Callable[[], object], times: int) -> float:
    """The median of so many runs, after one that warms up."""
    step()
    return statistics.median(seconds(step) for _ in range(times))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]

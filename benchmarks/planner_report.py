"""What `planner.py` found: figures with the bounds they were promised to keep, and tables, as markdown."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Check:
    """One figure and the bounds it was promised to keep, if any."""

    name: str
    value: float
    unit: str
    low: float = -np.inf
    high: float = np.inf

    @property
    def met(self) -> bool:
        return self.low <= self.value <= self.high

    def as_json(self) -> dict[str, Any]:
        bounds = {key: value for key, value in (("low", self.low), ("high", self.high)) if np.isfinite(value)}
        return {"name": self.name, "value": self.value, "unit": self.unit, **bounds, "met": self.met}

    def cells(self) -> list[str]:
        bounds = [f"{sign} {bound:.3g}" for sign, bound in (("≥", self.low), ("≤", self.high)) if np.isfinite(bound)]
        verdict = ("yes" if self.met else "**no**") if bounds else ""
        return [self.name, f"{_short(self.value)} {self.unit}".strip(), " and ".join(bounds), verdict]


@dataclass
class Report:
    checks: list[Check] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    """Each with its heading as first row."""

    def add(self, name: str, value: float | np.floating, unit: str, low: float = -np.inf, high: float = np.inf) -> None:
        self.checks.append(Check(name, float(value), unit, low, high))

    def markdown(self) -> str:
        checks = [["", "found", "asked", "met"], *(check.cells() for check in self.checks)]
        return "\n\n".join("\n".join(_lines(table)) for table in (checks, *self.tables))


def _lines(table: list[list[str]]) -> Iterator[str]:
    heading, *rows = table
    yield f"| {' | '.join(heading)} |"
    yield "|" + "---|" * len(heading)
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _short(value: float) -> str:
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"

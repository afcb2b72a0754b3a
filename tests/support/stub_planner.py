"""A planner whose dose is known: what was prescribed, and nothing outside. It notes how it was called."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from nnunet_doselo.planning.interface import Beams, Plan

ISOCENTRE_MM = (21.0, 40.5, 43.5)
BEAMS = Beams((0.0, 90.0, 225.0), 4.5)
EMPTY = "the target is empty: zero dose"


@dataclass
class StubPlanner:
    """`calls` holds the keyword arguments of every call; from the call `fails_at` on (counted from 1) it raises."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    fails_at: int = 0
    converged: bool = True

    def __call__(
        self, ct_hu: np.ndarray, target_gy: np.ndarray, oars: np.ndarray, spacing_mm: Any, **given: Any
    ) -> Plan:
        assert ct_hu.shape == target_gy.shape == oars.shape
        self.calls.append({"spacing_mm": spacing_mm, **given})
        if self.fails_at and len(self.calls) >= self.fails_at:
            raise RuntimeError("no fluence")
        return Plan(
            dose_gy=target_gy.astype(np.float64),
            isocentre_mm=given["isocentre_mm"] or ISOCENTRE_MM,
            beams=given["beams"] or BEAMS,
            fluence=np.ones((3, 1, 1), np.float32),
            prescription_gy=60.0,
            engine=given["engine"],
            iterations=7,
            converged=self.converged,
            notes=() if target_gy.any() else (EMPTY,),
        )

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "StubPlanner":
        """In place of the real one, in this process only: plan with one process."""
        monkeypatch.setattr("nnunet_doselo.planning.cohort_plans.plan_dose", self)
        return self

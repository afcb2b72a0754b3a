"""The built-in engine: fluence of coplanar beams by bounded L-BFGS on a pencil-beam influence matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.optimize import minimize

from .beam_geometry import project
from .influence import Influence, PlannedPatient, side_by_side
from .interface import Beams
from .kernels import PencilBeam
from .lattice import Lattice, bixels_that_hit
from .objectives import Goals, goals_of

ITERATIONS = 500
MEMORY = 10
TOLERANCE = 1e-9
"""The solver stops when an iteration lowers the objective by less than this part of it."""
RIDGE = 3e-4
"""Tikhonov: what a uniform fluence of 1 on all bixels costs, relative to a whole target that misses its dose by Rx."""
FIELD_MARGIN_MM = 6.0
"""Bixels are available this far beyond the target's outline, to make up for the penumbra."""
NEAR_MM = 9.0
FAR_STEP_MM = 6.0
"""Further than `NEAR_MM` from target and organs, the plan is made on a subset of voxels about this far apart."""


@dataclass(frozen=True)
class Optimum:
    """fluence: (beams, rows, columns) float32."""

    influence: Influence
    fluence: np.ndarray
    iterations: int
    converged: bool


def optimise(
    patient: PlannedPatient, target: np.ndarray, organs: np.ndarray, beams: Beams, *, iterations: int = ITERATIONS
) -> Optimum:
    """Fluence that comes nearest to the goals of `objectives.goals_of`.

    Parameters
    ----------
    target: (Z, Y, X) prescribed dose / Rx, 0 outside targets; at least one voxel, all within the body.
    organs: (Z, Y, X) labels, 0 where there is none.
    iterations: at most; the solver stops earlier once its objective stands still.
    """
    target_mm = patient.points_mm(np.nonzero(target))
    influence = Influence(patient, beams, _bixels(target_mm, beams), PencilBeam())
    active = bixels_that_hit(influence.bixels, target_mm, beams.gantry_deg, FIELD_MARGIN_MM)
    share = _share(patient.body, target, organs, patient.spacing_mm)
    goals = goals_of(target, organs, patient.spacing_mm, share)
    return _Problem(influence, goals, active, np.flatnonzero(share[patient.body])).solve(iterations)


def _bixels(target_mm: np.ndarray, beams: Beams) -> Lattice:
    views = [project(target_mm, gantry) for gantry in beams.gantry_deg]
    half_mm = [
        FIELD_MARGIN_MM + max(float(np.abs(getattr(view, axis)).max()) for view in views) for axis in ("v_mm", "u_mm")
    ]
    return Lattice.covering(half_mm, beams.bixel_mm)


def _share(body: np.ndarray, target: np.ndarray, organs: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """How many voxels of the body each stands for: 1 in and near target and organs, a regular subset further away."""
    near = (distance_transform_edt(target == 0, sampling=spacing_mm) <= NEAR_MM) | (organs > 0)
    steps = [max(1, round(FAR_STEP_MM / s)) for s in spacing_mm]
    far = np.zeros(body.shape)
    far[tuple(slice(None, None, step) for step in steps)] = np.prod(steps)
    return np.where(near, 1.0, far) * body


class _Problem:
    """`chosen`: indices into `influence.points_mm`, of the voxels that the goals speak of."""

    def __init__(self, influence: Influence, goals: Goals, active: np.ndarray, chosen: np.ndarray) -> None:
        self.influence, self.goals, self.active = influence, goals, active
        self.components = list(zip(influence.matrices(chosen), influence.blurs, strict=True))
        volume_cc = goals.wanted_weight.sum()
        self.unit = 1.0
        mean = goals.wanted_weight @ self.dose(np.ones(active.sum())) / volume_cc
        self.unit = goals.wanted.max() / mean
        self.ridge = RIDGE * volume_cc / active.sum()

    def dose(self, fluence: np.ndarray) -> np.ndarray:
        """Relative dose of the chosen voxels, of the active bixels' fluence; 1 everywhere gives Rx on average."""
        maps = np.zeros(self.active.shape)
        maps[self.active] = self.unit * fluence
        narrow, wide = side_by_side(lambda pair: pair[0] @ pair[1].forward(maps).ravel(), self.components)
        return narrow + wide

    def value_and_gradient(self, fluence: np.ndarray) -> tuple[float, np.ndarray]:
        value, by_dose = self.goals.value_and_gradient(self.dose(fluence))
        narrow, wide = side_by_side(
            lambda pair: pair[1].adjoint((pair[0].T @ by_dose).reshape(-1, *pair[1].nodes.shape)), self.components
        )
        gradient = self.unit * (narrow + wide)[self.active]
        return value + self.ridge * fluence @ fluence, gradient + 2 * self.ridge * fluence

    def solve(self, iterations: int) -> Optimum:
        bixels = int(self.active.sum())
        minimum = minimize(
            self.value_and_gradient,
            np.ones(bixels),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * bixels,
            options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": MEMORY, "ftol": TOLERANCE, "gtol": 0},
        )
        fluence = np.zeros(self.active.shape, np.float32)
        fluence[self.active] = self.unit * minimum.x
        return Optimum(self.influence, fluence, int(minimum.nit), bool(minimum.success))

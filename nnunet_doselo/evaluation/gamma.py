"""Gamma pass rate of a dose: the share of voxels that find their dose nearby (Low et al., Med Phys 25:656, 1998).

The evaluated dose is taken as trilinear between voxels. Where a voxel passes neither in place nor down the gradient,
the cells around it are searched: in a cell gamma squared is a polynomial, whose Bernstein coefficients bound it from
below (Farouki, Comput Aided Geom Des 29:379, 2012). A box that cannot pass is left, another is halved. That is finer
than fixed steps, and a head takes about a second. PyMedPhys, with which the tests compare, is far slower.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import require_same_shape

# single precision doses: 3 % of 60 Gy is then known to 2e-6 of itself
LIMIT = 1 + 2e-5
RESOLUTION = 0.05
"""Boxes are halved down to this share of the distance criterion."""
AT_ONCE = 20_000
CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))


@dataclass(frozen=True)
class GammaResult:
    """pass_rate: fraction of `voxels`, those of at least `cutoff_percent` of `normalisation_gy` in the reference."""

    pass_rate: float
    voxels: int
    dose_percent: float
    distance_mm: float
    cutoff_percent: float
    normalisation_gy: float

    @property
    def criterion(self) -> str:
        """What has to stand beside every pass rate: "global 3 %/2 mm, cut-off 10 %, of 60 Gy"."""
        return (
            f"global {self.dose_percent:g} %/{self.distance_mm:g} mm, cut-off {self.cutoff_percent:g} %, "
            f"of {self.normalisation_gy:.4g} Gy"
        )


def gamma_pass_rate(
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    spacing_mm: tuple[float, ...],
    *,
    dose_percent: float = 3.0,
    distance_mm: float = 2.0,
    cutoff_percent: float = 10.0,
    normalisation_gy: float | None = None,
) -> GammaResult:
    """Global gamma, by default with the criterion of AAPM TG-218 (Miften et al., Med Phys 45:e53, 2018).

    Parameters
    ----------
    reference_gy, evaluated_gy: (Z, Y, X), Gy, on one grid. Gamma is not symmetric: voxels of the reference look for
        their dose in the evaluated one. It is not extrapolated beyond the centres of the outermost voxels. An axis of
        one voxel is searched as if the dose were constant along it.
    spacing_mm: (z, y, x).
    dose_percent, cutoff_percent: of `normalisation_gy`, which is the largest reference dose if it is None.
    distance_mm: distance to agreement.

    Returns
    -------
    Pass rate NaN if no voxel reaches the cut-off, as in a dose that is zero everywhere.

    Raises
    ------
    DoseloError: shapes differ, a dose is not finite, or a criterion or spacing is not positive.
    """
    reference, evaluated = np.asarray(reference_gy, np.float64), np.asarray(evaluated_gy, np.float64)
    given = () if normalisation_gy is None else (normalisation_gy,)
    _check(reference, evaluated, spacing_mm, (dose_percent, distance_mm, *given))
    full_gy = float(reference.max(initial=0.0)) if normalisation_gy is None else normalisation_gy
    counted = (reference > 0) & (reference >= cutoff_percent / 100 * full_gy * (1 - 1e-12))
    rate = math.nan
    if counted.any():
        # in units of the two criteria gamma is a distance
        tolerance_gy, steps = dose_percent / 100 * full_gy, np.array(spacing_mm) / distance_mm
        doses = reference[counted] / tolerance_gy, evaluated / tolerance_gy
        rate = float(voxels_that_pass(np.argwhere(counted), *doses, steps).mean())
    return GammaResult(rate, int(np.count_nonzero(counted)), dose_percent, distance_mm, cutoff_percent, full_gy)


def _check(
    reference: np.ndarray, evaluated: np.ndarray, spacing_mm: tuple[float, ...], criteria: tuple[float, ...]
) -> None:
    require_same_shape(reference_gy=reference, evaluated_gy=evaluated)
    if not (np.isfinite(reference).all() and np.isfinite(evaluated).all()):
        raise DoseloError("gamma needs finite doses, found voxels that are not; export or predict the dose again")
    if reference.ndim != 3 or len(spacing_mm) != 3 or not all(value > 0 for value in (*spacing_mm, *criteria)):
        raise DoseloError(
            "gamma needs doses (Z, Y, X), three spacings in mm and criteria above 0, found "
            f"shape {reference.shape}, spacings {spacing_mm} and criteria {criteria}"
        )


def voxels_that_pass(points: np.ndarray, reference: np.ndarray, evaluated: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Which voxels have gamma up to 1, (n,) bool, with doses in units of the dose criterion, lengths of the distance.

    points: (n, 3) indices. reference: (n,) their doses. evaluated: (Z, Y, X). steps: (3,) edges of a voxel.
    """
    passed = np.abs(evaluated[tuple(points.T)] - reference) <= LIMIT
    for axis in range(3):
        if evaluated.shape[axis] == 1:
            evaluated = np.repeat(evaluated, 2, axis)
    todo = np.flatnonzero(~passed)
    passed[todo] = _passed_down_the_gradient(points[todo], reference[todo], evaluated, steps)
    for cell in _cells_within_reach(steps):
        todo = np.flatnonzero(~passed)
        first = points[todo] + cell
        todo = todo[(first >= 0).all(1) & (first + 1 < evaluated.shape).all(1)]
        for part in np.split(todo, range(AT_ONCE, len(todo), AT_ONCE)):
            corners = (points[part] + cell)[:, None] + CORNERS
            differences = evaluated[tuple(np.moveaxis(corners, -1, 0))] - reference[part][:, None]
            passed[part] = _found(differences.reshape(-1, 2, 2, 2), cell * steps, steps)
    return passed


def _passed_down_the_gradient(
    points: np.ndarray, reference: np.ndarray, evaluated: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Whether voxels pass where gamma would be smallest if the dose were linear: most do, and are found at once."""
    where = tuple(points.T)
    difference = evaluated[where] - reference
    slope = np.stack([np.gradient(evaluated, step, axis=axis)[where] for axis, step in enumerate(steps)])
    offset = -difference * slope / (1 + (slope**2).sum(0))
    there = points.T + offset / steps[:, None]
    last = np.array(evaluated.shape)[:, None] - 1
    inside = ((there >= 0) & (there <= last)).all(0)
    dose = ndimage.map_coordinates(evaluated, there, order=1, mode="nearest")
    return inside & ((dose - reference) ** 2 + (offset**2).sum(0) <= LIMIT)


def _cells_within_reach(steps: np.ndarray) -> list[np.ndarray]:
    """Offsets (3,) of the cells between voxels that lie within distance 1 of a voxel, nearest first."""
    reach = np.ceil(1 / steps).astype(int)
    cells = [np.array(cell) for cell in itertools.product(*(range(-n, n) for n in reach))]
    square = {tuple(cell): _square_of_nearest(cell * steps, steps) for cell in cells}
    return sorted((c for c in cells if square[tuple(c)] <= LIMIT), key=lambda c: square[tuple(c)])


def _square_of_nearest(starts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Squared distance from the origin to boxes: starts (..., 3), edges (3,)."""
    return (np.maximum(0, np.maximum(starts, -(starts + edges))) ** 2).sum(-1)


def _found(differences: np.ndarray, start: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Whether gamma is at most 1 somewhere in a cell, for n voxels at once.

    differences: (n, 2, 2, 2), evaluated dose at the corners less the voxel's. start, edges: (3,) of the cell.
    """
    found = np.zeros(len(differences), bool)
    owner, starts = np.arange(len(differences)), np.broadcast_to(start, (len(differences), 3))
    while owner.size:
        away = starts[:, None] + CORNERS * edges
        squares = differences.reshape(-1, 8) ** 2 + (away**2).sum(-1)
        found[owner[(squares <= LIMIT).any(1)]] = True
        if edges.max() <= RESOLUTION:
            break
        low, high = differences.min((1, 2, 3)), differences.max((1, 2, 3))
        bound = np.maximum(0, np.maximum(low, -high)) ** 2 + _square_of_nearest(starts, edges)
        alive = np.flatnonzero((bound <= LIMIT) & ~found[owner])
        alive = alive[_smallest_coefficient(differences[alive], starts[alive], edges) <= LIMIT]
        differences, edges = _halved(differences[alive]), edges / 2
        owner, starts = np.repeat(owner[alive], 8), (starts[alive][:, None] + CORNERS * edges).reshape(-1, 3)
    return found


def _smallest_coefficient(differences: np.ndarray, starts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(n,) lower bounds of gamma squared in boxes, the tighter the smaller they are (with the square of the edge)."""
    ends = starts + edges
    z, y, x = np.moveaxis(np.stack([starts**2, starts * ends, ends**2]), -1, 0)
    squares = _product(differences, differences)
    squares += z.T[:, :, None, None] + y.T[:, None, :, None] + x.T[:, None, None, :]
    return squares.min((1, 2, 3))


def _product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bernstein coefficients of a product: of two functions linear along each axis, (n, 2, ...), to (n, 3, ...)."""
    if one.ndim == 1:
        return one * other
    first, last = _product(one[:, 0], other[:, 0]), _product(one[:, 1], other[:, 1])
    mixed = (_product(one[:, 0], other[:, 1]) + _product(one[:, 1], other[:, 0])) / 2
    return np.stack([first, mixed, last], 1)


def _halved(boxes: np.ndarray) -> np.ndarray:
    """(n, 2, 2, 2) corner values to those of the eight halves, (8 n, 2, 2, 2): trilinear, so edges are linear."""
    for axis in (1, 2, 3):
        first, last = np.split(boxes, 2, axis)
        boxes = np.concatenate([first, (first + last) / 2, last], axis)
    eight = [boxes[:, z : z + 2, y : y + 2, x : x + 2] for z, y, x in CORNERS]
    return np.stack(eight, 1).reshape(-1, 2, 2, 2)

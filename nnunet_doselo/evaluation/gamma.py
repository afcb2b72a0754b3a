"""Gamma pass rate of a dose: the share of voxels that find their dose nearby (Low et al., Med Phys 25:656, 1998)."""

import math
import re
from dataclasses import dataclass

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import require_same_shape

from .gamma_search import voxels_that_pass

CRITERION = re.compile(r"(\d+(?:\.\d+)?)\s*%\s*/\s*(\d+(?:\.\d+)?)\s*mm")


@dataclass(frozen=True)
class GammaCriterion:
    """Dose in per cent of the prescription, distance in mm; voxels below `cutoff_percent` of it are left out."""

    dose_percent: float = 3.0
    distance_mm: float = 2.0
    cutoff_percent: float = 10.0

    @property
    def text(self) -> str:
        return (
            f"global {self.dose_percent:g} %/{self.distance_mm:g} mm, of the prescription; "
            f"voxels of at least {self.cutoff_percent:g} % of it"
        )


def parse_gamma(text: str) -> GammaCriterion:
    """A criterion as people write it.

    >>> parse_gamma("2 % / 1 mm").distance_mm
    1.0

    Raises
    ------
    DoseloError: another form, or a criterion of 0.
    """
    written = CRITERION.fullmatch(text.strip())
    if not written or not all(float(number) > 0 for number in written.groups()):
        raise DoseloError(f"a gamma criterion must look like 3%/2mm, with two numbers above 0; found {text!r}")
    return GammaCriterion(*map(float, written.groups()))


@dataclass(frozen=True)
class GammaResult:
    """pass_rate: fraction of `voxels`, those whose reference dose reaches the cut-off."""

    pass_rate: float
    voxels: int


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
    return GammaResult(rate, int(np.count_nonzero(counted)))


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

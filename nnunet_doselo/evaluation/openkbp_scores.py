"""OpenKBP's scores of predicted doses (Babier et al., Med Phys 48:5549, 2021), as its evaluator counts them.

Dose score: `dose_metrics.dose_score`, mean over patients. DVH score: mean over every patient, structure and metric of
|reference - evaluated|, in Gy. Structures that a patient lacks have no value and do not count. The evaluator
interpolates linearly between voxels (`numpy.percentile`), so its D95 may differ from `dvh.DVH`'s by less than the step
to the neighbouring voxel.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import require_same_shape
from nnunet_doselo.dataset.structures import Structure, StructureKind

TENTH_OF_CC_MM3 = 100.0
TARGET_PERCENTILES = {"D99": 1, "D95": 5, "D1": 99}
ORGAN_METRICS = ("D0.1cc", "Dmean")


@dataclass(frozen=True)
class StructureDose:
    """One metric of one structure of one patient, in Gy; NaN if the patient lacks the structure."""

    case: str
    structure: str
    kind: StructureKind
    metric: str
    reference_gy: float
    evaluated_gy: float

    @property
    def difference_gy(self) -> float:
        """Evaluated less reference: positive is too much dose."""
        return self.evaluated_gy - self.reference_gy


def target_metrics(dose_gy: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """D99, D95 and D1 in Gy: percentiles 1, 5 and 99 of the doses in `mask`; NaN if that is empty.

    Parameters
    ----------
    dose_gy: (Z, Y, X), Gy.
    mask: (Z, Y, X), non-zero inside.

    Raises
    ------
    DoseloError: shapes differ.
    """
    inside = _inside(dose_gy, mask)
    if not inside.size:
        return dict.fromkeys(TARGET_PERCENTILES, math.nan)
    return {name: float(np.percentile(inside, percentile)) for name, percentile in TARGET_PERCENTILES.items()}


def organ_metrics(dose_gy: np.ndarray, mask: np.ndarray, voxel_mm3: float) -> dict[str, float]:
    """Dose to the hottest 0.1 cc, and mean dose, in Gy; NaN if `mask` is empty.

    0.1 cc is a whole number of voxels n, at least one, and its dose the percentile 100 - 100 n / (voxels of the
    organ). An organ of less than n voxels stops the challenge's evaluator; here its D0.1cc is its minimum dose, as for
    an organ of exactly n.

    Parameters
    ----------
    dose_gy: (Z, Y, X), Gy.
    mask: (Z, Y, X), non-zero inside.
    voxel_mm3: volume of a voxel.

    Raises
    ------
    DoseloError: shapes differ, or the voxel has no volume.
    """
    if not voxel_mm3 > 0:
        raise DoseloError(f"voxels must have a positive volume, found {voxel_mm3} mm3")
    inside = _inside(dose_gy, mask)
    if not inside.size:
        return dict.fromkeys(ORGAN_METRICS, math.nan)
    hottest = max(1, round(TENTH_OF_CC_MM3 / voxel_mm3))
    percentile = max(0.0, 100 - hottest / inside.size * 100)
    return {"D0.1cc": float(np.percentile(inside, percentile)), "Dmean": float(inside.mean())}


def structure_doses(
    case: str,
    structures: Iterable[Structure],
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    voxel_mm3: float,
) -> list[StructureDose]:
    """The metrics of one patient, structure by structure, of both doses: (Z, Y, X), Gy.

    Raises
    ------
    DoseloError: shapes differ, or the voxel has no volume.
    """
    doses = []
    for structure in structures:
        reference, evaluated = (_metrics(structure, dose_gy, voxel_mm3) for dose_gy in (reference_gy, evaluated_gy))
        doses += [
            StructureDose(case, structure.name, structure.kind, metric, reference[metric], evaluated[metric])
            for metric in reference
        ]
    return doses


def dvh_score(doses: Sequence[StructureDose]) -> float:
    """Mean of |reference - evaluated| in Gy, of one patient or of all at once; NaN if no structure has a value."""
    differences = np.abs([dose.difference_gy for dose in doses])
    finite = differences[~np.isnan(differences)]
    return float(finite.mean()) if finite.size else math.nan


def _metrics(structure: Structure, dose_gy: np.ndarray, voxel_mm3: float) -> dict[str, float]:
    if structure.kind == "target":
        return target_metrics(dose_gy, structure.mask)
    return organ_metrics(dose_gy, structure.mask, voxel_mm3)


def _inside(dose_gy: np.ndarray, mask: np.ndarray) -> np.ndarray:
    require_same_shape(dose_gy=dose_gy, mask=mask)
    return np.asarray(dose_gy)[np.asarray(mask, bool)].astype(np.float64)

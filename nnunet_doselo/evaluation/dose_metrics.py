"""How far one dose distribution is from another. Doses in Gy, any shape, both on one voxel grid."""

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import require_same_shape

RMAE_THRESHOLD = 0.10


def rmae(
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    body: np.ndarray,
    prescription_gy: float,
    *,
    threshold: float = RMAE_THRESHOLD,
) -> float:
    """Relative mean absolute error: mean of |reference - evaluated| / reference, where the reference is not negligible.

    Equation 5 of Rüfenacht et al., MICCAI 2023. The paper averages over the whole image, which divides by zero
    wherever there is no dose; here the mean runs inside the body, where the reference dose is at least `threshold`
    of the prescription. The figure depends on that threshold: print it beside every RMAE.

    Parameters
    ----------
    reference_gy, evaluated_gy: (Z, Y, X), Gy.
    body: (Z, Y, X) mask, non-zero inside the patient.
    prescription_gy: Rx, Gy.
    threshold: fraction of Rx in (0, 1]; a voxel exactly at the threshold counts.

    Returns
    -------
    A fraction (0.1 is 10 %), NaN if no voxel is inside the body and above the threshold.

    Raises
    ------
    DoseloError: shapes differ, the prescription is not positive, or the threshold is not in (0, 1].
    """
    require_same_shape(reference_gy=reference_gy, evaluated_gy=evaluated_gy, body=body)
    if prescription_gy <= 0 or not 0 < threshold <= 1:
        raise DoseloError(
            "RMAE needs a positive prescription in Gy and a threshold above 0 and up to 1, "
            f"found {prescription_gy} Gy and {threshold}"
        )
    reference, evaluated = _as_float64(reference_gy), _as_float64(evaluated_gy)
    # dividing, not multiplying: 0.1 * 70 is above 7 in floating point
    region = np.asarray(body, bool) & (reference / prescription_gy >= threshold)
    if not region.any():
        return float("nan")
    return float(np.mean(np.abs(reference[region] - evaluated[region]) / reference[region]))


def dose_score(reference_gy: np.ndarray, evaluated_gy: np.ndarray, possible_dose: np.ndarray) -> float:
    """OpenKBP's dose score of one patient: sum of |reference - evaluated| over all voxels / number of possible voxels.

    The sum runs over every voxel, also outside `possible_dose`: dose put where none can be is an error too
    (Babier et al., Med Phys 48:5549, 2021, and their evaluator). The challenge's score is the mean over patients.

    Parameters
    ----------
    reference_gy, evaluated_gy: (Z, Y, X), Gy.
    possible_dose: (Z, Y, X) mask, non-zero where the patient can receive dose.

    Returns
    -------
    Gy; NaN if `possible_dose` is empty.

    Raises
    ------
    DoseloError: shapes differ.
    """
    require_same_shape(reference_gy=reference_gy, evaluated_gy=evaluated_gy, possible_dose=possible_dose)
    voxels = np.count_nonzero(possible_dose)
    if voxels == 0:
        return float("nan")
    return float(np.abs(_as_float64(reference_gy) - _as_float64(evaluated_gy)).sum() / voxels)


def _as_float64(dose_gy: np.ndarray) -> np.ndarray:
    return np.asarray(dose_gy, np.float64)

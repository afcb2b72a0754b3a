"""How far one dose distribution is from another. Doses in Gy, any shape, both on one voxel grid."""

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import require_same_shape

RMAE_THRESHOLD = 0.10


def union_rmae(
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    body: np.ndarray,
    prescription_gy: float,
    *,
    threshold: float = RMAE_THRESHOLD,
) -> float:
    """Relative mean absolute error where either dose is not negligible: what an island brings counts wherever it lies.

    Mean of |reference - evaluated| / max(reference, `threshold` of Rx) over the voxels of the body where the reference
    or the evaluated dose is at least `threshold` of Rx. A voxel's error is that of `rmae` where the reference is; where
    it is not, it is told relative to the threshold, since a dose near 0 would make it as large as one likes. The figure
    depends on that threshold: print it beside every union RMAE.

    >>> reference_gy, evaluated_gy = np.array([60.0, 60.0, 0.0]), np.array([60.0, 54.0, 12.0])  # 12 Gy where none was
    >>> body, prescription_gy = np.ones(3), 60.0
    >>> round(union_rmae(reference_gy, evaluated_gy, body, prescription_gy), 3)  # mean of 0, 6 / 60 and 12 / 6
    0.7
    >>> round(rmae(reference_gy, evaluated_gy, body, prescription_gy), 3)  # mean of 0 and 6 / 60
    0.05

    Parameters
    ----------
    reference_gy, evaluated_gy: (Z, Y, X), Gy; a voxel that is NaN in either makes the result NaN.
    body: (Z, Y, X) mask, non-zero inside the patient.
    prescription_gy: Rx, Gy.
    threshold: fraction of Rx in (0, 1]; a voxel exactly at the threshold counts.

    Returns
    -------
    A fraction (0.1 is 10 %), NaN if no voxel of the body has either dose above the threshold.

    Raises
    ------
    DoseloError: shapes differ, the prescription is not positive, or the threshold is not in (0, 1].
    """
    return _mean_relative_error(reference_gy, evaluated_gy, body, prescription_gy, threshold, where_either=True)


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
    of the prescription. It is nearly blind to islands, whose dose lies where the reference has none (`union_rmae` hears
    them). The figure depends on that threshold: print it beside every RMAE.

    Arrays (Z, Y, X), units and errors are those of `union_rmae`; NaN if no voxel of the body has a reference dose above
    the threshold.
    """
    return _mean_relative_error(reference_gy, evaluated_gy, body, prescription_gy, threshold, where_either=False)


def _mean_relative_error(
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    body: np.ndarray,
    prescription_gy: float,
    threshold: float,
    *,
    where_either: bool,
) -> float:
    require_same_shape(reference_gy=reference_gy, evaluated_gy=evaluated_gy, body=body)
    if prescription_gy <= 0 or not 0 < threshold <= 1:
        raise DoseloError(
            "RMAE needs a positive prescription in Gy and a threshold above 0 and up to 1, "
            f"found {prescription_gy} Gy and {threshold}"
        )
    reference, evaluated = _as_float64(reference_gy), _as_float64(evaluated_gy)
    # dividing, not multiplying: 0.1 * 70 is above 7 in floating point; a dose that is NaN is not low
    reference_low, evaluated_low = (dose / prescription_gy < threshold for dose in (reference, evaluated))
    region = np.asarray(body, bool) & ~(reference_low & evaluated_low if where_either else reference_low)
    if not region.any():
        return float("nan")
    relative_to = np.where(reference_low, threshold * prescription_gy, reference)[region]
    return float(np.mean(np.abs(reference[region] - evaluated[region]) / relative_to))


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

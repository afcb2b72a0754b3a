"""How far a dose is from a reference, in the figures that tables lead with, from arrays alone."""

from dataclasses import dataclass

import numpy as np

from nnunet_doselo.dataset.geometry import body_mask
from nnunet_doselo.evaluation.dose_metrics import dose_score, rmae, union_rmae
from nnunet_doselo.evaluation.gamma import gamma_pass_rate, parse_gamma


@dataclass(frozen=True)
class DoseScores:
    """What `doselo evaluate` calls by the same names; NaN where the reference has no dose to speak of.

    union_rmae, rmae: fractions (0.1 is 10 %). dose_score_gy: Gy. gamma_pass_percent: 0 to 100, by `gamma_criterion`.
    """

    union_rmae: float
    rmae: float
    dose_score_gy: float
    gamma_pass_percent: float
    gamma_criterion: str


def score_doses(
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    ct_hu: np.ndarray,
    spacing_mm: tuple[float, ...],
    prescription_gy: float,
    *,
    gamma: str = "3%/2mm",
) -> DoseScores:
    """Relative mean absolute errors, dose score and gamma pass rate of two doses, inside the patient's body.

    >>> import numpy as np
    >>> from nnunet_doselo import score_doses
    >>> ct_hu = np.zeros((8, 16, 16))
    >>> reference_gy = np.full(ct_hu.shape, 60.0)
    >>> evaluated_gy = reference_gy.copy()
    >>> evaluated_gy[4:] = 57.0  # 5 % too little in half of the slices
    >>> scores = score_doses(reference_gy, evaluated_gy, ct_hu, (2.0, 2.0, 2.0), prescription_gy=60.0)
    >>> round(scores.union_rmae, 3), round(scores.rmae, 3), scores.dose_score_gy, scores.gamma_pass_percent
    (0.025, 0.025, 1.5, 62.5)
    >>> scores.gamma_criterion
    'global 3 %/2 mm, of the prescription; voxels of at least 10 % of it'

    Parameters
    ----------
    reference_gy, evaluated_gy: (Z, Y, X), Gy; not symmetric, errors are told relative to the reference.
    ct_hu: (Z, Y, X), HU; what lies outside the body on it (`body_mask`) counts in neither dose.
    spacing_mm: (z, y, x).
    prescription_gy: Rx, Gy. RMAE and gamma look where the reference is at least 10 % of it, union RMAE
        where either dose is.
    gamma: dose criterion, in per cent of Rx, and distance, as `doselo evaluate --gamma` takes them.

    Raises
    ------
    DoseloError: shapes differ, a dose is not finite, or prescription, spacing or criterion are not positive.
    """
    body, criterion = body_mask(ct_hu), parse_gamma(gamma)
    doses = (reference_gy, evaluated_gy, body, prescription_gy)
    in_body_gy = reference_gy * body, evaluated_gy * body
    result = gamma_pass_rate(
        *in_body_gy,
        spacing_mm,
        **vars(criterion),
        normalisation_gy=prescription_gy,
    )
    errors = union_rmae(*doses), rmae(*doses), dose_score(*in_body_gy, body)
    return DoseScores(*errors, 100 * result.pass_rate, criterion.text)

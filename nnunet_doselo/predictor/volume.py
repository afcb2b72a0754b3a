"""Dose of a whole patient: axial slices through the predictor, in batches, back on the patient's own grid."""

from collections.abc import Sequence

import numpy as np
import torch

from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.resampling import resample_dose, resample_inputs, size_on

SLICES_A_BATCH = 16


@torch.no_grad()
def predict_volume(
    predictor: FrozenPredictor,
    target: np.ndarray,
    oars: np.ndarray,
    ct_hu: np.ndarray,
    spacing_mm: Sequence[float],
    device: torch.device | str = "cpu",
    *,
    mirror: bool = False,
) -> np.ndarray:
    """Predicted dose in Gy, never negative.

    Parameters
    ----------
    target: (Z, Y, X) prescribed dose / Rx; an empty target is allowed and gives what the predictor makes of it.
    oars: (Z, Y, X) organ labels.
    ct_hu: (Z, Y, X) HU.
    spacing_mm: (z, y, x); in-plane spacing may differ from the predictor's.
    mirror: average over the slices as they are and mirrored left to right (test-time augmentation, twice the time).

    Returns
    -------
    (Z, Y, X) float32.
    """
    plane = ct_hu.shape[1:]
    size = size_on(predictor.card.spacing_mm, plane, spacing_mm[1:])
    dose_gy = np.empty(ct_hu.shape, np.float32)
    for start in range(0, len(ct_hu), SLICES_A_BATCH):
        rows = slice(start, start + SLICES_A_BATCH)
        batch = (_slices(target[rows], device), _slices(oars[rows], device), _slices(ct_hu[rows], device))
        inputs = resample_inputs(*batch, size)
        dose = predictor(*inputs)
        if mirror:
            mirrored = predictor(*(channel.flip(-1) for channel in inputs)).flip(-1)
            dose = (dose + mirrored) / 2
        dose_gy[rows] = resample_dose(dose, plane)[:, 0].clamp_min(0).cpu().numpy()
    return dose_gy


def _slices(volume: np.ndarray, device: torch.device | str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[:, None].to(device)

"""Dose of a whole patient on the patient's own grid: axial slices in batches, or a volume as a batch of one."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.field_edge import FieldEdge, beyond_slices
from nnunet_doselo.predictor.inputs import near_body
from nnunet_doselo.predictor.network import MARGIN_VOXELS
from nnunet_doselo.predictor.resampling import resample_dose, resample_inputs, size_on
from nnunet_doselo.predictor.slabs import Predictor, predict_in_slabs

SLICES_A_BATCH = 16


@torch.no_grad()
def predict_volume(
    predictor: FrozenPredictor,
    target: np.ndarray,
    oars: np.ndarray,
    ct_hu: np.ndarray,
    spacing_mm: Sequence[float],
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Predicted dose in Gy, never negative; of slices with what they pass on to their neighbours (`field_edge`).

    Parameters
    ----------
    target: (Z, Y, X) prescribed dose / Rx; an empty target is allowed and gives what the predictor makes of it.
    oars: (Z, Y, X) organ labels.
    ct_hu: (Z, Y, X) HU.
    spacing_mm: (z, y, x); may differ from the predictor's along the axes that it knows: y and x of slices, all in 3D.

    Returns
    -------
    (Z, Y, X) float32.
    """
    dim = predictor.card.dim
    size = size_on(predictor.card.spacing_mm, ct_hu.shape[-dim:], spacing_mm[-dim:])
    predict = predictor if dim == 2 else partial(predict_in_slabs, predictor)
    images = [array if dim == 2 else array[None] for array in (target, oars, ct_hu)]
    dose_gy = np.empty(images[0].shape, np.float32)
    for start in range(0, len(dose_gy), SLICES_A_BATCH):
        rows = slice(start, start + SLICES_A_BATCH)
        batch = [_tensor(image[rows], device) for image in images]
        dose_gy[rows] = _dose(predict, batch, size)[:, 0].clamp_min(0).cpu().numpy()
    return _with_field_edges(dose_gy.reshape(ct_hu.shape), ct_hu, spacing_mm[0], predictor.card.field_edge)


def _with_field_edges(dose_gy: np.ndarray, ct_hu: np.ndarray, slice_mm: float, edge: FieldEdge | None) -> np.ndarray:
    """Dose that ends in the air above a shoulder is none: the network's own limits hold here too."""
    if edge is None:
        return dose_gy
    near = near_body(torch.from_numpy(np.ascontiguousarray(ct_hu)), MARGIN_VOXELS)
    return (beyond_slices(torch.from_numpy(dose_gy), slice_mm, edge) * near).numpy()


def _dose(predict: Predictor, batch: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Target, organs and CT (B, 1, *S) to the size that the predictor works at, and its dose back on S."""
    target, oars, ct = batch
    return resample_dose(predict(*resample_inputs(target, oars, ct, size)), target.shape[2:])


def _tensor(images: np.ndarray, device: torch.device | str) -> Tensor:
    """(B, *S) of any type to (B, 1, *S) float32."""
    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None].to(device)

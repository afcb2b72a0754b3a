"""A CT or MR series, one file a slice, becomes a volume: HU, or the signal as the scanner scales it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import AIR_HU
from nnunet_doselo.dataset.images import as_image

from .objects import numbers, optional, read_dataset, required
from .pixels import require_single_frame, stored_values
from .plane_geometry import read_plane
from .slice_stack import Slice, even_stack

MODALITIES = ("CT", "MR")
HU_TYPES = ("HU", "US")
"""RescaleType of a CT in Hounsfield units: said so, or unspecified (PS3.3 C.11.1.1.2)."""
INT16 = np.iinfo(np.int16)


def read_series(files: Sequence[Path]) -> sitk.Image:
    """All slices of one series, in any order, as one image in patient coordinates.

    The third axis runs along the cross product of a slice's row and column directions, whatever the patient's
    position. Voxels are int16 where slope and intercept of all slices are whole numbers and the values fit, else
    float32. A CT's values below -1024 HU are the scanner's padding and become -1024.

    Raises
    ------
    DoseloError: fewer than two slices; a file that cannot be used (multi-frame, not CT or MR, pixels that cannot be
        decoded, a CT without rescaling...); slices of different size, pixel spacing or orientation; gantry tilt; two
        slices at one position; missing slices; varying slice spacing. Each names the file or the position.
    """
    slices, spacing_mm = even_stack([_read_slice(file) for file in files])
    volume = np.stack([_values(item) for item in slices])
    if _modality(slices) == "CT":
        np.maximum(volume, AIR_HU, out=volume)
    return as_image(volume, slices[0].plane.stacked(len(slices), spacing_mm))


def _read_slice(file: Path) -> Slice:
    dataset = read_dataset(file, pixels=True)
    require_single_frame(dataset, file)
    return Slice(file, dataset, read_plane(dataset, file))


def _modality(slices: Sequence[Slice]) -> str:
    first = required(slices[0].dataset, "Modality", slices[0].file)
    for item in slices:
        if required(item.dataset, "Modality", item.file) != first or first not in MODALITIES:
            raise DoseloError(f"{item.file}: all slices of a series must be CT, or all MR")
    return first


def _values(item: Slice) -> np.ndarray:
    """(Y, X) after rescaling (PS3.3 C.11.1): int16 if that is exact, else float32."""
    slope, intercept = _rescale(item)
    stored = stored_values(item.dataset, item.file)
    if stored.shape != item.plane.shape:
        raise DoseloError(f"{item.file}: pixels must be (rows, columns) {item.plane.shape}, found {stored.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored * slope + intercept
        whole = slope.is_integer() and intercept.is_integer()
        if whole and values.min() >= INT16.min and values.max() <= INT16.max:
            return values.astype(np.int16)
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise DoseloError(f"{item.file}: RescaleSlope and RescaleIntercept lead beyond the range of numbers")
    return values


def _rescale(item: Slice) -> tuple[float, float]:
    """Slope and intercept of this slice: they may change within a series. A MR without them is taken as it is."""
    dataset, file = item.dataset, item.file
    if optional(dataset, "ModalityLUTSequence", file) is not None:
        raise DoseloError(f"{file}: a Modality LUT is not supported; export the series with RescaleSlope")
    is_ct = required(dataset, "Modality", file) == "CT"
    if is_ct and optional(dataset, "RescaleType", file, "HU") not in HU_TYPES:
        raise DoseloError(f"{file}: a CT must be in HU, its RescaleType says otherwise; choose another series")
    if not is_ct and optional(dataset, "RescaleSlope", file) is None:
        return 1.0, 0.0
    slope, intercept = (float(numbers(dataset, f"Rescale{name}", file, 1)[0]) for name in ("Slope", "Intercept"))
    if slope == 0:
        raise DoseloError(f"{file}: RescaleSlope must not be 0; export the series again")
    return slope, intercept

"""An MR in the space of its CT: by a registration object, by one frame of reference, or by registration."""

from dataclasses import dataclass

import SimpleITK as sitk

from nnunet_doselo.dataset.images import array_view

from .rigid import register_rigid

BY_OBJECT = "spatial registration object"
BY_FRAME = "same frame of reference, taken as aligned"
BY_RIGID = "rigid registration by mutual information, look at the checkerboard"


@dataclass(frozen=True)
class Aligned:
    """image: float32 on the fixed grid. how: a sentence for the record. quality: empty but after a registration."""

    image: sitk.Image
    how: str
    quality: dict[str, float]


def align(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform | None, same_frame: bool) -> Aligned:
    """`moving` on the grid of `fixed`, interpolated linearly; outside its field of view its lowest value.

    Parameters
    ----------
    transform: of a registration object, maps points of the fixed frame to the moving one; preferred if given.
    same_frame: both images have one frame of reference; taken as aligned if there is no transform.

    Raises
    ------
    DoseloError: neither is given, and the registration fails or is implausible (`rigid.register_rigid`).
    """
    if transform is not None:
        return Aligned(_resampled(moving, fixed, transform), BY_OBJECT, {})
    if same_frame:
        return Aligned(_resampled(moving, fixed, sitk.Transform()), BY_FRAME, {})
    registered = register_rigid(fixed, moving)
    doubtful = f"; doubtful: {', '.join(registered.doubts)}" if registered.doubts else ""
    return Aligned(_resampled(moving, fixed, registered.transform), BY_RIGID + doubtful, registered.quality)


def _resampled(moving: sitk.Image, fixed: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    lowest = float(array_view(moving).min())
    return sitk.Resample(moving, fixed, transform, sitk.sitkLinear, lowest, sitk.sitkFloat32)

"""What the slice viewer shows of a case: cropped, thinned until it fits, packed.

The viewer is for looking, not for measuring: a dose is told in steps of a 255th of the scale, and of large images
every second or third voxel is kept. Every number in the tables comes from the whole volumes.

A volume is a byte a voxel, gzipped, as text. The page undoes it with what every browser brings (DecompressionStream);
report.js has the other half.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnunet_doselo.common.files import json_values
from nnunet_doselo.dataset.geometry import Box, box_around
from nnunet_doselo.evaluation.pictures import DOSE_SHOWN_FROM, DOSE_TOP

from .case_images import CaseImages

LEVELS = 255
GREY_LEVELS = 64
"""Finer greys are hardly told apart, and noise in them takes most of the page."""
VIEWER_MARGIN_MM = 6.0
MOST_ALONG_A_SIDE = 200
"""Voxels along a side of a slice, and slices, at most."""
SLICE_TO_PIXEL = 3
"""Slices are dropped before pixels, until they are so many times farther apart than pixels."""


@dataclass(frozen=True)
class PackedVolume:
    """shape: (z, y, x). A voxel's value is `low + step * byte`; bytes run from 0 to `levels`."""

    shape: tuple[int, int, int]
    low: float
    step: float
    levels: int
    data: str


@dataclass(frozen=True)
class ViewedContour:
    dose: PackedVolume
    labels: PackedVolume


@dataclass(frozen=True)
class ViewedCase:
    """slices: their numbers in the files. start: index in `slices` of the one to look at first. x_mm, y_mm: first
    pixel's centre, and the distance to the next. backgrounds: by title. evaluated: by trainer. thinned: slices or
    pixels are left out.
    """

    case: str
    slices: tuple[int, ...]
    slice_mm: float
    start: int
    x_mm: tuple[float, float]
    y_mm: tuple[float, float]
    backgrounds: Mapping[str, PackedVolume]
    oars: PackedVolume
    reference: ViewedContour
    evaluated: Mapping[str, ViewedContour]
    thinned: bool


def view_case(images: CaseImages, prescription_gy: float, budget: int) -> ViewedCase:
    """Thin a case until it takes at most `budget` bytes, or until hardly anything is left of it.

    Doses are told up to the highest one of the case, and at least up to the top of the colour scale.
    """
    doses = [contour.dose_gy.max() for contour in (images.reference, *images.evaluated.values())]
    top_gy = max(DOSE_TOP * prescription_gy, *map(float, doses))
    box = _box(images, prescription_gy)
    step_z, *steps_yx = (-(-(span.stop - span.start) // MOST_ALONG_A_SIDE) for span in box)
    step_yx = max(steps_yx)
    while True:
        viewed = _viewed(images, box, step_z, step_yx, top_gy)
        if bytes_in_page(viewed) <= budget or max(step_z, step_yx) >= min(images.body.shape):
            return viewed
        pixel_mm, slice_mm = step_yx * min(images.spacing_mm[1:]), step_z * images.spacing_mm[0]
        if slice_mm >= SLICE_TO_PIXEL * pixel_mm:
            step_yx += 1
        else:
            step_z += 1


def bytes_in_page(content: Any) -> int:
    """What it takes in the page."""
    return len(json.dumps(json_values(content)))


def _box(images: CaseImages, prescription_gy: float) -> Box:
    """The body in its slices; of these, the ones in which there is something to see."""
    contours = [images.reference, *images.evaluated.values()]
    seen = images.oars > 0
    for contour in contours:
        seen = seen | (contour.labels > 0) | (contour.dose_gy >= DOSE_SHOWN_FROM * prescription_gy)
    margin = [round(VIEWER_MARGIN_MM / mm) for mm in images.spacing_mm]
    everything = tuple(slice(0, size) for size in seen.shape)
    slices, *_ = box_around(seen, margin) or everything
    _, rows, columns = box_around(images.body, margin) or everything
    return slices, rows, columns


def _viewed(images: CaseImages, box: Box, step_z: int, step_yx: int, top_gy: float) -> ViewedCase:
    look_at = images.slice_to_look_at()
    numbers = [z for z in range(box[0].start, box[0].stop) if (z - look_at) % step_z == 0]
    part = np.ix_(numbers, *(range(span.start, span.stop, step_yx) for span in box[1:]))
    contours = {"": images.reference, **images.evaluated}
    viewed = {
        name: ViewedContour(pack_values(contour.dose_gy[part], 0.0, top_gy), pack_labels(contour.labels[part]))
        for name, contour in contours.items()
    }
    backgrounds = {
        # noise in the air around the patient would take more space than the patient
        grey.title: pack_values(np.where(images.body, grey.voxels, grey.low)[part], grey.low, grey.high, GREY_LEVELS)
        for grey in images.backgrounds
    }
    y_mm, x_mm = images.spacing_mm[1:]
    return ViewedCase(
        images.case,
        tuple(numbers),
        images.spacing_mm[0],
        numbers.index(look_at) if look_at in numbers else len(numbers) // 2,
        (box[2].start * x_mm, step_yx * x_mm),
        (box[1].start * y_mm, step_yx * y_mm),
        backgrounds,
        pack_labels(images.oars[part]),
        viewed.pop(""),
        viewed,
        thinned=step_z > 1 or step_yx > 1,
    )


def pack_labels(labels: np.ndarray) -> PackedVolume:
    """(Z, Y, X) whole numbers from 0 to 255."""
    return _pack(labels.astype(np.uint8), 0.0, 1.0, LEVELS)


def pack_values(values: np.ndarray, low: float, high: float, levels: int = LEVELS) -> PackedVolume:
    """(Z, Y, X) numbers, rounded to one of `levels` + 1 steps from `low` to `high` and cut off there; NaN is `low`."""
    step = (high - low) / levels or 1.0
    rounded = np.rint((np.nan_to_num(values, nan=low) - low) / step)
    return _pack(np.clip(rounded, 0, levels).astype(np.uint8), low, step, levels)


def _pack(volume: np.ndarray, low: float, step: float, levels: int) -> PackedVolume:
    # differences of neighbours, as PNG has them, were tried: doses shrink by a tenth, images grow by as much
    packed = gzip.compress(volume.tobytes(), compresslevel=6, mtime=0)
    z, y, x = volume.shape
    return PackedVolume((z, y, x), low, step, levels, base64.b64encode(packed).decode())

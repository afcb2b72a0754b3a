"""The labels of one label map as structures on a CT: masks on its grid, outlines on its slices, type and colour."""

import colorsys
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid, box_around
from nnunet_doselo.dataset.guidance import NO_STRUCTURES

from ...grids.mask_resampling import resample_mask
from ..files.slice_stack import CtStack
from .keyholes import keyholed_outlines
from .outlines import outlines
from .structure_set import NewRoi

Holes = Literal["keyhole", "nested"]
OUTLINE = {"keyhole": keyholed_outlines, "nested": outlines}
VOLUME_CHANGE = 0.05
"""Resampling to the CT that changes a volume by more than this share is told."""
OUTSIDE_SHARE = 0.25
"""A label's voxels may have their centres outside the CT by this share of their size; a missing slice is more."""
TARGET_NAME = re.compile(r"I?(GTV|CTV|PTV)", re.IGNORECASE)
INTERNAL_TARGET_NAME = re.compile(r"ITV", re.IGNORECASE)
BODY_NAMES = ("external", "body")
TARGET_HUES_DEG = (0, 30, 330, 55, 305, 15)
ORGAN_HUES_DEG = (80, 290)
GOLDEN_SHARE = 0.618


def rois_of(
    labels: np.ndarray,
    grid: Grid,
    values: Mapping[str, Sequence[int]],
    stack: CtStack,
    *,
    targets: Collection[str] = (),
    holes: Holes = "keyhole",
) -> tuple[list[NewRoi], list[str]]:
    """Structures to write, and notes on labels that are left out or change their volume.

    Parameters
    ----------
    labels: (Z, Y, X) label map on `grid`, which need not be the CT's.
    values: values in the label map by name, several for nnU-Net's regions; background and ignore are left out.
    targets: names of labels with a prescribed dose.

    Raises
    ------
    DoseloError: the label map holds values without a name, is empty, or reaches beyond the CT.
    """
    require_known_values(labels, values)
    if not labels.any():
        raise DoseloError("the label map is empty: there is nothing to export")
    drawn, notes = {}, []
    for name in [name for name in values if name not in NO_STRUCTURES]:
        mask = labels == values[name][0] if len(values[name]) == 1 else np.isin(labels, values[name])
        on_ct = on_grid_of_ct(mask, grid, stack.grid)
        if contours := tuple(_contours(on_ct, stack, holes)):
            drawn[name] = contours
        notes += _remarks(name, _volume_cc(mask, grid), _volume_cc(on_ct, stack.grid))
    if not drawn:
        raise DoseloError(f"nothing is left to export: {'; '.join(notes)}")
    types = [interpreted_type(name, targets) for name in drawn]
    parts = zip(drawn, types, colours(types), drawn.values(), strict=True)
    return [NewRoi(*part) for part in parts], notes


def _contours(mask: np.ndarray, stack: CtStack, holes: Holes) -> Iterator[tuple[int, np.ndarray]]:
    """Slice and patient coordinates of each contour of a mask (Z, Y, X) on the CT's grid."""
    for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        rows, columns = (np.flatnonzero(mask[index].any(axis=axis)) for axis in (1, 0))
        corner = np.array([rows[0], columns[0]])
        content = mask[index, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        for points in OUTLINE[holes](content):
            yield index, stack.positions(index, points + corner)


def _volume_cc(mask: np.ndarray, grid: Grid) -> float:
    return np.count_nonzero(mask) * grid.voxel_cc


def _remarks(name: str, before_cc: float, after_cc: float) -> list[str]:
    if not before_cc:
        return [f"{name}: empty, left out"]
    if not after_cc:
        return [f"{name}: {before_cc:.3g} cc are too small for a voxel of the CT, left out"]
    if abs(after_cc - before_cc) > VOLUME_CHANGE * before_cc:
        return [f"{name}: {before_cc:.3g} cc in the label map, {after_cc:.3g} cc on the CT"]
    return []


def require_known_values(labels: np.ndarray, values: Mapping[str, Sequence[int]]) -> None:
    """Raises DoseloError if a label map (Z, Y, X) holds values that no label of the dataset has: another numbering."""
    known = {0, *(value for several in values.values() for value in several)}
    if unknown := sorted({*np.unique(labels).tolist()} - known):
        raise DoseloError(
            f"the label map must hold 0 and the values of {dict(values)} only, found {unknown[:5]}; is the "
            "dataset.json the one of the network that drew it?"
        )


def on_grid_of_ct(mask: np.ndarray, grid: Grid, ct: Grid) -> np.ndarray:
    """A mask (Z, Y, X) of `grid` on the grid of the CT: itself where the grids agree, else resampled, volume kept.

    Where the voxels of both coincide (the dataset was cropped, not resampled) every voxel stays as it is. An empty mask
    gives an empty one.

    Raises
    ------
    DoseloError: the mask reaches beyond the CT.
    """
    if not grid.differences(ct):
        return mask
    _require_inside(mask, grid, ct)
    return resample_mask(mask, grid, ct)


def _require_inside(mask: np.ndarray, grid: Grid, ct: Grid) -> None:
    box = box_around(mask)
    if box is None:
        return
    reached = ct.to_index(grid.corners_mm(box, beyond=0.0))
    beyond = np.maximum(-0.5 - reached, reached - (np.array(ct.size) - 0.5)).max(axis=0)
    worst_mm = float((beyond * ct.spacing).max())
    if worst_mm > OUTSIDE_SHARE * min(grid.spacing):
        raise DoseloError(
            f"the label map reaches {worst_mm:.1f} mm beyond the CT: do both belong to one patient, is the CT whole, "
            "and has nothing moved the label map in space since the conversion?"
        )


def interpreted_type(name: str, targets: Collection[str] = ()) -> str:
    """RTROIInterpretedType (DICOM PS3.3 C.8.8.8.1) of a structure named after TG-263.

    PTV..., CTV..., GTV... also with a leading I (internal), are what they say; ITV... is a CTV, for DICOM has no ITV.
    Other names in `targets`, those with a prescribed dose, are PTVs. External is EXTERNAL, and the rest are ORGANs.
    """
    if target := TARGET_NAME.match(name):
        return target[1].upper()
    if INTERNAL_TARGET_NAME.match(name):
        return "CTV"
    if name in targets:
        return "PTV"
    return "EXTERNAL" if name.lower() in BODY_NAMES else "ORGAN"


def colours(types: Sequence[str]) -> list[tuple[int, int, int]]:
    """A colour (red, green, blue; 0 to 255) for each structure, by its type: targets warm, others green to blue."""
    rgb, targets, others = [], 0, 0
    for kind in types:
        if kind in ("GTV", "CTV", "PTV"):
            hue_deg, targets = float(TARGET_HUES_DEG[targets % len(TARGET_HUES_DEG)]), targets + 1
        else:
            low, high = ORGAN_HUES_DEG
            hue_deg, others = low + (high - low) * (others * GOLDEN_SHARE % 1), others + 1
        red, green, blue = colorsys.hsv_to_rgb(hue_deg / 360, 1.0, 1.0)
        rgb.append((round(255 * red), round(255 * green), round(255 * blue)))
    return rgb

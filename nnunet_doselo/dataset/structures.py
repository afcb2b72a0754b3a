"""Structures: names after AAPM TG-263, and how overlapping contours become one label map."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# OpenKBP's names for organs, and those of AAPM TG-263 (Mayo et al., IJROBP 100:1057, 2018)
OPENKBP_TO_TG263 = {
    "Brainstem": "Brainstem",
    "SpinalCord": "SpinalCord",
    "RightParotid": "Parotid_R",
    "LeftParotid": "Parotid_L",
    "Esophagus": "Esophagus",
    "Larynx": "Larynx",
    "Mandible": "Bone_Mandible",
}


@dataclass(frozen=True)
class Overlap:
    """Voxels claimed by two structures: `kept` got them, `lost` did not."""

    kept: str
    lost: str
    voxels: int


def paint_organs(masks: Mapping[str, np.ndarray], labels: Mapping[str, int]) -> tuple[np.ndarray, list[Overlap]]:
    """Organ masks to one label map: where they overlap the smaller one wins (in this patient), ties by name.

    Parameters
    ----------
    masks: organ name -> boolean mask, all of one shape. Empty masks are allowed and leave no trace.
    labels: organ name -> label value (1..255), for every organ in `masks`.

    Returns
    -------
    uint8 label map, and one `Overlap` for each pair of organs that share voxels.
    """
    largest_first = sorted(masks, key=lambda name: (-int(masks[name].sum()), name))
    return _paint(masks, labels, largest_first)


def paint_targets(
    masks: Mapping[str, np.ndarray], labels: Mapping[str, int], target_gy: Mapping[str, float]
) -> tuple[np.ndarray, list[Overlap]]:
    """Target masks to one label map: where they overlap the higher prescription wins (simultaneous boost)."""
    lowest_first = sorted(masks, key=lambda name: (target_gy[name], name))
    return _paint(masks, labels, lowest_first)


def _paint(
    masks: Mapping[str, np.ndarray], labels: Mapping[str, int], order: list[str]
) -> tuple[np.ndarray, list[Overlap]]:
    painted = np.zeros(next(iter(masks.values())).shape, np.uint8)
    overlaps = []
    for position, name in enumerate(order):
        mask = masks[name]
        for below in order[:position]:
            shared = int(np.count_nonzero(mask & (painted == labels[below])))
            if shared:
                overlaps.append(Overlap(kept=name, lost=below, voxels=shared))
        painted[mask] = labels[name]
    return painted, overlaps

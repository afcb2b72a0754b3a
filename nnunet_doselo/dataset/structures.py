"""Structures: names after AAPM TG-263, overlapping contours to one label map, and the masks that doses are read in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nnunet_doselo.dataset.guidance import DoseGuidance

StructureKind = Literal["target", "organ"]

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
    masks: organ name -> boolean mask (Z, Y, X), all of one shape, at least one; empty masks leave no trace.
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
    """Target masks to one label map: where they overlap the higher prescription wins (boost), ties by name.

    Parameters
    ----------
    masks: target name -> boolean mask (Z, Y, X), all of one shape, at least one; empty masks leave no trace.
    labels, target_gy: label value (1..255) and prescribed dose by target name, for every target in `masks`.

    Returns
    -------
    As `paint_organs`.
    """
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


@dataclass(frozen=True, eq=False)
class Structure:
    """mask: (Z, Y, X) boolean, all False where the patient lacks the structure."""

    name: str
    kind: StructureKind
    mask: np.ndarray


def structure_masks(
    labels: np.ndarray, oars: np.ndarray, label_values: Mapping[str, Sequence[int]], guidance: DoseGuidance
) -> Iterator[Structure]:
    """Targets, then organs, in the order they are declared.

    Dose levels are as the label map has them: a voxel of a boost belongs to a lower level too where that level is one
    of nnU-Net's regions, and does not where it is a label of its own.

    Parameters
    ----------
    labels, oars: (Z, Y, X) label maps.
    label_values: values in `labels` by name; has every target of `guidance`.
    """
    for name in guidance.target_gy:
        yield Structure(name, "target", np.isin(labels, label_values[name]))
    for name, value in guidance.oars.items():
        yield Structure(name, "organ", oars == value)

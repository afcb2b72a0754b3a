"""Dose-volume histograms of a case as numbers: reference and every trainer's dose, in the reference's structures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_doselo.dataset.structure_masks import Structure
from nnunet_doselo.evaluation.dvh import DVH

from .case_images import CaseImages

STEP_GY = 0.5


@dataclass(frozen=True)
class StructureCurves:
    """Volume in per cent that gets at least each of `CaseDvh.doses_gy`; evaluated: by trainer."""

    name: str
    kind: str
    reference: tuple[float, ...]
    evaluated: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class CaseDvh:
    """structures: those that have a voxel in this case."""

    doses_gy: tuple[float, ...]
    structures: tuple[StructureCurves, ...]


def case_dvh(images: CaseImages, structures: Sequence[Structure]) -> CaseDvh:
    """Exact curves, read every half gray up to the highest dose in any structure, rounded to 0.1 %."""
    there = [structure for structure in structures if structure.mask.any()]
    doses = {"": images.reference.dose_gy} | {name: contour.dose_gy for name, contour in images.evaluated.items()}
    dvhs = [
        {name: DVH.from_dose(dose_gy, structure.mask, images.voxel_cc) for name, dose_gy in doses.items()}
        for structure in there
    ]
    highest_gy = max([0.0, *(dvh.doses_gy[-1] for several in dvhs for dvh in several.values())])
    at_gy = np.arange(0.0, highest_gy + 2 * STEP_GY, STEP_GY)
    curves = [
        StructureCurves(
            structure.name,
            structure.kind,
            _percent(several[""], at_gy),
            {name: _percent(dvh, at_gy) for name, dvh in several.items() if name},
        )
        for structure, several in zip(there, dvhs, strict=True)
    ]
    return CaseDvh(tuple(at_gy.tolist()), tuple(curves))


def _percent(dvh: DVH, at_gy: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(100 * dvh.curve(at_gy), 1).tolist())

"""What `planner.py` plans: a synthetic head, a real head CT, and patients of OpenKBP.

Positions are (z, y, x) in mm from the centre of voxel 0; z to superior, y to posterior, x to the patient's left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

SPACING_MM = (3.0, 3.0, 3.0)
RX_GY = 60.0
TARGET_MM = 36.0
ISLAND_MM, ISLAND_AWAY_MM, SHIFT_MM = 8.0, 40.0, 6.0
HEAD_SHAPE = (56, 72, 60)
HEAD_CENTRE_MM = (82.5, 106.5, 88.5)
HEAD_TARGET_MM = (88.5, 86.5, 113.5)
CT_TARGET_MM = (156.0, 150.0, 162.0)
CT_BRAINSTEM_MM = (120.0, 150.0, 132.0)


@dataclass(frozen=True)
class Case:
    """Arrays (Z, Y, X) for `plan`. organ_names: label to name. clinical_gy: a dose to compare with, if there is one."""

    name: str
    ct_hu: np.ndarray
    target_gy: np.ndarray
    oars: np.ndarray
    organ_names: dict[int, str]
    clinical_gy: np.ndarray | None = None

    @property
    def target(self) -> np.ndarray:
        return self.target_gy > 0

    def with_target(self, mask: np.ndarray) -> "Case":
        return replace(self, target_gy=RX_GY * mask)

    def without_organs(self) -> "Case":
        return replace(self, oars=np.zeros_like(self.oars))


def load(name: str, path: Path | None = None) -> Case:
    """The case called `name`: "synthetic"; "head_ct" (path: the image) or "openkbp" (path: a patient's CSV folder)."""
    if name == "synthetic":
        return synthetic_head()
    if path is None:
        raise ValueError(f"{name} needs a path")
    return {"head_ct": head_ct, "openkbp": openkbp_patient}[name](path)


def synthetic_head() -> Case:
    """Skull and brain, 168 x 196 x 160 mm; a sphere of 36 mm as target, and a brainstem that touches it."""
    shape, centre = HEAD_SHAPE, HEAD_CENTRE_MM
    z, y, x = offsets_mm(shape, centre)
    head, inside_skull = ((z / (84 - t)) ** 4 + (y / (98 - t)) ** 2 + (x / (80 - t)) ** 2 <= 1 for t in (0, 6))
    ct_hu = np.where(head, np.where(inside_skull, 40.0, 900.0), -1000.0)
    target = ellipsoid(shape, HEAD_TARGET_MM, [TARGET_MM / 2] * 3)
    behind_mm = (HEAD_TARGET_MM[0], HEAD_TARGET_MM[1] + TARGET_MM / 2 + 12, HEAD_TARGET_MM[2])
    brainstem = ellipsoid(shape, behind_mm, (18, 12, 12)) & ~target
    return Case("synthetic head", ct_hu, RX_GY * target, brainstem.astype(np.uint8), {1: "Brainstem"})


def head_ct(path: Path) -> Case:
    """A planning CT of a head, resampled to 3 mm; an irregular target in the left hemisphere, a rough brainstem.

    The positions are those of `head_ct.nii.gz` (`../shared/data/README.md`); another scan needs its own.
    """
    from nnunet_doselo.dataset.geometry import AIR_HU
    from nnunet_doselo.dataset.images import array_of, grid_of, onto_grid, read_image

    image = read_image(path)
    fine = onto_grid(image, grid_of(image).respaced(SPACING_MM), outside=AIR_HU)
    ct_hu = array_of(fine).astype(np.float64)
    z, y, x = CT_TARGET_MM
    lobes = (((z, y, x), (15, 17, 13)), ((z + 6, y - 8, x + 3), (11, 9, 9)), ((z - 4, y + 9, x - 6), (9, 9, 10)))
    target = np.any([ellipsoid(ct_hu.shape, at, half) for at, half in lobes], axis=0)
    brainstem = ellipsoid(ct_hu.shape, CT_BRAINSTEM_MM, (21, 12, 14)) & ~target
    return Case("real head CT", ct_hu, RX_GY * target, brainstem.astype(np.uint8), {1: "Brainstem"})


def openkbp_patient(folder: Path) -> Case:
    """One patient in OpenKBP's CSV layout at 3 mm, with PTVs, organs and the published dose."""
    from nnunet_doselo.dataset_conversion.openkbp import OPENKBP_NAMES, read_openkbp_patient, to_openkbp_case

    case, _ = to_openkbp_case(read_openkbp_patient(folder), folder.name, SPACING_MM[0])
    target_gy = np.zeros(case.labels.shape)
    for target, gy in OPENKBP_NAMES.target_gy.items():
        target_gy[case.labels == OPENKBP_NAMES.labels[target]] = gy
    names = {label: name for name, label in OPENKBP_NAMES.oars.items()}
    return Case(f"OpenKBP {folder.name}", case.ct_hu, target_gy, case.oars, names, case.dose_gy)


def offsets_mm(shape: Sequence[int], centre_mm: Sequence[float]) -> list[np.ndarray]:
    """Three open grids: how far voxels lie from a point, along z, y and x."""
    axes = [np.arange(n) * s - c for n, s, c in zip(shape, SPACING_MM, centre_mm, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def ellipsoid(shape: Sequence[int], centre_mm: Sequence[float], half_mm: Sequence[float]) -> np.ndarray:
    """(Z, Y, X) boolean: voxels whose centre lies in it."""
    z, y, x = (d / h for d, h in zip(offsets_mm(shape, centre_mm), half_mm, strict=True))
    return z**2 + y**2 + x**2 <= 1


def wrong_masks(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """What a network might have drawn in place of the target, and what is wrong with it."""
    yield f"island of {ISLAND_MM:g} mm, {ISLAND_AWAY_MM:g} mm away", with_island(case)
    yield f"shifted by {SHIFT_MM:g} mm to posterior", np.roll(case.target, round(SHIFT_MM / SPACING_MM[1]), axis=1)
    one_voxel = case.target.copy()
    one_voxel[_island_voxel(case)] = True
    yield f"one voxel, {ISLAND_AWAY_MM:g} mm away", one_voxel


def with_island(case: Case) -> np.ndarray:
    """The target, and a sphere to the right of it."""
    centre_mm = [i * s for i, s in zip(_island_voxel(case), SPACING_MM, strict=True)]
    return case.target | ellipsoid(case.target.shape, centre_mm, [ISLAND_MM / 2] * 3)


def _island_voxel(case: Case) -> tuple[int, int, int]:
    """`ISLAND_AWAY_MM` to the right of the target's bounding box, level with its centre of mass."""
    z, y, x = np.nonzero(case.target)
    return round(z.mean()), round(y.mean()), round(x.min() - 0.5 - ISLAND_AWAY_MM / SPACING_MM[2])

"""False-positive islands: predicted target where there is none, apart from every reference target. They cost dose."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from nnunet_doselo.dataset.geometry import require_same_shape, voxel_cc

from .overlap_metrics import FAR_MM

NEIGHBOURS_26 = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Island:
    """distance_mm: from the voxel nearest to the reference target, between centres; NaN without reference target.

    beyond_cc: volume of its voxels that lie farther than `FAR_MM`; NaN likewise. mean_gy, max_gy: NaN without a dose.
    """

    volume_cc: float
    distance_mm: float
    beyond_cc: float
    mean_gy: float
    max_gy: float


def find_islands(
    reference: np.ndarray,
    evaluated: np.ndarray,
    spacing_mm: Sequence[float],
    dose_gy: np.ndarray | None = None,
) -> list[Island]:
    """Components of `evaluated` that neither share a voxel with `reference` nor touch it, the largest first.

    Voxels belong together, and touch, if they share a face, an edge or a corner (26 neighbours).

    Parameters
    ----------
    reference, evaluated: (Z, Y, X), non-zero inside; all targets together. Without reference every component counts.
    spacing_mm: (z, y, x).
    dose_gy: (Z, Y, X), the dose planned on `evaluated`, to read in the islands.

    Raises
    ------
    DoseloError: shapes differ.
    """
    doses = {} if dose_gy is None else {"dose_gy": dose_gy}
    require_same_shape(reference=reference, evaluated=evaluated, **doses)
    reference, evaluated = np.asarray(reference, bool), np.asarray(evaluated, bool)
    if not evaluated.any():
        return []
    # nothing outside of both matters
    (box,) = ndimage.find_objects((reference | evaluated).astype(np.uint8))
    reference, evaluated = reference[box], evaluated[box]
    labels, _ = ndimage.label(evaluated, NEIGHBOURS_26)
    touching = np.unique(labels[ndimage.binary_dilation(reference, NEIGHBOURS_26)])
    where = np.argwhere((labels > 0) & ~np.isin(labels, touching))
    if not len(where):
        return []
    of_voxels = labels[tuple(where.T)]
    to_reference_mm = _distances_mm(where, reference, spacing_mm)
    in_voxels_gy = np.full(len(where), math.nan) if dose_gy is None else np.asarray(dose_gy)[box][tuple(where.T)]
    each = [_island(to_reference_mm[m], in_voxels_gy[m], voxel_cc(spacing_mm)) for m in _members(of_voxels)]
    return sorted(each, key=lambda island: -island.volume_cc)


def island_rows(case: str, islands: Sequence[Island]) -> list[dict[str, Any]]:
    """Rows of a table, one an island: case, number from 1, and the island's figures by name."""
    return [{"case": case, "island": number, **asdict(island)} for number, island in enumerate(islands, start=1)]


def island_summary(islands: Sequence[Island]) -> dict[str, float]:
    """Figures of a case, for its row of scores: number, volumes (0 without islands) and dose in all of them (NaN)."""
    volume_cc = math.fsum(island.volume_cc for island in islands)
    dose = math.fsum(island.mean_gy * island.volume_cc for island in islands)
    return {
        "islands": float(len(islands)),
        "islands_cc": volume_cc,
        f"islands_beyond_{FAR_MM:g}mm_cc": math.fsum(island.beyond_cc for island in islands),
        "islands_mean_gy": dose / volume_cc if islands else math.nan,
        "islands_max_gy": max((island.max_gy for island in islands), default=math.nan),
    }


def _distances_mm(where: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """(n, 3) voxels to (n,) distances to the nearest reference voxel; a tree, since islands are few voxels of many."""
    if not reference.any():
        return np.full(len(where), math.nan)
    tree = KDTree(np.argwhere(reference) * np.asarray(spacing_mm, float))
    return tree.query(where * np.asarray(spacing_mm, float))[0]


def _members(of_voxels: np.ndarray) -> list[np.ndarray]:
    """Indices of the voxels of each label."""
    order = np.argsort(of_voxels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(of_voxels[order])) + 1)


def _island(to_reference_mm: np.ndarray, doses_gy: np.ndarray, voxel_cc: float) -> Island:
    known = not math.isnan(to_reference_mm[0])
    return Island(
        volume_cc=to_reference_mm.size * voxel_cc,
        distance_mm=float(to_reference_mm.min()),
        beyond_cc=float(np.count_nonzero(to_reference_mm > FAR_MM) * voxel_cc) if known else math.nan,
        mean_gy=float(doses_gy.mean()),
        max_gy=float(doses_gy.max()),
    )

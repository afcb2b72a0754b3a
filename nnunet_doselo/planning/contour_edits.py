"""Contour edits: what automatic contours do wrong, as functions of a mask and of parameters in mm.

A dose predictor that has only seen perfect contours cannot tell what a wrong one costs: edited targets, planned anew,
become training cases of their own, and show afterwards whether the predictor answers to them. Masks are boolean
(Z, Y, X) and not empty; `spacing_mm` is (z, y, x).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import ndimage

Vector = tuple[float, float, float]

SHIFT_MM, DILATE_MM, ERODE_MM = (3.0, 10.0), (2.0, 6.0), (2.0, 5.0)
MISSING_SHARE = (0.15, 0.4)
ISLAND_MM, ISLAND_GAP_MM = (5.0, 10.0), 20.0
SHIFT, DILATE, ERODE, MISSING_PART, ISLAND = "shift", "dilate", "erode", "missing part", "island"


def shift(mask: np.ndarray, spacing_mm: Sequence[float], *, offset_mm: Vector) -> np.ndarray:
    """A mask (Z, Y, X) moved by (z, y, x) mm; a voxel belongs to the result if at least half of it is covered."""
    steps = [mm / spacing for mm, spacing in zip(offset_mm, spacing_mm, strict=True)]
    return ndimage.shift(mask.astype(np.float32), steps, order=1) >= 0.5


def dilate(mask: np.ndarray, spacing_mm: Sequence[float], *, margin_mm: float) -> np.ndarray:
    """A mask (Z, Y, X) with all voxels whose centre is at most `margin_mm` from the surface."""
    return _depth_mm(~mask, spacing_mm) <= margin_mm


def erode(mask: np.ndarray, spacing_mm: Sequence[float], *, margin_mm: float) -> np.ndarray:
    """A mask (Z, Y, X) without the voxels whose centre is at most `margin_mm` below the surface; the deepest stay."""
    depth = _depth_mm(mask, spacing_mm)
    return mask & ((depth > margin_mm) | (depth == depth[mask].max()))


def remove_part(mask: np.ndarray, spacing_mm: Sequence[float], *, towards: Vector, share: float) -> np.ndarray:
    """A mask (Z, Y, X) without a share of its voxels, the farthest in direction (z, y, x); at least one stays."""
    where = np.argwhere(mask)
    _, edges = _in_voxels(spacing_mm)
    nearest_first = np.argsort(sum(where[:, axis] * edges[axis] * towards[axis] for axis in range(3)), kind="stable")
    kept = where[nearest_first[: max(1, round((1 - share) * len(where)))]]
    result = np.zeros_like(mask)
    result[tuple(kept.T)] = True
    return result


def add_island(
    mask: np.ndarray, spacing_mm: Sequence[float], *, centre: tuple[int, int, int], radius_mm: float
) -> np.ndarray:
    """A mask (Z, Y, X) with a ball around a voxel (z, y, x), however small its radius."""
    unit_mm, edges = _in_voxels(spacing_mm)
    axes = np.ogrid[tuple(slice(-c, n - c) for c, n in zip(centre, mask.shape, strict=True))]
    z, y, x = (axis * edge for axis, edge in zip(axes, edges, strict=True))
    return mask | (unit_mm * np.sqrt(z**2 + y**2 + x**2) <= radius_mm)


def _depth_mm(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """How far the centres of the mask's voxels lie below its surface, 0 outside of it.

    The surface lies half of the voxel's shortest edge before the nearest centre outside: along a longer edge depths
    are too large by half the difference.
    """
    unit_mm, edges = _in_voxels(spacing_mm)
    return np.maximum(ndimage.distance_transform_edt(mask, sampling=edges) - 0.5, 0) * unit_mm


def _in_voxels(spacing_mm: Sequence[float]) -> tuple[float, tuple[float, ...]]:
    """The shortest edge in mm and all edges (z, y, x) in units of it: whole numbers stay exact in isotropic grids."""
    unit_mm = min(spacing_mm)
    return unit_mm, tuple(edge / unit_mm for edge in spacing_mm)


FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    SHIFT: shift,
    DILATE: dilate,
    ERODE: erode,
    MISSING_PART: remove_part,
    ISLAND: add_island,
}


@dataclass(frozen=True)
class ContourEdit:
    """One edit: a name of `FUNCTIONS`, and its keyword arguments."""

    kind: str
    parameters: dict[str, Any]

    def apply(self, target: np.ndarray, region: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        """The edited target, cut off where `region` ends; the target as it is should nothing be left.

        target, region and what is returned: boolean (Z, Y, X).
        """
        edited = FUNCTIONS[self.kind](target, spacing_mm, **self.parameters) & region
        return edited if edited.any() else target

    def apply_to_levels(self, prescribed: np.ndarray, region: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        """Edit a target of one or several dose levels (simultaneous integrated boost).

        Each level is edited together with all higher ones, as one mask, and never reaches beyond the edited whole; a
        voxel gets the highest level that covers it. So a shift moves, and a margin moves the borders of, every level;
        a missing part is missing in all; an island has the highest level.

        Parameters
        ----------
        prescribed: (Z, Y, X) prescribed dose, in Gy or as a fraction of Rx; 0 outside, not 0 everywhere.

        Returns
        -------
        (Z, Y, X) of the same type, with values of `prescribed` alone.
        """
        whole = self.apply(prescribed > 0, region, spacing_mm)
        edited = np.zeros_like(prescribed)
        for level in np.unique(prescribed[prescribed > 0]):
            edited[self.apply(prescribed >= level, region, spacing_mm) & whole] = level
        return edited


def draw_edits(
    number: int,
    target: np.ndarray,
    region: np.ndarray,
    spacing_mm: Sequence[float],
    stream: Callable[..., Generator],
) -> list[ContourEdit]:
    """Draw edits of a target. Every kind comes once before any comes again, in an order drawn from `stream()`.

    target, region: boolean (Z, Y, X), see `draw_edit`.
    stream: `stream(k)` draws the k-th edit, counted from 1; so the first edits do not depend on how many there are.
    """
    order = stream().permutation(np.array(list(FUNCTIONS))).tolist()
    return [draw_edit(order[(k - 1) % len(order)], target, region, spacing_mm, stream(k)) for k in range(1, number + 1)]


def draw_edit(
    kind: str, target: np.ndarray, region: np.ndarray, spacing_mm: Sequence[float], rng: Generator
) -> ContourEdit:
    """Draw the parameters of a kind. Margins are never below one voxel, or nothing would change.

    target, region: boolean (Z, Y, X). An island lies in `region`, at least 20 mm from the target. Where there is no
    room for it, a part is missing instead.
    """
    if kind == SHIFT:
        length_mm = max(rng.uniform(*SHIFT_MM), *spacing_mm)
        z, y, x = (round(length_mm * component, 2) for component in _direction(rng))
        return ContourEdit(kind, {"offset_mm": (z, y, x)})
    if kind in (DILATE, ERODE):
        drawn_mm = rng.uniform(*(DILATE_MM if kind == DILATE else ERODE_MM))
        return ContourEdit(kind, {"margin_mm": round(max(drawn_mm, min(spacing_mm)), 2)})
    if kind == ISLAND:
        radius_mm = round(max(rng.uniform(*ISLAND_MM), min(spacing_mm)), 2)
        away_mm = _depth_mm(~target, spacing_mm)
        candidates = np.argwhere(region & (away_mm >= ISLAND_GAP_MM + radius_mm + max(spacing_mm)))
        if len(candidates):
            z, y, x = (int(i) for i in candidates[int(rng.random() * len(candidates))])
            return ContourEdit(kind, {"centre": (z, y, x), "radius_mm": radius_mm})
    share = round(rng.uniform(*MISSING_SHARE), 3)
    return ContourEdit(MISSING_PART, {"towards": _direction(rng), "share": share})


def _direction(rng: Generator) -> Vector:
    """A unit vector, all directions alike."""
    z, y, x = rng.standard_normal(3).tolist()
    length = float(np.sqrt(z * z + y * y + x * x))
    return z / length, y / length, x / length


def case_stream(seed: int, case: str, *more: int) -> Generator:
    """The random stream of a case; it depends on nothing but the seed, the case's name and the numbers."""
    name = int.from_bytes(hashlib.sha256(case.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, name, *more])

"""Imperfect targets: what automatic contours do wrong, as functions of a mask and of parameters in mm.

A dose predictor that has only seen perfect contours cannot tell what a wrong one costs; these are planned anew and
become training cases of their own. All masks are boolean (Z, Y, X), not empty, with isotropic voxels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import ndimage

Vector = tuple[float, float, float]

SHIFT_MM, DILATE_MM, ERODE_MM = (3.0, 10.0), (2.0, 6.0), (2.0, 5.0)
MISSING_SHARE = (0.15, 0.4)
ISLAND_MM, ISLAND_GAP_MM = (5.0, 10.0), 20.0


def shift(mask: np.ndarray, spacing_mm: float, *, offset_mm: Vector) -> np.ndarray:
    """Moved by (z, y, x) mm; a voxel belongs to the result if at least half of it is covered."""
    moved = ndimage.shift(mask.astype(np.float32), [mm / spacing_mm for mm in offset_mm], order=1)
    return moved >= 0.5


def dilate(mask: np.ndarray, spacing_mm: float, *, margin_mm: float) -> np.ndarray:
    """With all voxels whose centre is at most `margin_mm` from the surface."""
    return _depth_mm(~mask, spacing_mm) <= margin_mm


def erode(mask: np.ndarray, spacing_mm: float, *, margin_mm: float) -> np.ndarray:
    """Without the voxels whose centre is at most `margin_mm` below the surface; the deepest ones stay in any case."""
    depth = _depth_mm(mask, spacing_mm)
    return mask & ((depth > margin_mm) | (depth == depth[mask].max()))


def remove_part(mask: np.ndarray, spacing_mm: float, *, towards: Vector, share: float) -> np.ndarray:
    """Without that share of its voxels, the farthest in the direction (z, y, x); at least one voxel stays."""
    where = np.argwhere(mask)
    nearest_first = np.argsort(sum(where[:, axis] * towards[axis] for axis in range(3)), kind="stable")
    kept = where[nearest_first[: max(1, round((1 - share) * len(where)))]]
    result = np.zeros_like(mask)
    result[tuple(kept.T)] = True
    return result


def add_island(mask: np.ndarray, spacing_mm: float, *, centre: tuple[int, int, int], radius_mm: float) -> np.ndarray:
    """With a ball around a voxel (z, y, x), however small its radius."""
    z, y, x = np.ogrid[tuple(slice(-c, n - c) for c, n in zip(centre, mask.shape, strict=True))]
    return mask | (spacing_mm * np.sqrt(z**2 + y**2 + x**2) <= radius_mm)


def _depth_mm(mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """How far the centres of the mask's voxels lie below its surface, 0 outside of it."""
    return np.maximum(ndimage.distance_transform_edt(mask) - 0.5, 0) * spacing_mm


FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "shift": shift,
    "dilate": dilate,
    "erode": erode,
    "missing part": remove_part,
    "island": add_island,
}


@dataclass(frozen=True)
class Variant:
    """One draw: a name of `FUNCTIONS`, and its keyword arguments."""

    kind: str
    parameters: dict[str, Any]

    def apply(self, target: np.ndarray, brain: np.ndarray, spacing_mm: float) -> np.ndarray:
        """The perturbed target, cut off where the brain ends; the target as it is should nothing be left."""
        perturbed = FUNCTIONS[self.kind](target, spacing_mm, **self.parameters) & brain
        return perturbed if perturbed.any() else target


def draw_variant(kind: str, target: np.ndarray, brain: np.ndarray, spacing_mm: float, rng: Generator) -> Variant:
    """Draw the parameters of a kind. Margins are never below one voxel, or nothing would change.

    An island lies at least 20 mm from the target. Where the brain has no room for it, a part is missing instead.
    """
    if kind == "shift":
        length_mm = max(rng.uniform(*SHIFT_MM), spacing_mm)
        z, y, x = (round(length_mm * component, 2) for component in _direction(rng))
        return Variant(kind, {"offset_mm": (z, y, x)})
    if kind in ("dilate", "erode"):
        drawn_mm = rng.uniform(*(DILATE_MM if kind == "dilate" else ERODE_MM))
        return Variant(kind, {"margin_mm": round(max(drawn_mm, spacing_mm), 2)})
    if kind == "island":
        radius_mm = round(max(rng.uniform(*ISLAND_MM), spacing_mm), 2)
        away_mm = _depth_mm(~target, spacing_mm)
        candidates = np.argwhere(brain & (away_mm >= ISLAND_GAP_MM + radius_mm + spacing_mm))
        if len(candidates):
            z, y, x = (int(i) for i in candidates[int(rng.random() * len(candidates))])
            return Variant(kind, {"centre": (z, y, x), "radius_mm": radius_mm})
    share = round(rng.uniform(*MISSING_SHARE), 3)
    return Variant("missing part", {"towards": _direction(rng), "share": share})


def _direction(rng: Generator) -> Vector:
    """A unit vector, all directions alike."""
    z, y, x = rng.standard_normal(3).tolist()
    length = float(np.sqrt(z * z + y * y + x * x))
    return z / length, y / length, x / length

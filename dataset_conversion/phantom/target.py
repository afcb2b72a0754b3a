"""The gross tumour volume: where it starts, how it grows, and what came out.

GTV is resection cavity plus residual enhancement (ESTRO-ACROP: Niyazi et al., Radiother Oncol 118:35, 2016).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from scipy import ndimage
from scipy.spatial import ConvexHull

from .anatomy import PhantomAnatomy
from .growth import Index, arrival, first_reached, tumour_speed

Form = Literal["round", "irregular", "two parts", "butterfly"]
FORMS: dict[Form, float] = {"round": 0.4, "irregular": 0.25, "two parts": 0.2, "butterfly": 0.15}
"""How often each is drawn; in clinical cohorts butterflies are fewer."""
ROUGHNESS: dict[Form, float] = {"round": 0.35, "irregular": 1.1, "two parts": 0.5, "butterfly": 0.4}
VOLUME_CC = (10.0, 80.0)
MEDIAN_CC, SPREAD = 30.0, 0.5
DEPTH_OF_SEED_MM = 6.0
SECOND_PART_SHARE = (0.12, 0.3)
GAP_MM = 9.0
FARTHEST_PART_MM = 50.0
PART_CC = 0.5
CROSSES_CC = 1.0

# How often a tumour starts in a lobe, and the lobe as a box in MNI space (x mirrored, y, z). In the order of Larjavaara
# et al., Neuro-Oncol 9:319 (2007), with more posterior tumours than there, so that small cohorts have some.
LOBES = {
    "frontal": (0.40, (10, 60), (0, 65), (-5, 60)),
    "temporal": (0.30, (28, 65), (-50, 8), (-32, 2)),
    "parietal": (0.20, (10, 60), (-68, -15), (22, 60)),
    "occipital": (0.10, (8, 50), (-95, -68), (-5, 30)),
}
CALLOSUM = {"genu": (7, 26, 8), "body": (7, -4, 27), "splenium": (8, -39, 13)}


@dataclass(frozen=True)
class Target:
    """The GTV, boolean (Z, Y, X), and how it was drawn."""

    mask: np.ndarray
    form: Form
    place: str


def draw_target(anatomy: PhantomAnatomy, rng: Generator) -> Target:
    """Draw form, side, place and volume, then let the tumour grow."""
    form: Form = rng.choice(np.array(list(FORMS)), p=list(FORMS.values())).item()
    right = bool(rng.random() < 0.5)
    volume_mm3 = 1000 * float(np.clip(MEDIAN_CC * np.exp(rng.normal(0, SPREAD)), *VOLUME_CC))
    place, seed = _callosal_seed(anatomy, right, rng) if form == "butterfly" else _lobar_seed(anatomy, right, rng)
    speed = tumour_speed(anatomy, ROUGHNESS[form], rng)
    second = rng.uniform(*SECOND_PART_SHARE) * volume_mm3 if form == "two parts" else 0.0
    mask = first_reached(arrival(speed, [seed], anatomy.spacing_mm), volume_mm3 - second, anatomy.spacing_mm)
    if second:
        mask |= _second_part(anatomy, mask, speed, second, right, rng)
    return Target(mask & anatomy.brain, form, place)


def _lobar_seed(anatomy: PhantomAnatomy, right: bool, rng: Generator) -> tuple[str, Index]:
    """A voxel of white matter, well inside the brain, in a lobe drawn by how often it is affected."""
    lobe = rng.choice(np.array(list(LOBES)), p=[often for often, *_ in LOBES.values()]).item()
    x, y, z = _sided(anatomy, right), anatomy.points[1], anatomy.points[2]
    inside = anatomy.cerebrum & (anatomy.white > 0.6) & (anatomy.outside_mm < -DEPTH_OF_SEED_MM)
    for coordinate, (low, high) in zip((x, y, z), LOBES[lobe][1:], strict=True):
        inside &= (coordinate > low) & (coordinate < high)
    return lobe, _any_of(inside, rng)


def _callosal_seed(anatomy: PhantomAnatomy, right: bool, rng: Generator) -> tuple[str, Index]:
    part = rng.choice(np.array(list(CALLOSUM))).item()
    points = np.stack([_sided(anatomy, right), anatomy.points[1], anatomy.points[2]])
    aim = np.array(CALLOSUM[part], np.float32)[:, None, None, None]
    distance = ((points - aim) ** 2).sum(axis=0) + 1e6 * (anatomy.white < 0.4)
    return f"corpus callosum, {part}", _index(int(distance.argmin()), distance.shape)


def _second_part(
    anatomy: PhantomAnatomy, first: np.ndarray, speed: np.ndarray, volume_mm3: float, right: bool, rng: Generator
) -> np.ndarray:
    """A satellite in the same hemisphere, with brain between it and the first part; empty if there is no room."""
    away_mm = ndimage.distance_transform_edt(~first) * anatomy.spacing_mm
    radius_mm = (volume_mm3 * 3 / 4 / np.pi) ** (1 / 3)
    allowed = (away_mm > GAP_MM + radius_mm) & (away_mm < FARTHEST_PART_MM) & (_sided(anatomy, right) > 5)
    allowed &= anatomy.cerebrum & (anatomy.white > 0.6)
    if not allowed.any():
        return np.zeros_like(first)
    seed = _any_of(allowed, rng)
    return first_reached(
        arrival(np.where(away_mm > GAP_MM, speed, 0), [seed], anatomy.spacing_mm), volume_mm3, anatomy.spacing_mm
    )


def _sided(anatomy: PhantomAnatomy, right: bool) -> np.ndarray:
    """MNI x, positive in the hemisphere in question."""
    return anatomy.points[0] if right else -anatomy.points[0]


def _any_of(mask: np.ndarray, rng: Generator) -> Index:
    """One of the mask's voxels, all alike; the mask must not be empty."""
    candidates = np.flatnonzero(mask)
    return _index(int(candidates[int(rng.random() * candidates.size)]), mask.shape)


def _index(flat: int, shape: tuple[int, ...]) -> Index:
    z, y, x = (int(i) for i in np.unravel_index(flat, shape))
    return z, y, x


def describe_target(target: Target, anatomy: PhantomAnatomy) -> dict[str, object]:
    """What stratifies a cohort, measured on the mask and not taken from the draw.

    volume_cc. side: where most of it lies. crosses_midline: at least 1 cc on either side. parts: connected ones of at
    least 0.5 cc. solidity: share of its convex hull that it fills; well below 1 means not convex.
    """
    voxel_cc = anatomy.grid.voxel_cc
    right_cc, left_cc = (
        voxel_cc * np.count_nonzero(target.mask & half) for half in (anatomy.points[0] > 0, anatomy.points[0] <= 0)
    )
    labels, parts = ndimage.label(target.mask, np.ones((3, 3, 3)))
    sizes = voxel_cc * np.bincount(labels.ravel(), minlength=parts + 1)[1:]
    return {
        "form": target.form,
        "place": target.place,
        "volume_cc": round(float(right_cc + left_cc), 2),
        "side": "right" if right_cc > left_cc else "left",
        "crosses_midline": bool(min(right_cc, left_cc) >= CROSSES_CC),
        "parts": int(np.count_nonzero(sizes >= PART_CC)),
        "solidity": round(_solidity(target.mask), 3),
    }


def _solidity(mask: np.ndarray) -> float:
    """Volume over volume of the convex hull, both of voxels with their corners."""
    centres = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    corners = np.concatenate([centres + offset for offset in np.indices((2, 2, 2)).reshape(3, -1).T - 0.5])
    return float(np.count_nonzero(mask) / ConvexHull(corners).volume)

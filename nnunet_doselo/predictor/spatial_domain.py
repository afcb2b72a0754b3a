"""How patients were moved about when a dose predictor learned: what lies outside it has never seen.

Axes are the patient's, whatever order an image has: z along the couch, y from front to back, x from right to left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from nnunet_doselo.predictor.beam_paths import left_is_right

AXES = "zyx"
SCALING = (0.7, 1.4)
"""nnU-Net's."""
SLIGHT_TURN_DEG = 15.0
"""As nnU-Net turns elongated patches."""
WIDEST_GAP_DEG = 10.0
"""Between beams that look alike from everywhere: however a patient is turned, one comes from within 5 degrees."""

Turns = tuple[float, float] | Callable[..., float]
"""Angles in radians as nnU-Net's spatial transform takes them: a range, or a function that draws one for each axis."""


@dataclass(frozen=True)
class SpatialDomain:
    """mirror_axes: of z, y and x. rotation_deg: at most, about z, y and x. scaling: zoom from and to, as nnU-Net's."""

    mirror_axes: tuple[str, ...]
    rotation_deg: tuple[float, float, float]
    scaling: tuple[float, float] = SCALING

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "SpatialDomain":
        """Raises TypeError for what is no such domain."""
        domain = cls(**{name: tuple(value) for name, value in content.items()})
        if not set(domain.mirror_axes) <= set(AXES) or len(domain.rotation_deg) != 3 or len(domain.scaling) != 2:
            raise TypeError(f"no spatial domain: {content}")
        return domain

    def __str__(self) -> str:
        mirrored = f"mirrored along {', '.join(self.mirror_axes)}" if self.mirror_axes else "not mirrored"
        turns = [f"{name} by up to {deg:g} degrees" for name, deg in zip(AXES, self.rotation_deg, strict=True) if deg]
        turned = f"turned about {', '.join(turns)}" if turns else "not turned"
        return f"{mirrored}, {turned}, scaled by {self.scaling[0]:g} to {self.scaling[1]:g}"

    def within(self, other: "SpatialDomain") -> "SpatialDomain":
        """What lies in both."""
        return SpatialDomain(
            tuple(axis for axis in self.mirror_axes if axis in other.mirror_axes),
            tuple(map(min, self.rotation_deg, other.rotation_deg)),  # type: ignore[arg-type]
            (max(self.scaling[0], other.scaling[0]), min(self.scaling[1], other.scaling[1])),
        )

    def mirrored_patch_axes(self, order: str) -> tuple[int, ...]:
        """Of a patch whose axes are, in this order, these of the patient's: "zyx", "yx"."""
        return tuple(number for number, axis in enumerate(order) if axis in self.mirror_axes)

    def turns(self, order: str) -> Turns:
        """Of a patch with such axes; a plane is turned about the patient's third axis."""
        limits = dict(zip(AXES, np.deg2rad(self.rotation_deg).tolist(), strict=True))
        if len(order) == 2:
            (normal,) = set(AXES) - set(order)
            return (-limits[normal], limits[normal])
        return partial(_turn, limits=tuple(limits[axis] for axis in order))


def _turn(image: Any, dim: int, limits: tuple[float, ...]) -> float:
    """Angle about axis `dim` of a volume, drawn as nnU-Net draws all else; `image` is what it passes on."""
    return np.random.uniform(-limits[dim], limits[dim]) if limits[dim] else 0.0  # noqa: NPY002 (nnU-Net's global state)


def domain_of_beams(gantry_deg: Sequence[float], dim: int) -> SpatialDomain:
    """What keeps beams at these angles in place: left to right alone, and hardly any turn.

    Front and back differ, and so do the beams from there. Beams that the network knows (none: it knows none) are not
    turned, and not mirrored unless they are their own mirror image. Slices are predicted one by one, so their order
    along z does not matter; volumes keep theirs.
    """
    mirrors = ("z",) * (dim == 2) + ("x",) * left_is_right(gantry_deg)
    return SpatialDomain(mirrors, (0.0 if gantry_deg else SLIGHT_TURN_DEG, 0.0, 0.0))


WHOLE_DOMAIN = SpatialDomain(("z", "y", "x"), (180.0, 0.0, 0.0))
"""nnU-Net's of near-square slices. Coplanar beams are their own mirror image along z, and leave any other plane."""


def all_around(gantry_deg: Sequence[float]) -> bool:
    """Whether beams at these angles look alike from everywhere: evenly spaced, 10 degrees apart at most; not none."""
    angles = sorted({round(angle % 360, 3) for angle in gantry_deg})
    gaps = [b - a for a, b in pairwise([*angles, *(angle + 360 for angle in angles[:1])])]
    return bool(gaps) and max(gaps) <= WIDEST_GAP_DEG and max(gaps) - min(gaps) < 0.01

"""A healthy patient: one draw of pose and build, composed of tissues, with organs at risk, on a tight axial grid."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from nnunet_doselo.dataset.geometry import Grid

from .head import Build, paint_brain, paint_head, skin_distance
from .organs import organ_distances, organ_masks, paint_organ_tissues
from .pose import Axes, Pose
from .template import template_for
from .tissues import Composition

SEARCH_MM = 6.0
SEARCHED_MM = ((-116.0, 130.0), (-160.0, 160.0), (-125.0, 125.0))
"""Patient coordinates z, y, x among which the head is looked for; the scan ends at the lowest, in the upper neck."""
HEAD_MARGIN_VOXELS = 2


@dataclass(frozen=True)
class PhantomAnatomy:
    """A patient without tumour. Arrays are (Z, Y, X).

    axes: patient coordinates (mm, LPS) of the voxels along z, y and x. points: their MNI coordinates, (3, Z, Y, X).
    composition: tissues; whoever adds a tumour paints it here. masks: organs at risk by name.
    outside_mm: distance from the brain's closed surface, negative inside.
    grey, white: shares of the healthy brain. brain, cerebrum: boolean, with and without what lies below the tentorium.
    """

    axes: Axes
    spacing_mm: float
    points: np.ndarray
    outside_mm: np.ndarray
    composition: Composition
    masks: dict[str, np.ndarray]
    grey: np.ndarray
    white: np.ndarray
    brain: np.ndarray
    cerebrum: np.ndarray

    @property
    def grid(self) -> Grid:
        z, y, x = self.axes
        return Grid.upright((len(z), len(y), len(x)), (self.spacing_mm,) * 3, (float(x[0]), float(y[0]), float(z[0])))


def draw_anatomy(rng: Generator, spacing_mm: float) -> PhantomAnatomy:
    """One patient; the draw does not depend on the spacing, so that every spacing shows the same one."""
    pose, build = Pose.draw(rng), Build.draw(rng)
    template = template_for(spacing_mm)
    axes = _tight_axes(pose, build, spacing_mm)
    points = pose.mni(axes)
    outside = template.sample("outside_mm", points)
    composition = Composition(outside.shape)
    paint_head(composition, points, outside, build, spacing_mm)
    paint_brain(composition, points, outside, template, spacing_mm)
    grey, white = composition.share("grey").copy(), composition.share("white").copy()
    distances = organ_distances(points, grey + white, rng)
    paint_organ_tissues(composition, points, distances, spacing_mm)
    brain = (grey + white >= 0.5) & (outside < 0)
    return PhantomAnatomy(
        axes,
        spacing_mm,
        points,
        outside,
        composition,
        organ_masks(distances, spacing_mm),
        grey,
        white,
        brain,
        brain & _above_tentorium(points),
    )


def _tight_axes(pose: Pose, build: Build, spacing_mm: float) -> Axes:
    """Axes that hold the whole head and a margin; below, they end where the scan does."""
    coarse = tuple(np.arange(low, high, SEARCH_MM) for low, high in SEARCHED_MM)
    points = pose.mni(coarse)  # type: ignore[arg-type]
    head = skin_distance(points, template_for(SEARCH_MM).sample("outside_mm", points), build) < SEARCH_MM / 2
    axes = []
    for axis, positions in enumerate(coarse):
        reached = positions[head.any(axis=tuple(a for a in range(3) if a != axis))]
        below = 0 if axis == 0 else HEAD_MARGIN_VOXELS * spacing_mm
        start = float(reached[0]) - below
        voxels = math.ceil((float(reached[-1]) - start) / spacing_mm) + HEAD_MARGIN_VOXELS + 1
        axes.append(start + spacing_mm * np.arange(voxels))
    return axes[0], axes[1], axes[2]


def _above_tentorium(points: np.ndarray) -> np.ndarray:
    """False in cerebellum and brainstem.

    The tentorium, as the template shows it, rises from the occipital bone to the splenium and falls to both sides.
    """
    x, y, z = points
    roof = -15 + 0.5 * np.clip(y + 88, 0, 45) - 0.9 * np.minimum(np.abs(x), 24)
    cerebellum = ((y < -38) & (z < roof)) | ((y < -28) & (z < -30))
    brainstem = (np.abs(x) < 19) & (y < -8) & (z < -6)
    return ~(cerebellum | brainstem)

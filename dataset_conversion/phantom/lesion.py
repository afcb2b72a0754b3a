"""What the images show of a resected glioblastoma: oedema, enhancing rest, fluid and blood in the cavity."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from .anatomy import PhantomAnatomy
from .growth import arrival
from .random_fields import smooth_field
from .shapes import coverage

RIM_MM = (1.5, 3.5)
"""Enhancing wall where the resection was complete."""
REST_MM = (3.0, 14.0)
"""How much thicker it is on the side where tumour was left."""
OEDEMA_MM = (4.0, 22.0)
OEDEMA_EDGE_MM = 6.0
OEDEMA_IN_GREY = 0.15
RIM_KNOT_MM, TEXTURE_KNOT_MM = 12.0, 7.0
FLAP_MM = (22.0, 36.0)
SAW_MM = 2.0


@dataclass(frozen=True)
class Resection:
    """A draw. rim_mm, rest_mm: thickness of the wall, and how much is added on the side where tumour was left.

    rest_towards: unit vector (z, y, x) to that side. oedema_mm: how far it reaches in white matter. flap_mm: radius
    of the piece of skull that was taken out and put back.
    """

    rim_mm: float
    rest_mm: float
    rest_towards: tuple[float, float, float]
    oedema_mm: float
    flap_mm: float

    @classmethod
    def draw(cls, rng: Generator) -> "Resection":
        z, y, x = rng.standard_normal(3)
        length = float(np.sqrt(z * z + y * y + x * x))
        rim, rest, oedema, flap = (float(rng.uniform(*limits)) for limits in (RIM_MM, REST_MM, OEDEMA_MM, FLAP_MM))
        return cls(rim, rest, (float(z) / length, float(y) / length, float(x) / length), oedema, flap)


def paint_lesion(anatomy: PhantomAnatomy, gtv: np.ndarray, resection: Resection, rng: Generator) -> None:
    """Paint the lesion into the anatomy's composition; `gtv` is boolean (Z, Y, X)."""
    composition, spacing = anatomy.composition, anatomy.spacing_mm
    composition.paint("oedema", _oedema(anatomy, gtv, resection.oedema_mm))
    surface = signed_distance(gtv, spacing)
    wall = _wall_mm(anatomy, gtv, resection, rng)
    whole, cavity = coverage(surface, spacing), coverage(surface + wall, spacing)
    texture = smooth_field(rng, anatomy.axes, TEXTURE_KNOT_MM)
    composition.paint("gliosis", whole)
    composition.paint("tumour", whole * np.clip(0.8 + 0.35 * texture, 0.3, 1))
    composition.paint("cavity", cavity)
    clot = smooth_field(rng, anatomy.axes, RIM_KNOT_MM) > 1.0
    composition.paint("blood", np.where(clot, whole * coverage(surface + wall - 2, spacing) * (1 - cavity), 0))
    _paint_flap(anatomy, gtv, resection.flap_mm)


def signed_distance(mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Distance from the surface of a mask (Z, Y, X) in mm, negative inside, slightly smoothed; it must not be empty."""
    outside, inside = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
    distance = np.where(mask, 0.5 - inside, outside - 0.5) * spacing_mm
    return ndimage.gaussian_filter(distance, 0.5).astype(np.float32)


def _wall_mm(anatomy: PhantomAnatomy, gtv: np.ndarray, resection: Resection, rng: Generator) -> np.ndarray:
    """Thickness of what encloses the cavity: uneven, and thicker towards the side where tumour was left."""
    uneven = np.exp(0.5 * smooth_field(rng, anatomy.axes, RIM_KNOT_MM))
    centre = np.argwhere(gtv).mean(axis=0)
    offsets = [
        (np.arange(size) - middle) * towards
        for size, middle, towards in zip(gtv.shape, centre, resection.rest_towards, strict=True)
    ]
    along = anatomy.spacing_mm * (offsets[0][:, None, None] + offsets[1][:, None] + offsets[2])
    extent = float(np.abs(along[gtv]).max()) + anatomy.spacing_mm
    rest = np.clip(along / extent, 0, 1)
    return (resection.rim_mm * uneven + resection.rest_mm * rest).astype(np.float32)


def _oedema(anatomy: PhantomAnatomy, gtv: np.ndarray, reach_mm: float) -> np.ndarray:
    """Share of oedema: it follows white matter, stops at cortex and CSF, and fades over a few mm."""
    speed = np.where(anatomy.brain, 0.02 + OEDEMA_IN_GREY * anatomy.grey + anatomy.white, 0)
    edge = gtv & ~ndimage.binary_erosion(gtv)
    reached = arrival(np.where(gtv, 1, speed), np.argwhere(edge), anatomy.spacing_mm)
    share = np.clip((reach_mm - reached) / OEDEMA_EDGE_MM, 0, 1)
    return np.where(gtv, 1, share) * np.clip(anatomy.grey + anatomy.white, 0, 1)


def _paint_flap(anatomy: PhantomAnatomy, gtv: np.ndarray, radius_mm: float) -> None:
    """The craniotomy: a saw cut around the skull that is closest to the tumour, and dura that enhances below it."""
    z, y, x = np.meshgrid(*anatomy.axes, indexing="ij", sparse=True)
    gtv_mm = [axis[index].mean() for axis, index in zip(anatomy.axes, np.nonzero(gtv), strict=True)]
    brain_mm = [axis[index].mean() for axis, index in zip(anatomy.axes, np.nonzero(anatomy.brain), strict=True)]
    outward = np.subtract(gtv_mm, brain_mm)
    outward = outward / max(float(np.sqrt((outward**2).sum())), 1e-6)
    offsets = [position - middle for position, middle in zip((z, y, x), brain_mm, strict=True)]
    along = sum(offset * float(step) for offset, step in zip(offsets, outward, strict=True))
    aside = np.sqrt(np.maximum(sum(offset**2 for offset in offsets) - along**2, 0))
    vault = (along > 0) & (anatomy.points[2] > -15)
    cut = coverage(np.abs(aside - radius_mm) - SAW_MM, anatomy.spacing_mm)
    bone = anatomy.composition.share("bone") + anatomy.composition.share("marrow")
    anatomy.composition.paint("muscle", np.where(vault & (anatomy.outside_mm > 0), cut * bone, 0))
    dura = coverage(np.abs(anatomy.outside_mm - 1) - 1, anatomy.spacing_mm)
    anatomy.composition.paint("dura", np.where(vault & (aside < radius_mm), 0.7 * dura, 0))

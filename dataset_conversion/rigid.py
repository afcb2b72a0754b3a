"""Rigid registration of two images of one patient, whatever their contrasts: Mattes mutual information.

Several starts on coarse voxels, the best go on to finer voxels. Seeded, and on one thread: the same images give the
same transform, bit for bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.errors import DoseloError

from .rigid_content import binned, content, cropped, points_mm, share_inside, windowed
from .rigid_quality import check, doubts
from .rigid_starts import shifted, turned


@dataclass(frozen=True)
class Level:
    """voxel_mm: images are averaged to about this. samples: voxels at which they are compared, at most."""

    voxel_mm: float
    samples: int


COARSE, MEDIUM, FINE, FINEST = Level(8.0, 40_000), Level(4.0, 60_000), Level(2.0, 80_000), Level(1.0, 120_000)
BINS = 32
HEAD_RADIUS_MM = 80.0
"""A turn by 1/80 rad counts as much as a shift by 1 mm: what both move at the surface of a head."""
FIRST_STEP, LAST_STEP, SLOWER = 0.5, 0.005, 0.8
"""The optimiser's steps, in voxels; at the usual factor of 0.5 a turn it stopped 2 mm off."""
MOST_STEPS, FLAT = 200, 1e-5
MARGIN_MM = 12.0
"""Around the moving image's content: a brain without skull is compared with the CT's bone, not with all the air."""
SAME_MM, FOLLOWED = 6.0, 3


@dataclass(frozen=True)
class Registered:
    """transform: maps points (x, y, z) of the fixed image to the moving one, in mm, as `sitk.Resample` wants it.

    quality: mutual_information (nats), and that of the start (mutual_information_start); overlap, the share of one
    image's content in the other's field of view, the larger of both; translation_mm of the content's centre;
    rotation_deg; agreeing_starts, how many of nine starts ended within 6 mm of the result.
    doubts: in words, why to look at this one first; none as a rule.
    """

    transform: sitk.Transform
    quality: dict[str, float]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Pair:
    """Both images, windowed; the moving one's content as points (N, 3) and as a mask with a margin."""

    fixed: sitk.Image
    moving: sitk.Image
    moving_mm: np.ndarray
    mask: sitk.Image
    seed: int


@dataclass(frozen=True)
class _Match:
    start: sitk.Euler3DTransform
    transform: sitk.Euler3DTransform
    information: float


def register_rigid(fixed: sitk.Image, moving: sitk.Image, *, seed: int = 0) -> Registered:
    """Find how `moving` lies on `fixed`: `sitk.Resample(moving, fixed, transform)`.

    Parameters
    ----------
    fixed: as a rule the CT in HU (interpolating the MR, not the CT, is what makes the search well-behaved).
    moving: of any contrast, spacing, direction and field of view; with the skull or without.
    seed: which voxels are compared; not below 0.

    Raises
    ------
    DoseloError: an image is no volume, not finite or empty; no start leads anywhere; less than 30 % of the content is
    seen by both; the result is worse than where it began.
    """
    pair = _paired(windowed(fixed, "the fixed image"), windowed(moving, "the moving image"), seed)
    fixed_mm = points_mm(content(binned(pair.fixed, COARSE.voxel_mm)))
    coarse = _coarse(pair, fixed_mm)
    match = _refined(pair, [candidate.transform for candidate in _different(pair, coarse)], MEDIUM)[0]
    for level in (FINE, FINEST):
        match = _refined(pair, [match.transform], level)[0]
    agreeing = sum(_apart_mm(pair, match.transform, other.transform) < SAME_MM for other in coarse)
    begun = _information_at(pair, coarse[0].start, FINEST)
    quality = {
        "mutual_information": match.information,
        "mutual_information_start": begun,
        "overlap": _overlap(pair, fixed_mm, match.transform),
        "agreeing_starts": float(agreeing),
        **_size(pair, match.transform),
    }
    check(quality)
    return Registered(match.transform, quality, doubts(quality))


def _paired(fixed: sitk.Image, moving: sitk.Image, seed: int) -> _Pair:
    shown = content(binned(moving, MEDIUM.voxel_mm))
    mask = sitk.BinaryDilate(shown, [round(MARGIN_MM / mm) for mm in shown.GetSpacing()])
    return _Pair(fixed, moving, points_mm(shown), mask, seed)


def _coarse(pair: _Pair, fixed_mm: np.ndarray) -> list[_Match]:
    """From every shift, and from the best of them turned; the best match first."""
    straight = _refined(pair, shifted(fixed_mm, pair.moving_mm), COARSE)
    if not straight:
        raise DoseloError("registration failed: found no position where the images overlap; do both show the patient?")
    matches = [*straight, *_refined(pair, turned(straight[0].start), COARSE)]
    return sorted(matches, key=lambda match: -match.information)


def _different(pair: _Pair, matches: Iterable[_Match]) -> list[_Match]:
    """The first few that are not all but the same."""
    kept: list[_Match] = []
    for match in matches:
        if all(_apart_mm(pair, match.transform, other.transform) >= SAME_MM for other in kept):
            kept.append(match)
    return kept[:FOLLOWED]


def _refined(pair: _Pair, starts: Iterable[sitk.Euler3DTransform], level: Level) -> list[_Match]:
    """The best first; starts that leave the other image's field of view are dropped."""
    matches = [match for start in starts if (match := _optimised(pair, start, level))]
    return sorted(matches, key=lambda match: -match.information)


def _optimised(pair: _Pair, start: sitk.Euler3DTransform, level: Level) -> _Match | None:
    method, fixed, moving = _method(pair, start, level)
    found = sitk.Euler3DTransform(start)
    method.SetInitialTransform(found, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # ITK's word for hardly any voxel of one in the other
        return None
    return _Match(start, found, -method.GetMetricValue())


def _information_at(pair: _Pair, transform: sitk.Euler3DTransform, level: Level) -> float:
    """Mutual information in nats; 0 if hardly any voxel of one image lies in the other."""
    method, fixed, moving = _method(pair, transform, level)
    method.SetInitialTransform(transform)
    try:
        return -float(method.MetricEvaluate(fixed, moving))
    except RuntimeError:
        return 0.0


def _method(
    pair: _Pair, start: sitk.Euler3DTransform, level: Level
) -> tuple[sitk.ImageRegistrationMethod, sitk.Image, sitk.Image]:
    """The method but for its transform, and both images at the level's resolution."""
    fixed = pair.fixed if level is COARSE else cropped(pair.fixed, _inverse(start, pair.moving_mm), 2 * MARGIN_MM)
    fixed, moving = binned(fixed, level.voxel_mm), binned(pair.moving, level.voxel_mm)
    method = sitk.ImageRegistrationMethod()
    # threads add up sums in another order each time
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricMovingMask(pair.mask)
    method.SetInterpolator(sitk.sitkLinear)
    # SimpleITK's default, smoothed gradients, led away from the right position where slices are thick
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    if fixed.GetNumberOfPixels() > level.samples:
        method.SetMetricSamplingStrategy(method.RANDOM)
        # a seed of 0 would be the clock
        method.SetMetricSamplingPercentage(level.samples / fixed.GetNumberOfPixels(), pair.seed + 1)
    first_mm, last_mm = FIRST_STEP * level.voxel_mm, LAST_STEP * level.voxel_mm
    method.SetOptimizerAsRegularStepGradientDescent(first_mm, last_mm, MOST_STEPS, SLOWER, FLAT)
    method.SetOptimizerScales([HEAD_RADIUS_MM**2] * 3 + [1.0] * 3)
    return method, fixed, moving


def _inverse(transform: sitk.Transform, moving_mm: np.ndarray) -> np.ndarray:
    """Where the fixed image shows these points (N, 3) of the moving one."""
    inverse = transform.GetInverse()
    return np.array([inverse.TransformPoint(point) for point in moving_mm.tolist()])


def _apart_mm(pair: _Pair, one: sitk.Transform, other: sitk.Transform) -> float:
    """The largest distance between where both put the moving image's content."""
    apart = _inverse(one, pair.moving_mm) - _inverse(other, pair.moving_mm)
    return float(np.linalg.norm(apart, axis=1).max())


def _overlap(pair: _Pair, fixed_mm: np.ndarray, transform: sitk.Transform) -> float:
    there = np.array([transform.TransformPoint(point) for point in fixed_mm.tolist()])
    here = _inverse(transform, pair.moving_mm)
    return max(share_inside(pair.fixed, here), share_inside(pair.moving, there))


def _size(pair: _Pair, transform: sitk.Euler3DTransform) -> dict[str, float]:
    centre = pair.moving_mm.mean(axis=0)
    moved = centre - _inverse(transform, centre[None])[0]
    cosine = (np.trace(np.array(transform.GetMatrix()).reshape(3, 3)) - 1) / 2
    return {
        "translation_mm": float(np.linalg.norm(moved)),
        "rotation_deg": float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
    }

"""One rigid match of two images at one resolution: what is optimised, and from where."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError

from .content import binned, content, cropped, points_mm, windowed


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
"""The optimiser's steps, in voxels; with the usual factor of 0.5 a turn it stopped too early on coarse voxels."""
MOST_STEPS, FLAT = 200, 1e-5
CONTENT_MARGIN_MM = 12.0
"""Around the moving image's content: a brain without skull is compared with the CT's bone, not with all the air."""


@dataclass(frozen=True)
class Pair:
    """Both images, windowed; the moving one's content as points (N, 3) and as a mask with a margin."""

    fixed: sitk.Image
    moving: sitk.Image
    moving_mm: np.ndarray
    mask: sitk.Image
    seed: int


@dataclass(frozen=True)
class Match:
    """information: mutual information of `transform` in nats, at the level where it was found."""

    start: sitk.Euler3DTransform
    transform: sitk.Euler3DTransform
    information: float


def paired(fixed: sitk.Image, moving: sitk.Image, seed: int) -> Pair:
    """Raises DoseloError if an image is no volume, not finite or the same everywhere."""
    fixed, moving = windowed(fixed, "the fixed image"), windowed(moving, "the moving image")
    shown = content(binned(moving, MEDIUM.voxel_mm))
    mask = sitk.BinaryDilate(shown, [round(CONTENT_MARGIN_MM / mm) for mm in shown.GetSpacing()])
    return Pair(fixed, moving, points_mm(shown), mask, seed)


def refined(pair: Pair, starts: Iterable[sitk.Euler3DTransform], level: Level) -> list[Match]:
    """The best first; starts that leave the other image's field of view are dropped."""
    matches = [match for start in starts if (match := _optimised(pair, start, level))]
    return sorted(matches, key=lambda match: -match.information)


def best(matches: Sequence[Match]) -> Match:
    """The first of `refined`; raises DoseloError if there is none."""
    if not matches:
        raise DoseloError("registration failed: found no position where the images overlap; do both show the patient?")
    return matches[0]


@contextmanager
def one_thread() -> Iterator[None]:
    """SimpleITK's threads add up sums in another order each time. Also inside its filters, so it is set for all."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _optimised(pair: Pair, start: sitk.Euler3DTransform, level: Level) -> Match | None:
    method, fixed, moving = _method(pair, start, level)
    transform = sitk.Euler3DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # ITK's word for hardly any voxel of one in the other
        return None
    return Match(start, transform, -method.GetMetricValue())


def information_at(pair: Pair, transform: sitk.Euler3DTransform, level: Level) -> float:
    """Mutual information in nats; 0 if hardly any voxel of one image lies in the other."""
    method, fixed, moving = _method(pair, transform, level)
    method.SetInitialTransform(transform)
    try:
        return -float(method.MetricEvaluate(fixed, moving))
    except RuntimeError:
        return 0.0


def _method(
    pair: Pair, start: sitk.Euler3DTransform, level: Level
) -> tuple[sitk.ImageRegistrationMethod, sitk.Image, sitk.Image]:
    """The method but for its transform, and both images at the level's resolution."""
    fixed = pair.fixed
    if level is not COARSE:
        fixed = cropped(fixed, on_fixed_mm(start, pair.moving_mm), 2 * CONTENT_MARGIN_MM)
    fixed, moving = binned(fixed, level.voxel_mm), binned(pair.moving, level.voxel_mm)
    method = sitk.ImageRegistrationMethod()
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


def on_fixed_mm(transform: sitk.Transform, moving_mm: np.ndarray) -> np.ndarray:
    """Where the fixed image shows these points (N, 3) of the moving one."""
    inverse = transform.GetInverse()
    return np.array([inverse.TransformPoint(point) for point in moving_mm.tolist()])

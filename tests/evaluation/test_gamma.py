"""Gamma pass rates with a closed form, and the same voxel for voxel as PyMedPhys."""

import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.gamma import gamma_pass_rate
from nnunet_doselo.evaluation.gamma_search import voxels_that_pass

SPACING_MM = (3.0, 3.0, 3.0)
SHAPE = (6, 7, 8)


def plateau(dose_gy: float) -> np.ndarray:
    return np.full(SHAPE, dose_gy)


def blob(shape: tuple[int, int, int], spacing_mm: tuple[float, ...], noise: float, seed: int = 0) -> np.ndarray:
    """A dose that falls off from 60 Gy, with smooth noise."""
    at = np.meshgrid(*((np.arange(n) - n / 2) * s for n, s in zip(shape, spacing_mm, strict=True)), indexing="ij")
    dose = 60 * np.exp(-np.maximum(np.sqrt(sum(a**2 for a in at)) - 6, 0) / 10)
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1)
    return dose * (1 + noise * smooth / smooth.std())


def test_equal_doses_pass_everywhere() -> None:
    dose = blob(SHAPE, SPACING_MM, 0.1)
    assert gamma_pass_rate(dose, dose, SPACING_MM).pass_rate == 1


@pytest.mark.parametrize(("factor", "expected"), [(1.03, 1), (0.97, 1), (1.031, 0), (0.969, 0), (1.05, 0)])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_plateau_passes_up_to_the_dose_criterion(factor: float, expected: float, kind: type) -> None:
    reference = plateau(60.0).astype(kind)
    assert gamma_pass_rate(reference, (reference * factor).astype(kind), SPACING_MM).pass_rate == expected


@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 3.0), (1.0, 2.5, 0.7)])
@pytest.mark.parametrize(("direction", "gamma_value"), [((0, 0, 1), 0.98), ((0, 0, 1), 1.02), ((1, 2, -1), 0.98)])
def test_a_shifted_ramp(spacing_mm: tuple[float, ...], direction: tuple[int, int, int], gamma_value: float) -> None:
    """In units of the criteria it is a straight line; gamma is the distance to it, difference / sqrt(1 + slope^2)."""
    shape = (12, 12, 20)
    unit = np.array(direction) / np.linalg.norm(direction)
    at = np.meshgrid(*((np.arange(n) * s for n, s in zip(shape, spacing_mm, strict=True))), indexing="ij")
    slope = 1.5  # criteria a criterion: 2.25 % of 100 Gy a mm
    reference = 1000 + slope * 3 / 2 * sum(u * a for u, a in zip(unit, at, strict=True))
    difference = 3 * gamma_value * math.sqrt(1 + slope**2)
    found = gamma_pass_rate(reference, reference + difference, spacing_mm, normalisation_gy=100, cutoff_percent=1)
    # at the rim the nearest point may lie outside of the image
    reach = [math.ceil(2 / s) for s in spacing_mm]
    inner = np.prod([n - 2 * r for n, r in zip(shape, reach, strict=True)]) / reference.size
    if gamma_value < 1:
        assert found.pass_rate >= inner
    else:
        assert found.pass_rate == 0


def test_the_distance_criterion() -> None:
    """A wedge of two slopes, shifted by 1.9 or 2.1 mm: so steep that only the distance counts."""
    x_mm = np.arange(40) * 1.0
    for shift_mm, expected in ((1.9, 1), (2.1, 0)):
        reference = np.maximum(0, 1e4 - 1e3 * np.abs(x_mm - 20))[None, None]
        evaluated = np.maximum(0, 1e4 - 1e3 * np.abs(x_mm - 20 - shift_mm))[None, None]
        flank = np.zeros(40, bool)
        flank[13:18] = True
        found = gamma_pass_rate(
            np.where(flank, reference, 0), evaluated, (1.0, 1.0, 1.0), dose_percent=0.5, normalisation_gy=1e4
        )
        assert (found.voxels, found.pass_rate) == (5, expected)


def test_dose_that_is_only_between_voxels_is_found() -> None:
    # 30 Gy lies half way between 20 and 40 Gy, 1.5 mm from either
    reference, evaluated = np.array([[[0.0, 30, 0]]]), np.array([[[0.0, 20, 40]]])
    assert gamma_pass_rate(reference, evaluated, SPACING_MM).pass_rate == 1
    assert gamma_pass_rate(reference, evaluated, SPACING_MM, distance_mm=1.4).pass_rate == 0
    assert gamma_pass_rate(reference, np.array([[[0.0, 20, 20]]]), SPACING_MM).pass_rate == 0


def test_it_is_the_share_of_voxels_above_the_cut_off() -> None:
    reference, evaluated = plateau(5.9), plateau(5.9)
    reference[0, 0, :5] = 60, 60, 6, 6, 6
    evaluated[0, 0, :5] = 60, 90, 6, 6, 6
    found = gamma_pass_rate(reference, evaluated, (30.0, 30.0, 30.0))
    assert (found.voxels, found.pass_rate) == (5, 4 / 5)
    assert gamma_pass_rate(reference, evaluated, (30.0, 30.0, 30.0), cutoff_percent=50).voxels == 2
    # 10 % of the 50 Gy that were prescribed is below the 5.9 Gy of all the others
    assert gamma_pass_rate(reference, evaluated, (30.0, 30.0, 30.0), normalisation_gy=50).voxels == reference.size


def test_no_dose_is_nan() -> None:
    for evaluated_gy in (0, 60):
        found = gamma_pass_rate(plateau(0), plateau(evaluated_gy), SPACING_MM)
        assert math.isnan(found.pass_rate)
        assert found.voxels == 0
    assert gamma_pass_rate(plateau(60), plateau(0), SPACING_MM).pass_rate == 0
    assert math.isnan(gamma_pass_rate(plateau(1), plateau(1), SPACING_MM, normalisation_gy=60).pass_rate)


def test_a_single_voxel() -> None:
    one = np.full((1, 1, 1), 60.0)
    assert gamma_pass_rate(one, one * 1.02, SPACING_MM).pass_rate == 1
    assert gamma_pass_rate(one, one * 1.04, SPACING_MM).pass_rate == 0


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(DoseloError, match="one voxel grid"):
        gamma_pass_rate(plateau(1), np.ones((2, 2, 2)), SPACING_MM)
    with pytest.raises(DoseloError, match="finite"):
        gamma_pass_rate(plateau(1), plateau(math.nan), SPACING_MM)
    for settings in ({"dose_percent": 0}, {"distance_mm": -1}, {"normalisation_gy": 0}):
        with pytest.raises(DoseloError, match="criteria above 0"):
            gamma_pass_rate(plateau(1), plateau(1), SPACING_MM, **settings)
    with pytest.raises(DoseloError, match="three spacings"):
        gamma_pass_rate(plateau(1), plateau(1), (3.0, 3.0))


PYMEDPHYS = """
import sys
import numpy as np
import pymedphys
given = np.load(sys.argv[1])
axes = tuple(np.arange(n) * mm for n, mm in zip(given["reference"].shape, given["spacing_mm"]))
options = dict(interp_fraction=20, max_gamma=1.1, skip_once_passed=True, interp_algo="scipy")
found = pymedphys.gamma(axes, given["reference"], axes, given["evaluated"], *given["criterion"],
                        lower_percent_dose_cutoff=10, **options)
np.save(sys.argv[2], found)
"""
"""Run by itself: it loads modules when they are first touched, and nnU-Net's search for trainers touches all."""


def pymedphys_gamma(
    folder: Path,
    reference: np.ndarray,
    evaluated: np.ndarray,
    spacing_mm: tuple[float, ...],
    *criterion: float,
) -> np.ndarray:
    given, found = folder / "given.npz", folder / "found.npy"
    np.savez(given, reference=reference, evaluated=evaluated, spacing_mm=spacing_mm, criterion=criterion)
    subprocess.run([sys.executable, "-c", PYMEDPHYS, given, found], check=True, capture_output=True)
    return np.load(found)


@pytest.mark.skipif(not find_spec("pymedphys"), reason="PyMedPhys is not installed (it needs Python < 3.13)")
@pytest.mark.parametrize(("dose_percent", "distance_mm"), [(3.0, 2.0), (2.0, 1.0), (3.0, 4.0)])
def test_voxel_for_voxel_as_pymedphys(dose_percent: float, distance_mm: float, tmp_path: Path) -> None:
    """It takes fixed steps: what passes there passes here, and what else passes here is just above 1 there."""
    shape, spacing_mm = (8, 9, 10), (2.5, 3.0, 3.5)
    reference, evaluated = blob(shape, spacing_mm, 0), blob(shape, spacing_mm, 0.08)
    counted, tolerance_gy = reference >= 0.1 * reference.max(), dose_percent / 100 * reference.max()
    passed = voxels_that_pass(
        np.argwhere(counted),
        reference[counted] / tolerance_gy,
        evaluated / tolerance_gy,
        np.array(spacing_mm) / distance_mm,
    )
    found = gamma_pass_rate(reference, evaluated, spacing_mm, dose_percent=dose_percent, distance_mm=distance_mm)
    theirs = pymedphys_gamma(tmp_path, reference, evaluated, spacing_mm, dose_percent, distance_mm)
    assert (np.isfinite(theirs) <= counted).all()
    theirs = np.nan_to_num(theirs[counted], nan=2)
    assert (found.voxels, found.pass_rate) == (passed.size, passed.mean())
    assert 0.5 < found.pass_rate < 1
    assert passed[theirs <= 1].all()
    assert theirs[passed].max() < 1.01

"""Divergent projection and radiological depth, in numbers that can be checked by hand."""

import numpy as np
import pytest

from nnunet_doselo.planning.beam_geometry import project, trace

SPACING = (4.0, 4.0, 4.0)
ISOCENTRE = (40.0, 40.0, 40.0)  # of 21 voxels a side: the middle


def water(density: float = 1.0) -> np.ndarray:
    """21 voxels of 4 mm a side, the outer three of which are air: water from -30 to 30 mm about the isocentre."""
    block = np.zeros((21, 21, 21))
    block[3:-3, 3:-3, 3:-3] = density
    return block


def depth_at(point_mm: tuple[float, float, float], gantry_deg: float, density: np.ndarray | None = None) -> float:
    points = np.array([point_mm, (20.0, 20.0, 20.0), (-20.0, -20.0, -20.0)])
    seen = project(points, gantry_deg)
    volume = water() if density is None else density
    fan = trace(volume, SPACING, ISOCENTRE, seen, gantry_deg, 2.0)
    return float(fan.depth_mm(seen.v_mm, seen.u_mm, seen.t_mm)[0])


@pytest.mark.parametrize(
    ("gantry", "point", "t", "u"),
    [
        (0, (0, 100, 30), 100, 30 / 1.1),  # from anterior: posterior is deeper; left is +u
        (90, (0, 30, 100), -100, 30 / 0.9),  # from the left: left is nearer; posterior is +u
        (180, (0, 100, 30), -100, -30 / 0.9),
        (270, (0, 30, 100), 100, -30 / 1.1),
        (45, (0, 0, 100), -100 * np.sqrt(0.5), 100 * np.sqrt(0.5) / (1 - 0.1 * np.sqrt(0.5))),
    ],
)
def test_projection(gantry: float, point: tuple[float, ...], t: float, u: float) -> None:
    seen = project(np.array([point], float), gantry)
    assert seen.t_mm[0] == pytest.approx(t)
    assert seen.u_mm[0] == pytest.approx(u)
    assert seen.magnification[0] == pytest.approx(1000 / (1000 + t))


def test_rays_diverge_along_the_patient_too() -> None:
    assert project(np.array([[50.0, 250.0, 0.0]]), 0).v_mm[0] == pytest.approx(50 / 1.25)


@pytest.mark.parametrize("gantry", [0, 90, 180, 270, 30])
def test_the_isocentre_lies_as_deep_as_the_water_before_it(gantry: float) -> None:
    """30 mm straight on; through the slanted face 30 / cos 30."""
    expected = 30 / np.cos(np.deg2rad(30)) if gantry == 30 else 30
    assert depth_at((0.0, 0.0, 0.0), gantry) == pytest.approx(expected, abs=0.5)


def test_depth_grows_along_the_beam_and_with_density() -> None:
    assert depth_at((0.0, 16.0, 0.0), 0) == pytest.approx(46, abs=0.5)
    assert depth_at((0.0, 16.0, 0.0), 180) == pytest.approx(14, abs=0.5)
    assert depth_at((0.0, 16.0, 0.0), 0, water(1.5)) == pytest.approx(1.5 * 46, abs=0.8)


def test_air_has_no_depth() -> None:
    assert depth_at((0.0, 0.0, 0.0), 0, np.zeros((21, 21, 21))) == 0


def test_a_slab_shadows_only_what_lies_behind_it() -> None:
    """One slab of 8 mm at 18 to 26 mm before the isocentre, on the left half alone."""
    slab = np.zeros((21, 21, 21))
    slab[:, 4:6, 11:] = 2
    assert depth_at((0.0, 0.0, 20.0), 0, slab) == pytest.approx(16, abs=0.5)
    assert depth_at((0.0, 0.0, -20.0), 0, slab) == pytest.approx(0, abs=1e-9)
    assert depth_at((0.0, -34.0, 20.0), 0, slab) == pytest.approx(0, abs=1e-9)

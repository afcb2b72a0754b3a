"""Where PyDoseRT puts the dose of our fluence maps: water phantoms of 3 to 5 mm voxels, places worked out by hand."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.planning.interface import Beams
from nnunet_doselo.planning.pydosert import dose_of_fluence, fluence_in_pixels

VOXEL_MM = 4.0
CUBIC = (VOXEL_MM,) * 3
MIDDLE = 16
MIDDLE_MM = (MIDDLE * VOXEL_MM,) * 3
Line = Callable[[np.ndarray], np.ndarray]


@pytest.fixture
def engine() -> Iterator[None]:
    """For tests that compute a dose."""
    pytest.importorskip("pydosert")
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def water(shape: Sequence[int] = (33, 33, 33), margin: int = 2) -> np.ndarray:
    """A block of water as long as the grid, with air around it."""
    ct_hu = np.full(shape, -1000.0, np.float32)
    ct_hu[:, margin:-margin, margin:-margin] = 0
    return ct_hu


def one_bixel(row: int = 0, column: int = 0, half: int = 5) -> np.ndarray:
    """(1, 11, 11): one beam, one bixel open; row and column count from the middle."""
    fluence = np.zeros((1, 2 * half + 1, 2 * half + 1), np.float32)
    fluence[0, half + row, half + column] = 1
    return fluence


def centroid(plane: np.ndarray, at: tuple[float, float], reach: int = 4) -> list[float]:
    """Centre of gravity (in voxels) of what exceeds a tenth of the maximum near a place."""
    first = [round(a) - reach for a in at]
    near = plane[tuple(slice(f, f + 2 * reach + 1) for f in first)]
    near = np.where(near > near.max() / 10, near, 0)
    return [float(f + (i * near).sum() / near.sum()) for f, i in zip(first, np.indices(near.shape), strict=True)]


@pytest.mark.parametrize(
    ("gantry", "along"),
    [
        (0, lambda d: d[MIDDLE, :, MIDDLE]),
        (90, lambda d: d[MIDDLE, MIDDLE, ::-1]),
        (180, lambda d: d[MIDDLE, ::-1, MIDDLE]),
        (270, lambda d: d[MIDDLE, MIDDLE, :]),
    ],
)
@pytest.mark.usefixtures("engine")
def test_the_beam_enters_where_the_gantry_stands_and_falls_with_depth(gantry: float, along: Line) -> None:
    dose = dose_of_fluence(np.ones((1, 5, 5)), water(), CUBIC, MIDDLE_MM, Beams((gantry,), 10.0))
    depth_dose = along(dose)
    assert depth_dose[:2].tolist() == [0, 0]
    assert 4 <= np.argmax(depth_dose) <= 10  # 10 MV: 20 to 30 mm below the surface, which lies at 6 mm
    assert np.all(np.diff(depth_dose[11:31]) < 0)


@pytest.mark.parametrize("t_mm", [-40.0, 0.0, 40.0])
@pytest.mark.parametrize(("gantry", "axis", "along", "lateral"), [(0, 1, 1, 1), (90, 2, -1, 1), (180, 1, -1, -1)])
@pytest.mark.usefixtures("engine")
def test_a_bixel_lands_where_its_ray_goes(gantry: float, axis: int, along: int, lateral: int, t_mm: float) -> None:
    """The beam runs along +y, -x, -y; its lateral axis is +x, +y, -x."""
    beams = Beams((gantry,), 8.0)
    dose = dose_of_fluence(one_bixel(row=5, column=-4), water(), CUBIC, MIDDLE_MM, beams)
    plane = np.take(dose, MIDDLE + along * round(t_mm / VOXEL_MM), axis=axis)
    spread = (1000 + t_mm) / 1000
    expected_mm = (40 * spread, -32 * spread * lateral)
    expected = [MIDDLE + e / VOXEL_MM for e in expected_mm]
    found = centroid(plane, (expected[0], expected[1]))
    assert found == pytest.approx(expected, abs=0.6 / VOXEL_MM)


@pytest.mark.usefixtures("engine")
def test_an_oblique_beam_sends_its_columns_along_its_own_lateral_axis() -> None:
    dose = dose_of_fluence(one_bixel(column=5), water(), CUBIC, MIDDLE_MM, Beams((30.0,), 8.0))
    # u = (cos 30 x, sin 30 y) * 40 mm, in the isocentre's plane
    found = centroid(dose[MIDDLE], (MIDDLE + 20 / VOXEL_MM, MIDDLE + 34.64 / VOXEL_MM))
    across = (found[1] - MIDDLE) * np.cos(np.pi / 6) + (found[0] - MIDDLE) * np.sin(np.pi / 6)
    assert across * VOXEL_MM == pytest.approx(40, abs=0.6)


@pytest.mark.usefixtures("engine")
def test_the_isocentre_may_lie_anywhere() -> None:
    isocentre_mm = (41.0, 62.0, 85.0)
    dose = dose_of_fluence(one_bixel(), water(), CUBIC, isocentre_mm, Beams((0.0,), 8.0))
    assert centroid(dose[:, 16], (10.25, 21.25)) == pytest.approx([10.25, 21.25], abs=0.1)
    turned = dose_of_fluence(one_bixel(), water(), CUBIC, isocentre_mm, Beams((90.0,), 8.0))
    assert centroid(turned[:, :, 21], (10.25, 15.5)) == pytest.approx([10.25, 15.5], abs=0.1)


@pytest.mark.usefixtures("engine")
def test_other_voxels_give_the_same_dose() -> None:
    beams, fluence = Beams((0.0, 50.0), 8.0), np.ones((2, 5, 5))
    cubic = dose_of_fluence(fluence, water(), CUBIC, MIDDLE_MM, beams)
    flat = dose_of_fluence(fluence, water((22, 65, 65), 4), (6.0, 2.0, 2.0), MIDDLE_MM, beams)
    assert flat.shape == (22, 65, 65)
    # every 12, 4, 4 mm: where both have a voxel
    here, there = cubic[:31:3, 4:-4, 4:-4], flat[:21:2, 8:-8:2, 8:-8:2]
    here, there = (d / d[5].max() for d in (here, there))
    assert np.abs(here - there).mean() < 0.005
    high = here > 0.5
    assert there[high] == pytest.approx(here[high], abs=0.12)  # the field's edge is seen through 4 mm voxels


@pytest.mark.usefixtures("engine")
def test_the_tissue_phantom_ratio_is_the_machines() -> None:
    """TPR 20/10 of the preset is 0.738: 10 x 10 cm, isocentre in 20 cm against 10 cm of water."""
    at_isocentre = []
    for depth in (20, 40):
        ct_hu = np.full((41, 64, 41), -1000.0, np.float32)
        ct_hu[:, 42 - depth :] = 0  # the surface half a voxel before; 5 mm voxels, isocentre in voxel 42
        body = ct_hu > -500
        dose = dose_of_fluence(
            np.ones((1, 5, 5)), ct_hu, (5.0,) * 3, (100.0, 210.0, 100.0), Beams((0.0,), 20.0), body=body
        )
        at_isocentre.append(dose[20, 42, 20])
    assert at_isocentre[1] / at_isocentre[0] == pytest.approx(0.738, abs=0.02)


@pytest.mark.usefixtures("engine")
def test_dose_is_linear_in_the_fluence_and_depth_is_each_bixels_own() -> None:
    ct_hu = water()
    ct_hu[:, 4:10, MIDDLE + 2 :] = 1670  # bone before the right half
    left, right = np.zeros((2, 1, 11, 11))
    left[:, :, :5], right[:, :, 6:] = 1, 0.01
    beams = Beams((0.0,), 6.0)
    bright, faint, both = (dose_of_fluence(f, ct_hu, CUBIC, MIDDLE_MM, beams) for f in (left, right, left + right))
    assert both == pytest.approx(bright + faint, abs=1e-4 * float(both.max()))
    assert faint[MIDDLE, 20, MIDDLE + 4] < 0.95 * 0.01 * bright[MIDDLE, 20, MIDDLE - 4]


@pytest.mark.usefixtures("engine")
def test_nothing_outside_the_body() -> None:
    body = np.zeros((33, 33, 33), bool)
    body[5:-5, 8:-8, 8:-8] = True
    dose = dose_of_fluence(np.ones((1, 5, 5)), water(), CUBIC, MIDDLE_MM, Beams((0.0,), 8.0), body=body)
    assert np.all(dose[~body] == 0)
    assert np.all(dose[body] > 0)
    assert dose.dtype == np.float32


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("fluence", "ct_hu"), [(np.zeros((1, 3, 3)), water()), (np.ones((1, 3, 3)), water() - 1000)])
def test_no_fluence_or_no_body_no_dose(fluence: np.ndarray, ct_hu: np.ndarray) -> None:
    dose = dose_of_fluence(fluence, ct_hu, CUBIC, MIDDLE_MM, Beams((0.0,), 8.0))
    assert not dose.any()
    assert dose.shape == ct_hu.shape


@pytest.mark.parametrize("shape", [(2, 5, 5), (1, 4, 5), (5, 5)])
def test_fluence_and_beams_must_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(DoseloError, match=r"with 1 beams and odd numbers of rows and columns; found \("):
        dose_of_fluence(np.ones(shape), water(), CUBIC, MIDDLE_MM, Beams((0.0,), 8.0))


def test_without_pydosert_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydosert", None)
    with pytest.raises(DoseloError, match=r"pip install 'nnunet-doselo\[tps\]'"):
        dose_of_fluence(one_bixel(), water(), CUBIC, MIDDLE_MM, Beams((0.0,), 8.0))


def test_importing_loads_neither_torch_nor_pydosert() -> None:
    code = "import sys, nnunet_doselo.planning.pydosert; sys.exit(', '.join({'torch', 'pydosert'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr.strip()) == ("", "")


def test_pixels_hold_the_mean_of_their_window() -> None:
    pixels = fluence_in_pixels(np.ones((1, 1, 1)), bixel_mm=2.0, window_mm=1.0)
    assert pixels.shape == (1, 6, 6)
    assert pixels[0, 2].tolist() == pixels[0, :, 3].tolist() == [0, 0, 1, 1, 0, 0]
    assert pixels.sum() == 4  # 2 mm x 2 mm, on pixels of 1 mm


def test_a_window_wider_than_a_bixel_blurs_and_keeps_the_whole() -> None:
    maps = np.arange(9, dtype=float).reshape(1, 3, 3)
    pixels = fluence_in_pixels(maps, bixel_mm=2.5, window_mm=3.0)
    assert pixels.sum() == pytest.approx(36 * 2.5**2)
    assert pixels[0, [0, -1]].max() == pixels[0, :, [0, -1]].max() == 0

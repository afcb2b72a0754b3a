"""Open beams in water against closed forms."""

import numpy as np
import pytest
from closed_forms import square_share
from scipy.optimize import brentq
from scipy.special import iti0k0

from nnunet_doselo.planning.influence import Influence, PlannedPatient
from nnunet_doselo.planning.interface import Beams
from nnunet_doselo.planning.kernels import PencilBeam
from nnunet_doselo.planning.lattice import Lattice

SIDE = 41
MIDDLE = SIDE // 2


def water(spacing_mm: float, air: int = 3) -> PlannedPatient:
    """A cube of 41 voxels a side, the outer three air, the isocentre in its middle."""
    body = np.zeros((SIDE,) * 3, bool)
    body[air:-air, air:-air, air:-air] = True
    middle = MIDDLE * spacing_mm
    return PlannedPatient(body.astype(float), body, (spacing_mm,) * 3, (middle,) * 3)


def open_field(
    gantry_deg: float,
    bixels: int = 15,
    spacing_mm: float = 4.0,
    bixel_mm: float = 4.0,
    pencil: PencilBeam | None = None,
) -> np.ndarray:
    """Dose of one square field of `bixels` a side."""
    lattice = Lattice(bixel_mm, (bixels, bixels))
    influence = Influence(water(spacing_mm), Beams((gantry_deg,), bixel_mm), lattice, pencil or PencilBeam())
    return influence.dose(np.ones((1, bixels, bixels), np.float32))


def test_depth_dose_on_the_axis_is_the_closed_form() -> None:
    """60 mm square; kernels are blurred in the isocentre's plane, so their shares do not change along the axis."""
    pencil = PencilBeam()
    dose = open_field(0)[MIDDLE, :, MIDDLE]
    voxels = np.arange(6, 36)
    depth_mm = (voxels - 3 + 0.5) * 4.0  # linear interpolation puts the surface between voxels 2 and 3
    share = pencil.scattered_share(depth_mm)
    narrow, wide = (square_share(30.0, length) for length in (pencil.penumbra_mm, pencil.scatter_mm))
    inverse_square = (1000 / (1000 + (voxels - MIDDLE) * 4.0)) ** 2
    expected = pencil.depth_dose(depth_mm) * ((1 - share) * narrow + share * wide) * inverse_square
    np.testing.assert_allclose(dose[voxels], expected, rtol=0.01)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_turn_the_dose(quarter: int) -> None:
    straight, turned = open_field(0), open_field(90.0 * quarter)
    expected = np.rot90(straight, quarter, axes=(2, 1))
    assert np.abs(turned - expected).max() <= 1e-6 * straight.max()


def test_gantry_90_enters_from_the_left() -> None:
    profile = open_field(90)[MIDDLE, MIDDLE]
    assert profile[-10] > profile[10]


def test_penumbra_has_the_set_width() -> None:
    """20 to 80 % of exp(-r / c) / r across an edge: its line spread is K0(|x| / c) / (pi c)."""
    pencil = PencilBeam(scatter=0.0)
    reach = brentq(lambda x: iti0k0(x)[1] / np.pi - 0.3, 1e-6, 5)
    dose = open_field(0, bixels=27, spacing_mm=1.0, bixel_mm=1.0, pencil=pencil)[MIDDLE, MIDDLE]
    half = dose[MIDDLE:] / dose[MIDDLE]
    at_80, at_20 = (np.interp(-level, -half, np.arange(half.size, dtype=float)) for level in (0.8, 0.2))
    # a bixel of 1 mm and linear interpolation between such add little to the kernel's own width
    assert at_20 - at_80 == pytest.approx(2 * reach * pencil.penumbra_mm, rel=0.1)
    assert np.interp(-0.5, -half, np.arange(half.size, dtype=float)) == pytest.approx(13.5, abs=0.3)


def test_dose_spreads_beyond_the_field_along_the_patient() -> None:
    """At the isocentre, 28 mm from a 28 mm field's edge, scatter alone: a few per mille, and falling."""
    dose = open_field(0, bixels=7)[:, MIDDLE, MIDDLE]
    beyond = dose[MIDDLE + 8 : -3] / dose[MIDDLE]
    assert 0.001 < beyond[0] < 0.03
    assert np.all(np.diff(beyond) < 0)


def test_no_dose_outside_the_body() -> None:
    dose = open_field(30)
    assert dose[water(4.0).body].min() > 0
    assert not dose[~water(4.0).body].any()


def test_matrices_give_the_same_dose_as_the_maps() -> None:
    random = np.random.default_rng(1)
    lattice = Lattice(5.0, (5, 7))
    influence = Influence(water(4.0), Beams((0.0, 70.0), 5.0), lattice, PencilBeam())
    fluence = random.random((2, 5, 7)).astype(np.float32)
    chosen = np.array([0, 100, 20000, 30001, 42000])
    pairs = zip(influence.matrices(chosen), influence.blurs, strict=True)
    by_matrix = sum(matrix @ blur.forward(fluence).ravel() for matrix, blur in pairs)
    body = influence.dose(fluence)[influence.patient.body]
    np.testing.assert_allclose(by_matrix, body[chosen], rtol=1e-5)


def test_wide_and_narrow_component_carry_the_same_fluence() -> None:
    """A wide open field: both components see it fully, so their maps agree in the middle."""
    influence = Influence(water(4.0), Beams((0.0,), 4.0), Lattice(4.0, (101, 101)), PencilBeam(scatter_mm=10.0))
    narrow, wide = (blur.forward(np.ones((1, 101, 101))) for blur in influence.blurs)
    assert narrow[0, narrow.shape[1] // 2, narrow.shape[2] // 2] == pytest.approx(1, abs=1e-3)
    assert wide[0, wide.shape[1] // 2, wide.shape[2] // 2] == pytest.approx(1, abs=1e-3)

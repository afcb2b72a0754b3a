"""The pencil beam against closed forms, and against beam quality as it is measured."""

import numpy as np
import pytest
from closed_forms import square_share
from scipy.integrate import dblquad

from nnunet_doselo.planning.kernels import PencilBeam, Spread, cell_integrals

LENGTH_MM = 3.3


def kernel(y: float, x: float, length_mm: float) -> float:
    r = np.hypot(y, x)
    return np.exp(-r / length_mm) / (2 * np.pi * length_mm * r)


def test_the_middle_cell_lies_between_its_inner_and_outer_circle() -> None:
    """Within radius R lies 1 - exp(-R / length)."""
    middle = cell_integrals(LENGTH_MM, 3.0, 2)[0, 0]
    assert 1 - np.exp(-1.5 / LENGTH_MM) < middle < 1 - np.exp(-1.5 * np.sqrt(2) / LENGTH_MM)
    assert middle == pytest.approx(square_share(1.5, LENGTH_MM), rel=1e-9)


@pytest.mark.parametrize(("row", "column"), [(0, 1), (1, 1), (2, 3), (3, 0)])
def test_other_cells_are_double_integrals(row: int, column: int) -> None:
    ys, xs = (3.0 * row - 1.5, 3.0 * row + 1.5), (3.0 * column - 1.5, 3.0 * column + 1.5)
    expected = dblquad(lambda x, y: kernel(y, x, LENGTH_MM), *ys, *xs)[0]
    assert cell_integrals(LENGTH_MM, 3.0, 4)[row, column] == pytest.approx(expected, rel=1e-6)


def test_the_plane_adds_up_to_one() -> None:
    cells = cell_integrals(LENGTH_MM, 3.0, 30)
    plane = 4 * cells[1:, 1:].sum() + 2 * cells[1:, 0].sum() + 2 * cells[0, 1:].sum() + cells[0, 0]
    assert plane == pytest.approx(1, abs=1e-6)


def test_spread_puts_the_kernel_around_a_bixel() -> None:
    """One bixel, one row above the middle and two columns left of it; 2 rows and 4 columns away it ends."""
    maps = np.zeros((1, 5, 7))
    maps[0, 2 + 1, 3 - 2] = 2
    nodes = Spread(LENGTH_MM, 3.0, (5, 7), (9, 15)).forward(maps)
    cells = cell_integrals(LENGTH_MM, 3.0, 12)
    rows, columns = np.abs(np.arange(9) - (4 + 1)), np.abs(np.arange(15) - (7 - 2))
    within = (rows[:, None] <= 2) & (columns[None] <= 4)
    np.testing.assert_allclose(nodes[0], 2 * cells[rows[:, None], columns[None]] * within, atol=1e-12)


@pytest.mark.parametrize(("maps", "nodes"), [((5, 7), (9, 15)), ((1, 1), (1, 1)), ((3, 9), (5, 9))])
def test_adjoint(maps: tuple[int, int], nodes: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    spread = Spread(LENGTH_MM, 3.0, maps, nodes)
    a, b = random.random((2, *maps)), random.random((2, *nodes))
    assert np.vdot(spread.forward(a), b) == pytest.approx(np.vdot(a, spread.adjoint(b)), rel=1e-12)


def test_beam_quality_is_that_of_10_mv() -> None:
    """TPR 20/10 of a 10 cm field: 0.738, the machine it was fitted to; a flat maximum at 2 to 3.5 cm."""
    pencil = PencilBeam()

    def field_dose(depth_mm: np.ndarray) -> np.ndarray:
        share = pencil.scattered_share(depth_mm)
        narrow, wide = (square_share(50, length) for length in (pencil.penumbra_mm, pencil.scatter_mm))
        return pencil.depth_dose(depth_mm) * ((1 - share) * narrow + share * wide)

    at_200, at_100 = field_dose(np.array([200.0, 100.0]))
    assert at_200 / at_100 == pytest.approx(0.738, abs=0.01)
    depths_mm = np.arange(0, 300.0)
    dose = field_dose(depths_mm)
    assert 20 <= depths_mm[np.argmax(dose)] <= 35
    assert dose[25] >= 0.98 * dose.max()


def test_depth_dose_at_the_surface_and_no_scatter_there() -> None:
    pencil = PencilBeam()
    assert pencil.depth_dose(np.zeros(1))[0] == pytest.approx(1 - 0.729)
    assert pencil.scattered_share(np.zeros(1))[0] == 0

"""Beams through water and air, against exponentials worked out by hand and the planner's own projection."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from predictors import card_of, random_inputs, random_network
from torch import Tensor

from nnunet_doselo.planning.beam_geometry import project
from nnunet_doselo.predictor.artifact import load_predictor, save_predictor
from nnunet_doselo.predictor.beam_paths import _changes, _opened, beam_paths, left_is_right

WATER_HU, AIR_HU = 0.0, -1000.0
PER_MM = 0.0045


def square(*, size: tuple[int, int] = (41, 41), half: int = 4) -> Tensor:
    """Prescribed to Rx in the middle of a slice."""
    target = torch.zeros(1, 1, *size)
    y, x = size[0] // 2, size[1] // 2
    target[..., y - half : y + half + 1, x - half : x + half + 1] = 1.0
    return target


def angles(*degrees: float) -> list[float]:
    return list(degrees)


@pytest.mark.parametrize(
    ("gantry", "axis", "from_low_end"),
    [(0.0, 0, True), (180.0, 0, False), (90.0, 1, False), (270.0, 1, True)],
    ids=["anterior", "posterior", "left, where x grows to", "right"],
)
def test_in_water_a_field_is_as_wide_as_the_target_and_weakens_exponentially_from_where_it_enters(
    gantry: float, axis: int, from_low_end: bool
) -> None:
    target, spacing_mm = square(), 2.0
    water = torch.full_like(target, WATER_HU)
    paths = beam_paths(target, water, angles(gantry), spacing_mm, spacing_mm)[0, 0]
    along = paths.movedim(axis, 0)
    depth_mm = (torch.arange(41) + 0.5) * spacing_mm
    expected = torch.exp(-PER_MM * (depth_mm if from_low_end else depth_mm.flip(0)))
    middle = along[4:-4, 20]
    torch.testing.assert_close(middle, expected[4:-4], rtol=0.01, atol=0)
    assert (along[:, :14] == 0).all()
    assert (along[:, 27:] == 0).all()
    assert (along[4:-4, 17:24] > 0).all()


def test_air_weakens_nothing_and_bone_more_than_water() -> None:
    target = square()
    in_air, in_bone = (
        beam_paths(target, torch.full_like(target, hu), angles(0.0), 2.0, 2.0)[0, 0, :, 20] for hu in (AIR_HU, 1000.0)
    )
    torch.testing.assert_close(in_air[4:-4], torch.ones(33))
    depth_mm = 2 * (torch.arange(41) + 0.5) * 2.0
    torch.testing.assert_close(in_bone[4:-4], torch.exp(-PER_MM * depth_mm)[4:-4], rtol=0.01, atol=0)


@pytest.mark.parametrize("gantry", [0.0, 40.0, 125.0, 300.0])
def test_a_small_target_is_hit_where_the_planner_sees_it(gantry: float) -> None:
    pixel_y_mm, pixel_x_mm, size = 2.0, 3.0, (60, 50)
    target = torch.zeros(1, 1, *size)
    target[..., 20, 30] = 1.0
    paths = beam_paths(target, torch.full_like(target, AIR_HU), angles(gantry), pixel_y_mm, pixel_x_mm)[0, 0].numpy()
    y, x = np.indices(size)
    points = np.stack([0 * y, (y - 20) * pixel_y_mm, (x - 30) * pixel_x_mm], axis=-1).reshape(-1, 3).astype(float)
    seen = project(points, gantry)
    off_axis_mm = np.abs(seen.u_mm / seen.magnification).reshape(size)
    assert paths[off_axis_mm < 0.5].min() > 0
    assert paths[off_axis_mm > 8.0].max() == 0


def test_several_beams_are_averaged_and_the_highest_prescription_on_a_ray_counts() -> None:
    target = 0.8 * square(half=8)
    target[..., 19:22, 19:22] = 1.0
    water = torch.full_like(target, WATER_HU)
    both = beam_paths(target, water, angles(0.0, 90.0), 2.0, 2.0)
    each = [beam_paths(target, water, angles(angle), 2.0, 2.0) for angle in (0.0, 90.0)]
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)
    column = beam_paths(target, torch.full_like(target, AIR_HU), angles(0.0), 2.0, 2.0)[0, 0, 30]
    assert column[20] == pytest.approx(1.0)
    assert column[14] == pytest.approx(0.8)


def test_no_target_no_path() -> None:
    empty = torch.zeros(2, 1, 9, 7)
    assert not beam_paths(empty, torch.zeros_like(empty), angles(0.0, 40.0), 1.0, 1.0).any()


def test_volumes_are_seen_slice_by_slice() -> None:
    generator = torch.Generator().manual_seed(1)
    target, ct = torch.rand(2, 1, 3, 12, 16, generator=generator), torch.zeros(2, 1, 3, 12, 16)
    volume = beam_paths(target, ct, angles(10.0, 70.0), 2.0, 3.0)
    slices = [beam_paths(target[:, :, z], ct[:, :, z], angles(10.0, 70.0), 2.0, 3.0) for z in range(3)]
    torch.testing.assert_close(volume, torch.stack(slices, dim=2))


def test_the_gradient_reaches_the_target_and_is_that_of_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    target = torch.rand(1, 1, 7, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    ct = torch.full((1, 1, 7, 6), WATER_HU, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: beam_paths(x, ct, angles(30.0, 200.0), 2.0, 2.0), (target,))


def test_an_island_opens_a_field_of_its_own() -> None:
    target, island = square(), square()
    island[..., 20, 35:38] = 1.0
    water = torch.full_like(target, WATER_HU)
    added = [beam_paths(mask, water, angles(0.0, 120.0, 240.0), 2.0, 2.0) for mask in (target, island)]
    rise = (added[1] - added[0])[0, 0]
    assert rise[20, 36] > 0.5 * math.exp(-PER_MM * 80)
    assert rise.min() > -1e-6


NINE = [40.0 * beam for beam in range(9)]
SIDE, ISLAND = 64, (10, 50)
"""Voxels: a slice, and the first of an island in front of the target and to its left."""


def mask_with(island: int, at: tuple[int, int] = ISLAND) -> tuple[Tensor, Tensor]:
    """A target of 12 x 12 voxels in the middle, and an island of so many a side, (1, 1, 64, 64)."""
    target, added = torch.zeros(2, 1, 1, SIDE, SIDE, dtype=torch.float64)
    target[..., 26:38, 26:38] = 1.0
    added[..., at[0] : at[0] + island, at[1] : at[1] + island] = 1.0
    return target, added


def outcome(target: Tensor, beams: list[float]) -> Tensor:
    """What a network makes of the paths, if it were linear."""
    gains = torch.rand(target.shape, generator=torch.Generator().manual_seed(0), dtype=target.dtype)
    return (gains * beam_paths(target, torch.full_like(target, WATER_HU), beams, 2.0, 2.0)).sum()


def foretold(target: Tensor, changed: Tensor, beams: list[float]) -> float:
    """By the gradient: how the outcome changes if those voxels fill or empty."""
    start = target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(outcome(start, beams), start)
    return float((gradient * changed).sum())


@pytest.mark.parametrize("beams", [[0.0], NINE], ids=["one beam", "nine"])
@pytest.mark.parametrize("at", [ISLAND, (30, 50)], ids=["far", "beside"])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_the_gradient_foretells_what_the_removal_of_an_island_does(
    side: int, at: tuple[int, int], beams: list[float]
) -> None:
    """Exactly: on each ray it is apart from the target, by more than the two voxels that interpolation reaches."""
    target, island = mask_with(side, at)
    change = float(outcome(target + island, beams) - outcome(target, beams))
    assert change > 5
    assert foretold(target + island, island, beams) == pytest.approx(change, rel=1e-9)


@pytest.mark.parametrize("beams", [[0.0], NINE], ids=["one beam", "nine"])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_the_gradient_foretells_what_an_added_island_does_up_to_its_voxels_on_one_ray(
    side: int, beams: list[float]
) -> None:
    """Samples on a ray are sqrt(2) voxels apart in a square slice, and interpolation widens an island by a voxel.

    So a ray meets an island of n voxels a side in (n + 1) sqrt(2) / sqrt(2) samples at most, along its diagonal. The
    highest of them opens the ray, and the gradient counts all: at least the change, at most n + 1 times as much.
    """
    target, island = mask_with(side)
    change = float(outcome(target + island, beams) - outcome(target, beams))
    assert change > 5
    assert change <= foretold(target, island, beams) <= (side + 1) * change


def test_behind_the_target_an_island_opens_nothing_and_its_removal_closes_nothing() -> None:
    target, island = mask_with(3, (50, 30))
    assert outcome(target + island, [0.0]) == outcome(target, [0.0])
    assert foretold(target, island, [0.0]) == pytest.approx(0.0, abs=1e-9)
    assert foretold(target + island, island, [0.0]) == 0.0
    assert foretold(target + island, target, [0.0]) == pytest.approx(
        float(outcome(target + island, [0.0]) - outcome(island, [0.0])), rel=1e-9
    )


def test_a_stretch_of_a_ray_shares_what_its_removal_closes_and_an_empty_voxel_counts_if_it_were_full() -> None:
    """Four rays: a target of three voxels; with an island as high; with one half as high; nothing."""
    rays = torch.tensor(
        [[0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 1], [0, 0.5, 1, 1, 0, 0.5], [0, 0, 0, 0, 0, 0]], dtype=torch.float64
    )
    expected = torch.tensor(
        [[0, 1 / 3, 1 / 3, 1 / 3, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 1 / 4, 1 / 4, 0, 0], [1, 1, 1, 1, 1, 1]],
        dtype=torch.float64,
    )
    torch.testing.assert_close(_changes(rays.T[None])[0].T, expected)


def test_a_ray_is_as_open_as_its_highest_voxel_to_the_bit() -> None:
    for seen in (torch.rand(3, 20, 30), (torch.rand(3, 20, 30) > 0.9).float() * 0.8, torch.zeros(1, 4, 5)):
        assert torch.equal(_opened(seen), seen.amax(dim=1, keepdim=True))


def test_a_frozen_script_has_the_same_gradient_on_masks(tmp_path: Path) -> None:
    network = random_network(gantry_deg=(0.0, 120.0))
    file = save_predictor(network, card_of(network), tmp_path / "predictor.ts")
    frozen = load_predictor(file)
    target, island = (mask.float() for mask in mask_with(3))
    _, oars, ct = random_inputs(1, SIDE, SIDE)
    gradients = []
    for predictor in (network, frozen, frozen, frozen):
        start = (target + island).requires_grad_()
        with torch.no_grad():  # as the dose of the true target is predicted
            doses = [predictor(target, oars, ct) for _ in range(3)]
        assert all(torch.equal(dose, doses[0]) for dose in doses)
        gradients.append(torch.autograd.grad(predictor(start, oars, ct).mean(), start)[0])
    assert gradients[0].abs().max() > 0
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("gantry_deg", "expected"),
    [
        ((), True),
        ((0.0, 180.0), True),
        ((30.0, 330.0), True),
        (tuple(40.0 * i for i in range(9)), True),
        ((90.0,), False),
        ((0.0, 40.0), False),
    ],
)
def test_which_beams_are_their_own_mirror_image(gantry_deg: tuple[float, ...], expected: bool) -> None:
    assert left_is_right(gantry_deg) is expected

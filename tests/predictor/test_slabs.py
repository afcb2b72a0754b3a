"""Slabs: together they are the volume, and blending leaves no seam."""

from itertools import pairwise

import pytest
import torch
from predictors import random_inputs
from torch import Tensor

from nnunet_doselo.predictor.slabs import predict_in_slabs, slab_depth, slab_starts, slab_weights

VOXELS = 32 * 2 * 3
"""As many as a slab of 32 slices of 2 x 3 voxels has."""


@pytest.mark.parametrize(
    ("shape", "voxels", "depth"),
    [
        ((50, 10, 10), 5000, 50),
        ((50, 10, 10), 4999, 49),
        ((50, 10, 10), 10, 32),  # no thinner, whatever the budget
        ((20, 10, 10), 10, 20),
        ((1, 1, 1), 1, 1),
    ],
)
def test_a_slab_is_as_deep_as_the_voxels_allow_but_not_thin(shape: tuple[int, ...], voxels: int, depth: int) -> None:
    assert slab_depth(shape, voxels) == depth


@pytest.mark.parametrize(
    ("slices", "depth", "starts"),
    [(10, 10, [0]), (5, 10, [0]), (11, 10, [0, 1]), (15, 10, [0, 5]), (20, 10, [0, 5, 10]), (22, 10, [0, 4, 8, 12])],
)
def test_starts_by_hand(slices: int, depth: int, starts: list[int]) -> None:
    assert slab_starts(slices, depth) == starts


@pytest.mark.parametrize("depth", [1, 2, 5, 32])
@pytest.mark.parametrize("slices", [1, 31, 32, 33, 64, 101])
def test_every_slice_is_covered_with_a_positive_weight_from_first_to_last(slices: int, depth: int) -> None:
    depth = min(slices, depth)
    starts, total = slab_starts(slices, depth), torch.zeros(slices)
    for start in starts:
        total[start : start + depth] += slab_weights(depth)
    assert (total > 0).all()
    assert (starts[0], starts[-1] + depth) == (0, slices)
    assert all(0 < after - before <= max(1, depth // 2) for before, after in pairwise(starts))


def test_weights_are_a_ramp_to_the_middle_and_back() -> None:
    assert slab_weights(5).tolist() == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    assert slab_weights(4).tolist() == [0.5, 1, 1, 0.5]
    assert slab_weights(1).tolist() == [1]


@pytest.mark.parametrize("slices", [1, 32, 33, 71])
def test_of_a_network_that_sees_one_voxel_at_a_time_slabs_give_what_the_whole_gives(slices: int) -> None:
    def pointwise(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        return 60 * target + oars - 0.01 * ct

    inputs = random_inputs(2, slices, 2, 3)
    torch.testing.assert_close(predict_in_slabs(pointwise, *inputs, voxels=VOXELS), pointwise(*inputs))


def test_what_fits_goes_through_in_one_pass_and_what_does_not_in_whole_slices() -> None:
    seen: list[tuple[int, ...]] = []

    def recording(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        seen.append(tuple(target.shape))
        return target

    inputs = random_inputs(1, 48, 2, 3)
    assert predict_in_slabs(recording, *inputs) is inputs[0]
    predict_in_slabs(recording, *inputs, voxels=VOXELS)
    assert seen == [(1, 1, 48, 2, 3), (1, 1, 32, 2, 3), (1, 1, 32, 2, 3)]


def test_two_slabs_that_disagree_are_blended_without_a_step() -> None:
    """0 Gy in the first, 60 Gy in the second: over the 16 slices that both show, dose rises by no more than 6 Gy."""
    answers = iter([0.0, 60.0])

    def disagreeing(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        return torch.full_like(target, next(answers))

    dose = predict_in_slabs(disagreeing, *random_inputs(1, 48, 2, 3), voxels=VOXELS)[0, 0, :, 0, 0]
    assert (dose[:16] == 0).all()
    assert (dose[32:] == 60).all()
    assert 0 < dose.diff()[15:32].min() <= dose.diff().max() < 6

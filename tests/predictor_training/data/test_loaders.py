"""Sizes of training patches, by hand."""

import pytest

from nnunet_doselo.predictor_training.data.loaders import slice_patch, volume_patch


def test_a_patch_of_slices_holds_the_largest_one_rounded_up_to_16() -> None:
    assert slice_patch([(90, 100, 33), (10, 65, 48)]) == (112, 48)


@pytest.mark.parametrize(
    ("shapes", "voxels", "expected"),
    [
        ([(16, 32, 32)], 96**3, (16, 32, 32)),
        ([(50, 60, 70), (90, 100, 110), (91, 200, 200)], 112**3, (96, 112, 112)),  # the median case
        ([(1, 1, 1)], 96**3, (16, 16, 16)),
        ([(128, 128, 128)], 64 * 128 * 128, (64, 128, 128)),  # whole slices, fewer of them
        ([(128, 128, 128)], 32 * 128 * 112, (32, 128, 112)),
        ([(128, 160, 64)], 32 * 96 * 64, (32, 96, 64)),
        ([(20, 64, 64)], 32 * 32 * 32, (32, 32, 32)),
        ([(128, 128, 128)], 1, (16, 16, 16)),
    ],
)
def test_a_3d_patch_holds_the_median_case_or_what_the_budget_allows_of_it(
    shapes: list[tuple[int, ...]], voxels: int, expected: tuple[int, ...]
) -> None:
    assert volume_patch(shapes, voxels) == expected

"""Resampling between grids: numbers by hand, and nothing lost on the way."""

import pytest
import torch

from nnunet_doselo.predictor.resampling import resample_dose, resample_inputs, size_on


@pytest.mark.parametrize(
    ("spacing_to", "size", "spacing_from", "expected"),
    [
        ((3.0, 3.0), (100, 50), (3.0, 3.0), (100, 50)),
        ((2.0, 4.0), (100, 50), (1.0, 1.0), (50, 12)),  # 12.5 rounds to the even number
        ((2.5, 2.5), (512, 512), (1.0, 0.9765625), (205, 200)),  # 204.8
        ((1.0, 1.0), (10, 10), (3.0, 2.5), (30, 25)),
        ((3.0, 3.0), (300, 300), (3.02, 2.98), (300, 300)),  # agree to 1 %
        ((3.0, 3.0), (300, 300), (3.06, 3.0), (306, 300)),
        ((10.0, 10.0), (1, 4), (1.0, 1.0), (1, 1)),  # 0.1 and 0.4 voxels
    ],
)
def test_sizes_by_hand(
    spacing_to: tuple[float, ...],
    size: tuple[int, ...],
    spacing_from: tuple[float, ...],
    expected: tuple[int, ...],
) -> None:
    assert size_on(spacing_to, size, spacing_from) == expected


def test_the_same_size_is_the_same_tensors() -> None:
    target, oars, ct = (torch.rand(2, 1, 5, 7) for _ in range(3))
    same = resample_inputs(target, oars, ct, (5, 7))
    assert all(a is b for a, b in zip(same, (target, oars, ct), strict=True))
    assert resample_dose(ct, (5, 7)) is ct


@pytest.mark.parametrize("size", [(4, 5), (20, 40), (11, 3)])
def test_a_constant_stays_constant(size: tuple[int, int]) -> None:
    target, ct = torch.full((2, 1, 11, 13), 0.8), torch.full((2, 1, 11, 13), -1000.0)
    target, oars, ct = resample_inputs(target, torch.full_like(target, 3), ct, size)
    assert target.shape == oars.shape == ct.shape == (2, 1, *size)
    torch.testing.assert_close(target, torch.full((2, 1, *size), 0.8))
    torch.testing.assert_close(ct, torch.full((2, 1, *size), -1000.0))
    assert (oars == 3).all()
    torch.testing.assert_close(resample_dose(target * 60, (11, 13)), torch.full((2, 1, 11, 13), 48.0))


def test_enlarged_twice_a_step_becomes_a_ramp_and_labels_are_doubled() -> None:
    step, labels = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[5, 2]]]], dtype=torch.int16)
    target, oars, ct = resample_inputs(step, labels, 100 * step, (1, 4))
    assert target[0, 0].tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert ct[0, 0].tolist() == [[0.0, 25.0, 75.0, 100.0]]
    assert oars[0, 0].tolist() == [[5, 5, 2, 2]]
    assert oars.dtype == torch.int16


def test_a_label_three_times_smaller_is_that_of_the_middle_voxel() -> None:
    labels = torch.tensor([[[[1, 2, 3, 4, 5, 6]]]])
    _, oars, _ = resample_inputs(torch.zeros(1, 1, 1, 6), labels, torch.zeros(1, 1, 1, 6), (1, 2))
    assert oars[0, 0].tolist() == [[2, 5]]


def test_halved_each_voxel_is_a_weighted_mean_of_its_neighbours() -> None:
    # a triangle four voxels wide: weights 1 3 3 1, cut off and made to sum to 1 at the edge
    impulse = torch.tensor([[[[0.0, 0, 1, 0, 0, 0]]]])
    smaller = resample_dose(56 * impulse, (1, 3))
    torch.testing.assert_close(smaller[0, 0], torch.tensor([[8.0, 21.0, 0.0]]))


@pytest.mark.parametrize("size", [(3, 4), (6, 9), (17, 31)])
def test_labels_stay_in_their_set(size: tuple[int, int]) -> None:
    labels = torch.randint(0, 4, (2, 1, 8, 12), generator=torch.Generator().manual_seed(0)) * 10
    _, oars, _ = resample_inputs(torch.zeros(2, 1, 8, 12), labels, torch.zeros(2, 1, 8, 12), size)
    assert set(oars.unique().tolist()) <= {0, 10, 20, 30}
    assert oars.any()


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (24, 20)])
def test_an_image_turned_over_gives_the_result_turned_over(size: tuple[int, int]) -> None:
    """No shift by half a voxel anywhere: outer faces stay where they are."""
    image = torch.rand(1, 1, 12, 10, generator=torch.Generator().manual_seed(0))
    turned = resample_dose(image.flip([-1, -2]), size)
    torch.testing.assert_close(turned.flip([-1, -2]), resample_dose(image, size))


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (16, 16)])
def test_every_voxel_of_the_target_gets_a_gradient(size: tuple[int, int]) -> None:
    """Also when shrinking by far, where plain linear interpolation would skip most voxels."""
    target = torch.zeros(1, 1, 8, 8, requires_grad=True)
    small, _, _ = resample_inputs(target, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), size)
    resample_dose(small, (8, 8)).sum().backward()
    assert target.grad is not None
    assert (target.grad > 0).all()
    assert float(target.grad.sum()) == pytest.approx(64, rel=0.2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_is_filtered_along_z_as_along_the_others(axis: int) -> None:
    """Weights 1 3 3 1 along one axis at a time, wherever it lies."""
    line, expected = 56 * torch.tensor([0.0, 0, 1, 0, 0, 0]), torch.tensor([8.0, 21.0, 0.0])
    large, small = (x.expand(2, 2, -1).movedim(2, axis)[None, None] for x in (line, expected))
    torch.testing.assert_close(resample_dose(large, small.shape[2:]), small)


def test_slices_of_a_volume_that_keeps_its_slices_are_those_of_the_plane() -> None:
    volume = torch.rand(2, 1, 5, 9, 8, generator=torch.Generator().manual_seed(0))
    slices = resample_dose(volume.transpose(1, 2).flatten(0, 1), (4, 11))
    assert torch.equal(resample_dose(volume, (5, 4, 11)).transpose(1, 2).flatten(0, 1), slices)


@pytest.mark.parametrize("size", [(3, 4, 4), (7, 5, 13), (12, 20, 16)])
def test_a_volume_turned_over_gives_the_result_turned_over(size: tuple[int, ...]) -> None:
    volume = torch.rand(1, 1, 6, 10, 8, generator=torch.Generator().manual_seed(0))
    turned = resample_dose(volume.flip([-1, -2, -3]), size)
    torch.testing.assert_close(turned.flip([-1, -2, -3]), resample_dose(volume, size))


def test_a_volume_of_inputs_keeps_constants_and_labels_and_every_voxel_its_gradient() -> None:
    target = torch.full((1, 1, 8, 8, 8), 0.8, requires_grad=True)
    labels = torch.arange(8).repeat_interleave(64).view(1, 1, 8, 8, 8)
    small, oars, ct = resample_inputs(target, labels, torch.full((1, 1, 8, 8, 8), -1000.0), (2, 3, 16))
    assert small.shape == oars.shape == ct.shape == (1, 1, 2, 3, 16)
    torch.testing.assert_close(small, torch.full((1, 1, 2, 3, 16), 0.8))
    torch.testing.assert_close(ct, torch.full((1, 1, 2, 3, 16), -1000.0))
    assert [oars[0, 0, z].unique().tolist() for z in (0, 1)] == [[2], [6]]  # the middle of 0 to 3, and of 4 to 7
    (gradient,) = torch.autograd.grad(small.sum(), target)
    assert (gradient > 0).all()

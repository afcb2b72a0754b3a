"""The network: any size in, Gy out, gradients through; and what it is shown."""

import numpy as np
import pytest
import torch
from predictors import random_inputs, random_network

from nnunet_doselo.dataset import geometry
from nnunet_doselo.predictor.inputs import encode, tensor_body_mask
from nnunet_doselo.predictor.network import NetworkSettings

AIR_HU = -1024


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 37, 53), (3, 8, 12), (2, 1, 1), (1, 5, 64)])
def test_the_dose_has_the_shape_of_the_slice_whatever_its_size(batch: int, height: int, width: int) -> None:
    dose = random_network()(*random_inputs(batch, height, width))
    assert dose.shape == (batch, 1, height, width)
    assert dose.dtype == torch.float32
    assert dose.isfinite().all()


def test_padding_inside_is_padding_with_air_by_hand() -> None:
    network = random_network()
    target, oars, ct = random_inputs(2, 37, 53)
    padded = [torch.full((2, 1, 40, 56), value) for value in (0.0, 0.0, float(AIR_HU))]
    for large, small in zip(padded, (target, oars, ct), strict=True):
        large[..., :37, :53] = small
    assert torch.equal(network(target, oars, ct), network(*padded)[..., :37, :53])


def test_twice_the_prescription_is_twice_the_dose() -> None:
    low, high = random_network(prescription_gy=35.0), random_network(prescription_gy=70.0)
    inputs = random_inputs(1, 16, 16)
    assert torch.equal(2 * low(*inputs), high(*inputs))
    assert low(*inputs).abs().max() > 0


def test_a_slice_does_not_depend_on_its_company_in_the_batch() -> None:
    network, inputs = random_network(), random_inputs(4, 20, 24)
    alone = torch.cat([network(*(x[i : i + 1] for x in inputs)) for i in range(4)])
    torch.testing.assert_close(network(*inputs), alone, rtol=0, atol=1e-4)


def test_organs_are_known_by_name_not_by_the_value_of_their_label() -> None:
    target, oars, ct = random_inputs(1, 16, 16)
    other = random_network(organ_labels=(10, 20, 30))
    dose = random_network()(target, oars, ct)
    assert torch.equal(dose, other(target, 10 * oars, ct))
    assert not torch.equal(dose, other(target, oars, ct))


def test_the_gradient_on_the_target_equals_finite_differences() -> None:
    network = random_network(first=(4, 4), second=(4, 4)).double()
    target, oars, ct = (x.double() for x in random_inputs(1, 5, 6))
    target.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: network(t, oars, ct), target)
    (gradient,) = torch.autograd.grad(network(target, oars, ct).sum(), target)
    assert gradient.isfinite().all()
    assert (gradient != 0).any()


def test_both_stages_are_given_for_deep_supervision_in_units_of_rx() -> None:
    network, inputs = random_network(prescription_gy=50.0), random_inputs(2, 9, 11)
    first, second = network.stages(*inputs)
    assert first.shape == second.shape == (2, 1, 9, 11)
    assert not torch.equal(first, second)
    torch.testing.assert_close(50 * second, network(*inputs))


def test_scaled_widths_keep_at_least_four_channels() -> None:
    settings = NetworkSettings((1, 2), 60.0)
    assert settings.scaled(0.25).first == (4, 8, 16, 32, 64)
    assert settings.scaled(0.25).second == (8, 16, 32, 64, 128)
    assert settings.scaled(0.001).second == (4, 4, 4, 4, 4)
    assert settings.scaled(0.25).organ_labels == (1, 2)


def test_channels_are_ct_in_its_window_target_and_one_for_each_organ() -> None:
    ct = torch.tensor([[[[-1000.0, 1500.0], [250.0, -3000.0]]]])
    target = torch.tensor([[[[0.0, 0.5], [1.0, 0.8]]]])
    oars = torch.tensor([[[[0, 1], [2, 7]]]], dtype=torch.int16)  # 7 is no organ of the predictor
    channels = encode(target, oars, ct, torch.tensor([1, 2]), -1000.0, 1500.0)
    assert channels.tolist() == [
        [[[0.0, 1.0], [0.5, 0.0]], target[0, 0].tolist(), [[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]
    ]


def test_without_organs_there_are_two_channels() -> None:
    assert encode(*random_inputs(1, 3, 3), torch.tensor([], dtype=torch.int64), -1000.0, 1500.0).shape[1] == 2
    assert random_network(organ_labels=())(*random_inputs(1, 8, 8)).shape == (1, 1, 8, 8)


def picture(*rows: str) -> torch.Tensor:
    """One slice: '#' is tissue (0 HU), '.' is air."""
    return torch.tensor([[0.0 if c == "#" else -1000.0 for c in row] for row in rows])


def test_the_body_is_what_lies_between_tissue_along_both_axes() -> None:
    ct = picture(".###.", "#...#", "#.#.#", ".#.#.", "....#")
    body = picture(".###.", "#####", "#####", ".#.#.", "....#") == 0
    assert torch.equal(tensor_body_mask(ct), body)


@pytest.mark.parametrize("seed", range(5))
def test_the_body_is_bit_for_bit_that_of_the_reports(seed: int) -> None:
    ct = np.random.default_rng(seed).choice([-1024, -401, -400, -399, 50], (3, 1, 17, 23), p=[0.6, *[0.1] * 4])
    expected = geometry.body_mask(ct)
    assert np.array_equal(tensor_body_mask(torch.from_numpy(ct).float()).numpy(), expected)
    assert 0 < expected.mean() < 1


@pytest.mark.parametrize(("batch", "size"), [(1, (5, 7, 9)), (2, (8, 8, 8)), (1, (1, 1, 1)), (1, (3, 16, 2))])
def test_in_3d_the_dose_has_the_shape_of_the_volume_whatever_its_size(batch: int, size: tuple[int, ...]) -> None:
    dose = random_network(dim=3)(*random_inputs(batch, *size))
    assert dose.shape == (batch, 1, *size)
    assert dose.isfinite().all()


def test_in_3d_a_slice_tells_its_neighbours_and_in_2d_it_does_not() -> None:
    target, oars, ct = random_inputs(1, 6, 8, 8)
    ct = torch.zeros_like(ct)
    moving = target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(random_network(dim=3)(moving, oars, ct)[:, :, 2].sum(), moving)
    assert (gradient[0, 0].abs().sum((1, 2)) > 0).all()
    slices = [x[0].transpose(0, 1) for x in (moving, oars, ct)]
    (gradient,) = torch.autograd.grad(random_network()(*slices)[2].sum(), moving)
    assert (gradient[0, 0].abs().sum((1, 2)) > 0).tolist() == [False, False, True, False, False, False]

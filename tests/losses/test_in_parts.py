"""A batch in parts is the batch; contours that agree cost nothing, and what that leaves out keeps within its bound."""

import pytest
import torch
from predictors import random_inputs, random_network
from torch import Tensor
from torch.nn import functional as F

from nnunet_doselo.losses.dose_guidance import DoseSegmentationLoss, dose_segmentation_loss
from nnunet_doselo.losses.heads import Heads
from nnunet_doselo.losses.in_parts import GuidedBatch, parts_of, parts_that_differ, sum_of_errors
from nnunet_doselo.losses.voxel import BinaryCrossEntropy

RX = 60.0
HEADS = Heads((1.0,))
AGREE_TO = 1e-3  # far above the default: what it leaves out can be told from rounding


class Blur:
    """The target smeared by a kernel of sum 1: no voxel depends on, or moves, more than 1 in sum."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def __call__(self, target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        self.shown.append(len(target))
        return RX * F.avg_pool2d(target, 5, stride=1, padding=2, count_include_pad=True)


def squares(reference_gy: Tensor, evaluated_gy: Tensor) -> Tensor:
    return ((reference_gy - evaluated_gy) / RX).square()


def loss_of(predictor, **more) -> DoseSegmentationLoss:
    return DoseSegmentationLoss(predictor, HEADS, RX, (3.0, 3.0), (3.0, 3.0), **more)


def logits_of(probability: Tensor) -> Tensor:
    """Two heads, (B, 2, Y, X), as leaf."""
    odds = probability.clamp(1e-9, 1 - 1e-6).logit() / 2
    return torch.cat([-odds, odds], dim=1).requires_grad_()


def four_slices() -> tuple[Tensor, Tensor]:
    """Truth and probabilities, (4, 1, 16, 16): a miss, an island, faint doubt, nothing at all."""
    truth, probability = torch.zeros(4, 1, 16, 16), torch.full((4, 1, 16, 16), 1e-6)
    truth[0, 0, 5:10, 5:10] = 1
    probability[0, 0, 6:12, 5:10] = 0.9
    probability[1, 0, 2:5, 2:5] = 0.6
    probability[2] = AGREE_TO * torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    return truth, probability


def context(batch: int = 4, size: int = 16) -> tuple[Tensor, Tensor]:
    return torch.zeros(batch, 1, size, size, dtype=torch.int16), torch.zeros(batch, 1, size, size)


def value_and_gradient(loss: DoseSegmentationLoss, logits: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
    value = loss(logits, *rest)
    return value.detach(), torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize(
    ("batch", "at_most", "sizes"),
    [(16, 8, [8, 8]), (12, 8, [6, 6]), (7, 3, [3, 3, 1]), (5, 9, [5]), (1, 1, [1]), (0, 4, [])],
)
def test_parts_by_hand(batch: int, at_most: int, sizes: list[int]) -> None:
    assert [len(range(batch)[part]) for part in parts_of(batch, at_most)] == sizes
    assert [i for part in parts_of(batch, at_most) for i in range(batch)[part]] == list(range(batch))


@pytest.mark.parametrize("at_most", [1, 2, 5])
@pytest.mark.parametrize("gantry_deg", [(), (0.0, 90.0)])
def test_parts_give_the_loss_and_gradient_of_the_batch(at_most: int, gantry_deg: tuple[float, ...]) -> None:
    """Against plain autograd over both predictions of the whole batch, and over both of them in one call."""
    network = random_network(gantry_deg=gantry_deg).requires_grad_(False)
    evaluated, oars, ct = random_inputs(5, 24, 20)
    evaluated.requires_grad_()
    reference = (evaluated.detach() > 0.5).float()
    separate = dose_segmentation_loss(network(reference, oars, ct), network(evaluated, oars, ct), RX)
    (expected,) = torch.autograd.grad(separate, evaluated)
    doses = network(torch.cat([reference, evaluated]), oars.repeat(2, 1, 1, 1), ct.repeat(2, 1, 1, 1)).chunk(2)
    torch.testing.assert_close(dose_segmentation_loss(doses[0], doses[1], RX), separate)
    batch = GuidedBatch(reference, evaluated, oars, ct, torch.ones_like(evaluated))
    found = sum_of_errors(network, batch, squares, parts_of(5, at_most)) / reference.numel()
    torch.testing.assert_close(found, separate)
    (gradient,) = torch.autograd.grad(3 * found, evaluated)
    torch.testing.assert_close(gradient, 3 * expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_without_gradient_the_value_is_the_same() -> None:
    truth, probability = four_slices()
    loss, logits = loss_of(Blur()), logits_of(probability)
    with torch.no_grad():
        alone = loss(logits, truth, *context())
    assert not alone.requires_grad
    assert torch.equal(alone, loss(logits, truth, *context()).detach())


@pytest.mark.parametrize(
    ("batch", "size", "more", "shown"),
    [
        (4, 16, {}, [4, 4]),
        (4, 16, {"voxels_at_once": 512}, [2, 2, 2, 2]),
        (3, 16, {"voxels_at_once": 1}, [1] * 6),
        (2, 256, {}, [1, 1, 1, 1]),  # 2 ** 16 voxels in a slice
        (10, 256, {}, [2] * 10),  # no more than 8 parts
    ],
)
def test_how_many_are_shown_together(batch: int, size: int, more: dict, shown: list[int]) -> None:
    predictor = Blur()
    probability = torch.full((batch, 1, size, size), 0.5)
    loss_of(predictor, **more)(logits_of(probability), torch.zeros(batch, 1, size, size), *context(batch, size))
    assert predictor.shown == shown


def test_only_contours_that_differ_are_shown() -> None:
    truth, probability = four_slices()
    predictor = Blur()
    loss_of(predictor, agree_to=AGREE_TO)(logits_of(probability), truth, *context())
    assert predictor.shown == [2, 2]  # the miss and the island, as they should be and as they are


def test_what_is_left_out_keeps_within_the_bound() -> None:
    """Value below (a e)^2, gradient on each logit below 2 a b e times that of cross-entropy; here a = b = 1."""
    truth, probability = four_slices()
    logits = logits_of(probability)
    value, gradient = value_and_gradient(loss_of(Blur(), agree_to=AGREE_TO), logits, truth, *context())
    whole, expected = value_and_gradient(loss_of(Blur(), agree_to=None), logits, truth, *context())
    (voxel,) = torch.autograd.grad(BinaryCrossEntropy(HEADS)(logits, truth), logits)
    assert 0 < whole - value < AGREE_TO**2
    assert torch.equal(gradient[2:], torch.zeros_like(gradient[2:]))
    assert expected[2].abs().max() > 0
    assert ((gradient - expected).abs() <= 2 * AGREE_TO * voxel.abs() + 1e-12).all()


def test_a_false_positive_in_a_slice_without_target_is_pushed_away() -> None:
    truth, probability = four_slices()
    _, gradient = value_and_gradient(loss_of(Blur()), logits_of(probability), truth, *context())
    assert (gradient[1, 1, 2:5, 2:5] > 0).all()


def test_with_decisions_leaving_out_is_exact() -> None:
    truth, probability = four_slices()
    logits = logits_of(probability)
    results = [
        value_and_gradient(loss_of(Blur(), hard=True, agree_to=e), logits, truth, *context()) for e in (AGREE_TO, None)
    ]
    torch.testing.assert_close(results[0], results[1])
    assert results[1][1][2].abs().max() == 0
    assert results[1][1][:2].abs().amax((1, 2, 3)).min() > 0


def test_a_batch_that_agrees_costs_nothing_and_can_be_trained_on() -> None:
    predictor = Blur()
    logits = logits_of(torch.full((4, 1, 16, 16), 1e-6))
    value, gradient = value_and_gradient(loss_of(predictor), logits, torch.zeros(4, 1, 16, 16), *context())
    assert value == 0
    assert not gradient.any()
    assert predictor.shown == []


def test_contours_that_are_not_numbers_are_not_left_out() -> None:
    evaluated = torch.zeros(2, 1, 3, 3)
    evaluated[1, 0, 1, 1] = torch.nan
    (part,) = parts_that_differ(torch.zeros(2, 1, 3, 3), evaluated, AGREE_TO, 8)
    assert part.tolist() == [1]


def test_under_autocast_the_gradient_is_that_of_half_precision() -> None:
    """Against plain autograd outside the context, as nnU-Net's step does it."""
    network = random_network().requires_grad_(False)
    evaluated, oars, ct = random_inputs(4, 16, 16)
    evaluated.requires_grad_()
    reference = torch.zeros_like(evaluated)
    with torch.autocast("cpu", torch.bfloat16):
        whole = ((network(reference, oars, ct) - network(evaluated, oars, ct)) / RX).square().sum()
        batch = GuidedBatch(reference, evaluated, oars, ct, torch.ones_like(evaluated))
        in_parts = sum_of_errors(network, batch, squares, parts_of(4, 2))
    expected, found = (torch.autograd.grad(term, evaluated)[0] for term in (whole, in_parts))
    assert found.dtype == torch.float32
    assert float((found - expected).norm() / expected.norm()) < 0.02


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_host_never_waits_for_the_gpu() -> None:
    truth, probability = four_slices()
    loss, rest = loss_of(Blur(), voxels_at_once=512), [x.cuda() for x in (truth, *context())]
    logits = logits_of(probability).detach().cuda().requires_grad_()
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = loss(logits, *rest)
        value.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu = loss_of(Blur(), agree_to=None)(logits_of(probability), truth, *context())
    assert value.item() == pytest.approx(on_cpu.item(), rel=1e-4)

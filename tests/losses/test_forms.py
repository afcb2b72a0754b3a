"""Forms of the dose term: what each lets through, on pictures whose answer can be worked out in the head."""

import pytest
import torch
from phantoms import GUIDANCE, trained_predictor, training_slices
from torch import Tensor
from torch.nn import functional as F

from nnunet_doselo.losses.dose_guidance import DoseSegmentationLoss
from nnunet_doselo.losses.forms import DoseForm, beyond_margin, distant_from, relative_error
from nnunet_doselo.losses.heads import Heads
from nnunet_doselo.losses.in_parts import ALL_THE_WAY

RX = GUIDANCE.prescription_gy
SIZE = 32
MM = (3.0, 3.0)


def blur(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
    """The target smeared over 5 x 5 voxels: a voxel moves its own dose and that of 24 others by Rx / 25."""
    return RX * F.avg_pool2d(target, 5, stride=1, padding=2, count_include_pad=True)


def context(batch: int = 1) -> tuple[Tensor, Tensor]:
    return torch.zeros(batch, 1, SIZE, SIZE, dtype=torch.int16), torch.zeros(batch, 1, SIZE, SIZE)


def loss_with(predictor=blur, heads: Heads = Heads((1.0,)), **form) -> DoseSegmentationLoss:  # noqa: B008
    return DoseSegmentationLoss(predictor, heads, RX, MM, MM, hard=True, form=DoseForm(**form), agree_to=None)


def picture() -> tuple[Tensor, Tensor]:
    """A true square of 8 x 8 in the upper left; a network that lacks its first column and is sure of a far voxel."""
    truth, drawn = torch.zeros(1, 1, SIZE, SIZE), torch.zeros(1, 1, SIZE, SIZE)
    truth[..., 4:12, 4:12] = 1
    drawn[..., 4:12, 5:12] = 1
    drawn[..., 25, 25] = 1
    return truth, drawn


def logits_of(drawn: Tensor, certainty: float = 3.0) -> Tensor:
    """Two heads whose decision is `drawn`, with probability sigmoid(2 * certainty)."""
    sign = 2 * drawn - 1
    return (certainty * torch.cat([-sign, sign], 1)).requires_grad_()


def value_and_gradient(loss: DoseSegmentationLoss, logits: Tensor, truth: Tensor) -> tuple[float, Tensor]:
    value = loss(logits, truth, *context(len(truth)))
    return value.item(), torch.autograd.grad(value, logits)[0]


def test_distant_voxels_by_hand() -> None:
    """5 mm voxels: up to two along an axis are within 10 mm, one along both (7 mm) too, one and two (11 mm) not."""
    target = torch.zeros(1, 1, 7, 7)
    target[0, 0, 3, 3] = 0.4
    near = ~distant_from(target, (5.0, 5.0), 10.0)[0, 0]
    assert near.int().tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    assert distant_from(torch.zeros(1, 1, 3, 3), (5.0, 5.0), 10.0).all()


def test_distant_voxels_of_a_volume_count_slices_too() -> None:
    target = torch.zeros(1, 1, 5, 3, 3)
    target[0, 0, 2, 1, 1] = 1
    near = ~distant_from(target, (10.0, 20.0, 20.0), 10.0)
    assert near.nonzero().tolist() == [[0, 0, z, 1, 1] for z in (1, 2, 3)]


def test_relative_error_by_hand() -> None:
    """3 Gy less of 60 are 5 %; 3 Gy more where there are none are half of 0.1 Rx."""
    reference, evaluated = torch.tensor([[[[60.0, 0.0]]]]), torch.tensor([[[[57.0, 3.0]]]])
    assert relative_error(reference, evaluated, 60.0).flatten().tolist() == pytest.approx([0.05, 0.5])


def test_a_margin_takes_from_differences_up_to_all_of_them() -> None:
    reference, evaluated = torch.full((1, 1, 1, 4), 20.0), torch.tensor([[[[20.0, 21.0, 25.0, 15.0]]]])
    assert beyond_margin(reference, evaluated, 2.0).flatten().tolist() == [20.0, 20.0, 23.0, 17.0]


@pytest.mark.parametrize("pull", ["gradient", "attributed", "constant"])
def test_the_value_is_the_dose_error_whatever_pulls(pull: str) -> None:
    truth, drawn = picture()
    expected, _ = value_and_gradient(loss_with(), logits_of(drawn), truth)
    value, gradient = value_and_gradient(loss_with(pull=pull, distant=True), logits_of(drawn), truth)
    assert value == pytest.approx(expected, rel=1e-6)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("pull", ["gradient", "attributed", "constant"])
def test_distant_is_the_same_pull_further_than_10_mm_and_none_nearer(pull: str) -> None:
    truth, drawn = picture()
    _, everywhere = value_and_gradient(loss_with(pull=pull), logits_of(drawn), truth)
    _, gradient = value_and_gradient(loss_with(pull=pull, distant=True), logits_of(drawn), truth)
    distant = distant_from(truth, MM, 10.0).expand_as(gradient)
    torch.testing.assert_close(gradient[distant], everywhere[distant])
    assert not gradient[~distant].any()
    assert gradient[..., 25, 25].abs().min() > 0


def test_shares_are_the_weights_of_cross_entropy_and_sum_to_the_error() -> None:
    """d CE / d logit is p - 1 for a missed voxel and p for a false one: each share is the gradient by that."""
    truth, drawn = picture()
    logits = logits_of(drawn)
    value, gradient = value_and_gradient(loss_with(pull="attributed"), logits, truth)
    p = logits.detach().softmax(1)[:, 1:]
    shares = gradient[:, 1:] / (p - truth)
    wrong = drawn != truth
    assert not gradient[:, 1:][~wrong].any()
    assert (shares[wrong] > 0).all()
    assert shares[wrong].sum().item() == pytest.approx(value, rel=1e-4)
    # a lone voxel changes 25 doses by Rx / 25
    assert shares[..., 25, 25].item() == pytest.approx(25 * (1 / 25) ** 2 / SIZE**2, rel=1e-4)


def test_a_sure_island_still_hears_its_share() -> None:
    """The straight-through gradient has p (1 - p) of it, attribution p: 400 times as much at 0.9975."""
    truth, drawn = picture()
    pulls = [
        value_and_gradient(loss_with(pull=pull), logits_of(drawn), truth)[1][0, 1, 25, 25].item()
        for pull in ("gradient", "attributed")
    ]
    p = torch.tensor(6.0).sigmoid().item()
    assert pulls[0] == pytest.approx(2 * (1 / 25) / SIZE**2 * p * (1 - p), rel=1e-3)
    assert pulls[1] == pytest.approx((1 / 25) / SIZE**2 * p, rel=1e-3)


def test_shares_through_the_real_network_sum_to_the_error() -> None:
    """Three points along a path on which the network bends: measured 3.4 % off."""
    network = trained_predictor()
    target, oars, ct = training_slices()
    target, oars, ct = target[:1], oars[:1], ct[:1]
    drawn = target.roll(2, -1).clone()
    drawn[..., 3:6, 3:6] = 1
    logits = logits_of(drawn)
    loss = loss_with(network)
    reference = target.float()
    evaluated = drawn.float().requires_grad_()
    error = loss._error(reference, evaluated, oars, ct, torch.ones_like(target).bool(), ALL_THE_WAY)
    (gradient,) = torch.autograd.grad(error, evaluated)
    shares = gradient * (evaluated.detach() - reference)
    assert shares.sum().item() == pytest.approx(error.item(), rel=0.05)
    assert loss(logits, target, oars, ct).item() == pytest.approx(error.item(), rel=1e-5)


def test_ignored_voxels_neither_weigh_nor_count() -> None:
    """The right half ignored: only the dose of the left half counts, and the mean is over it alone."""
    truth, drawn = picture()
    truth[..., 16:] = 2
    value, gradient = value_and_gradient(
        loss_with(heads=Heads((1.0,), ignore_label=2), pull="attributed"), logits_of(drawn), truth
    )
    missed = torch.zeros(1, 1, SIZE, SIZE)
    missed[..., 4:12, 4] = 1
    expected = (blur(missed, *context()) / RX).square().sum() / (SIZE * 16)
    assert value == pytest.approx(expected.item(), rel=1e-5)
    assert not gradient[..., 16:].any()

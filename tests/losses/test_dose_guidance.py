"""The claim of the project: the gradient of the dose term reaches the logits, and is right."""

from collections.abc import Callable

import pytest
import torch
from phantoms import GUIDANCE, trained_predictor, training_slices
from torch import Tensor, nn
from torch.nn import functional as F

from nnunet_doselo.losses.dose_guidance import DoseSegmentationLoss, dose_segmentation_loss, straight_through
from nnunet_doselo.losses.heads import Heads
from nnunet_doselo.predictor.artifact import load_predictor, save_predictor
from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings

RX = GUIDANCE.prescription_gy


def blur(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
    """A dose that can be followed by hand: the target, smeared over 5 x 5 voxels."""
    return RX * F.avg_pool2d(target, 5, stride=1, padding=2, count_include_pad=True)


def loss_with(predictor: Callable[..., Tensor], heads: Heads = Heads((1.0,)), **more: bool) -> DoseSegmentationLoss:  # noqa: B008
    return DoseSegmentationLoss(predictor, heads, RX, (3.0, 3.0), (3.0, 3.0), **more)


def logits_of(mask: Tensor, certainty: float = 50.0) -> Tensor:
    """Two heads that are certain of a mask (B, 1, Y, X)."""
    return torch.cat([-certainty * (mask - 0.5), certainty * (mask - 0.5)], dim=1)


def square(shift: int = 0, size: int = 32) -> Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., 10:18, 10 + shift : 18 + shift] = 1
    return mask


def context(size: int = 32) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, 1, size, size, dtype=torch.int16), torch.zeros(1, 1, size, size)


def test_loss_is_the_mean_square_in_units_of_rx() -> None:
    reference, evaluated = torch.full((1, 1, 2, 2), 60.0), torch.full((1, 1, 2, 2), 30.0)
    assert dose_segmentation_loss(reference, evaluated, 60.0).item() == pytest.approx(0.25)


def test_straight_through_is_hard_forward_and_soft_backward() -> None:
    probabilities = torch.tensor([0.3, 0.9], requires_grad=True)
    through = straight_through(probabilities.view(1, 2, 1), torch.tensor([0.0, 1.0]).view(1, 2, 1))
    assert through.flatten().tolist() == pytest.approx([0.0, 1.0])
    (gradient,) = torch.autograd.grad((through.flatten() * torch.tensor([2.0, 5.0])).sum(), probabilities)
    assert gradient.tolist() == [2.0, 5.0]


@pytest.mark.parametrize("hard", [False, True])
def test_a_perfect_contour_costs_nothing(hard: bool) -> None:
    loss = loss_with(trained_predictor(), hard=hard)
    assert loss(logits_of(square()), square(), *context()).item() == pytest.approx(0.0, abs=1e-12)


def test_ignored_voxels_cost_nothing() -> None:
    truth = square()
    truth[..., 20:] = 2
    everywhere = logits_of(torch.ones(1, 1, 32, 32))
    wrong_only_where_ignored = torch.where(truth == 2, everywhere, logits_of((truth == 1).float()))
    loss = loss_with(blur, Heads((1.0,), ignore_label=2))
    assert loss(wrong_only_where_ignored, truth, *context()).item() == pytest.approx(0.0, abs=1e-12)
    assert loss(everywhere, truth, *context()).item() > 0.1


@pytest.mark.parametrize("predictor", [blur, "trained"])
def test_loss_grows_as_the_target_is_shifted(predictor: Callable[..., Tensor] | str) -> None:
    loss = loss_with(trained_predictor() if isinstance(predictor, str) else predictor)
    losses = [loss(logits_of(square(shift)), square(), *context()).item() for shift in range(4)]
    assert losses[0] < losses[1] < losses[2] < losses[3]


def test_gradient_equals_finite_differences_through_the_real_network() -> None:
    network = trained_predictor().double()
    loss = loss_with(network)
    target, oars, ct = (x[:1].double() for x in training_slices())
    torch.manual_seed(0)
    logits = torch.randn(1, 2, *target.shape[2:], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(logits, target, oars, ct), logits)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0
    steepest = gradient.abs().flatten().topk(5).indices
    assert gradient.flatten()[steepest].tolist() == pytest.approx(
        [central_difference(loss, logits, int(i), (target, oars, ct)) for i in steepest], rel=1e-4
    )


def central_difference(
    loss: nn.Module, logits: Tensor, index: int, rest: tuple[Tensor, ...], step: float = 1e-5
) -> float:
    values = []
    for sign in (1, -1):
        moved = logits.detach().clone()
        moved.view(-1)[index] += sign * step
        values.append(loss(moved, *rest).item())
    return (values[0] - values[1]) / (2 * step)


def test_gradient_through_the_frozen_artifact_equals_the_networks(tmp_path) -> None:
    network = trained_predictor()
    frozen = load_predictor(save_predictor(network, card_of(network), tmp_path / "dose_predictor.ts"))
    target, oars, ct = training_slices()
    torch.manual_seed(0)
    logits = torch.randn(len(target), 2, *target.shape[2:], requires_grad=True)
    gradients = [torch.autograd.grad(loss_with(p)(logits, target, oars, ct), logits)[0] for p in (network, frozen)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4 * gradients[0].abs().max().item())


def card_of(network: DosePredictor):
    from nnunet_doselo.predictor.card import PredictorCard

    s: NetworkSettings = network.settings
    return PredictorCard((3.0, 3.0), GUIDANCE.oars, GUIDANCE.target_gy, s.hu_window, s.first, s.second, "", {}, {})


def test_predictor_weights_do_not_move_in_five_steps() -> None:
    network = trained_predictor()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    target, oars, ct = training_slices()
    logits = torch.zeros(len(target), 2, *target.shape[2:], requires_grad=True)
    optimizer = torch.optim.SGD([logits], 1e3)
    loss = loss_with(network)
    first = loss(logits, target, oars, ct).item()
    for _ in range(5):
        optimizer.zero_grad()
        loss(logits, target, oars, ct).backward()
        optimizer.step()
    assert loss(logits, target, oars, ct).item() < first
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_coarser_predictor_sees_the_same_target() -> None:
    seen = {}

    def record(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        seen["size"], seen["volume"] = tuple(target.shape[2:]), target.sum().item()
        return RX * target

    loss = DoseSegmentationLoss(record, Heads((1.0,)), RX, (2.0, 2.0), (4.0, 4.0), agree_to=None)
    loss(logits_of(square()), square(), *context())
    assert seen["size"] == (16, 16)
    assert seen["volume"] == pytest.approx(64 / 4)

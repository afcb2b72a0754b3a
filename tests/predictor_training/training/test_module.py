"""The loop's arithmetic by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from nnunet_doselo.predictor.network import NetworkSettings
from nnunet_doselo.predictor_training.training.losses import dvh_distance, masked_mean_absolute, masked_mean_square
from nnunet_doselo.predictor_training.training.module import DosePredictorModule, moving_average, warm_up_then_cosine

SETTINGS = NetworkSettings((1,), 60.0, first=(4, 4), second=(4, 4))


def test_masked_means_by_hand() -> None:
    reference, evaluated = torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([[1.0, 4.0, 0.0, 0.0]])
    counts = torch.tensor([[True, True, True, False]])
    assert float(masked_mean_square(reference, evaluated, counts)) == pytest.approx((0 + 4 + 9) / 3)
    assert float(masked_mean_absolute(reference, evaluated, counts)) == pytest.approx((0 + 2 + 3) / 3)


def test_where_nothing_counts_the_loss_is_0_and_so_is_its_gradient() -> None:
    evaluated = torch.full((1, 4), 5.0, requires_grad=True)
    for loss in (masked_mean_square, masked_mean_absolute):
        value = loss(torch.zeros(1, 4), evaluated, torch.zeros(1, 4, dtype=torch.bool))
        assert value.item() == 0
        (gradient,) = torch.autograd.grad(value, evaluated)
        assert gradient.tolist() == [[0, 0, 0, 0]]


def test_the_dvh_distance_is_the_area_between_two_curves() -> None:
    """Doses 1, 2, 3 against 5, 1, 3 in one structure: sorted, they differ by 0, 1, 2. A second structure is empty."""
    reference = torch.tensor([[[[1.0, 2.0, 3.0, 9.0]]]])
    evaluated = torch.tensor([[[[5.0, 1.0, 3.0, 0.0]]]], requires_grad=True)
    structures = torch.tensor([[[[True, True, True, False]], [[False] * 4]]])
    distance = dvh_distance(reference, evaluated, structures)
    assert distance.item() == pytest.approx(1)
    (gradient,) = torch.autograd.grad(distance, evaluated)
    torch.testing.assert_close(gradient, torch.tensor([[[[1 / 3, 0, 1 / 3, 0]]]]))


def test_the_dvh_does_not_see_where_in_a_structure_the_dose_lies() -> None:
    dose = torch.rand(2, 1, 4, 4)
    everywhere = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    assert dvh_distance(dose, dose.flip(-1), everywhere).item() == pytest.approx(0, abs=1e-7)


def test_without_any_structure_the_dvh_distance_is_0_and_so_is_its_gradient() -> None:
    evaluated = torch.rand(1, 1, 2, 2, requires_grad=True)
    distance = dvh_distance(torch.zeros(1, 1, 2, 2), evaluated, torch.zeros(1, 3, 2, 2, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(distance, evaluated)
    assert (distance.item(), gradient.abs().sum().item()) == (0, 0)


def test_the_average_begins_short_and_never_reaches_far_beyond_200_steps() -> None:
    """One tenth of the past at the first step, 0.995 of it in the long run; counters are copied."""
    one, two = torch.tensor(1.0), torch.tensor(2.0)
    assert moving_average(one, two, 0).item() == pytest.approx(1.9)
    assert moving_average(one, two, 10**6).item() == pytest.approx(1.005)
    assert moving_average(torch.tensor(3), torch.tensor(7), 5).item() == 7


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 1 / 11), (4, 5 / 11), (9, 10 / 11), (10, 1.0), (105, 0.5), (200, 0.0), (250, 0.0)],
)
def test_two_hundred_steps_warm_up_for_ten_and_fall_for_the_rest(step: int, share: float) -> None:
    assert warm_up_then_cosine(step, 200) == pytest.approx(share, abs=1e-12)


def test_a_third_of_the_way_down_a_cosine_is_three_quarters() -> None:
    assert warm_up_then_cosine(100 + 1900 // 3, 2000) == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("total", [1, 2, 7])
def test_the_shortest_runs_have_a_learning_rate_too(total: int) -> None:
    shares = [warm_up_then_cosine(step, total) for step in range(total)]
    assert all(0 < share <= 1 for share in shares)


class KnownDose(torch.nn.Module):
    """First stage 0, second stage half of Rx everywhere; keeps the size of each batch."""

    prescription_gy = 60.0

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def stages(self, target: Tensor, oars: Tensor, ct: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(target), torch.full_like(target, 0.5)

    def forward(self, target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        self.batches.append(len(target))
        return torch.full_like(target, 30.0)


def module_with_known_dose() -> tuple[DosePredictorModule, dict[str, float]]:
    module, logged = DosePredictorModule(SETTINGS, 1e-3, 100), dict[str, float]()
    module.network = KnownDose()  # type: ignore[assignment]

    def log(name: str, value: Tensor | MeanMetric, **_: Any) -> None:
        logged[name] = float(value.compute() if isinstance(value, MeanMetric) else value)

    module.log = log  # type: ignore[assignment]
    return module, logged


def batch(slices: int) -> dict[str, Tensor]:
    """60 Gy in the upper row, which counts, and 500 Gy in the lower, which does not."""
    upper = torch.tensor([[True, True], [False, False]]).expand(slices, 1, 2, 2)
    dose = torch.where(upper, 60.0, 500.0)
    return {name: torch.zeros(slices, 1, 2, 2) for name in ("target", "oars", "ct")} | {"dose": dose, "counts": upper}


def test_the_loss_is_half_the_first_stage_and_the_second_in_units_of_rx() -> None:
    """Reference 1: the first stage misses it by 1, the second by 0.5."""
    module, logged = module_with_known_dose()
    assert float(module.training_step(batch(2), 0)) == pytest.approx(0.5 * 1.0 + 0.5)
    assert logged["train_mae_gy"] == pytest.approx(30)
    module.error = masked_mean_square
    assert float(module.training_step(batch(2), 0)) == pytest.approx(0.5 * 1.0 + 0.25)


def test_validation_is_the_mean_absolute_error_in_gy_sixteen_slices_at_a_time() -> None:
    module, logged = module_with_known_dose()
    module.validation_step(batch(37), 0)
    assert logged["val_mae_gy"] == pytest.approx(30)
    assert module.network.batches == [16, 16, 5]


def test_a_volume_is_validated_as_one() -> None:
    module, logged = module_with_known_dose()
    volume = {name: x.transpose(0, 1)[None] for name, x in batch(20).items()}
    assert volume["ct"].shape == (1, 1, 20, 2, 2)
    module.validation_step(volume, 0)
    assert logged["val_mae_gy"] == pytest.approx(30)
    assert module.network.batches == [1]


def test_the_learning_rate_follows_the_schedule_step_by_step() -> None:
    module = DosePredictorModule(SETTINGS, 1e-2, 200)
    configured: dict[str, Any] = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]
    assert schedule["interval"] == "step"
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    assert rates[0] == pytest.approx(1e-2 / 11)
    assert rates[10] == max(rates) == pytest.approx(1e-2)


def test_a_step_down_the_gradient_lowers_the_loss() -> None:
    torch.manual_seed(0)
    module = DosePredictorModule(SETTINGS, 1e-2, 100)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    optimizer = torch.optim.SGD(module.parameters(), 1e-2)
    losses = []
    for _ in range(5):
        losses.append(module.training_step(batch(2), 0))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]

"""lambda from the norms of both gradients: by hand, clamped, and nothing where there is nothing to measure."""

import math
from pathlib import Path

import pytest
import torch
from two_processes import in_two_processes

from nnunet_doselo.losses.balance import (
    LARGEST_WEIGHT,
    GradientNorms,
    balanced_weight,
    gradient_norm,
    measured_epochs,
)


@pytest.mark.parametrize(
    ("voxel", "dose", "weight"),
    [
        (2.0, 0.01, 60.0),
        (2.0, 1e-9, LARGEST_WEIGHT),
        (2.0, 0.0, LARGEST_WEIGHT),
        (0.0, 0.01, 0.0),
        (math.nan, 0.01, 0.0),
        (2.0, math.inf, 0.0),
    ],
)
def test_the_weight_by_hand(voxel: float, dose: float, weight: float) -> None:
    assert balanced_weight(0.3, voxel, dose) == pytest.approx(weight)


@pytest.mark.parametrize(("epochs", "measured"), [(1000, 150), (20, 3), (12, 2), (2, 1), (1, 1)])
def test_measured_are_the_first_15_percent(epochs: int, measured: int) -> None:
    assert measured_epochs(epochs) == measured


def test_the_norm_of_a_gradient_by_hand() -> None:
    """Of 3 x + 4 y on (x, y): 5. The graph stays, and so does what the backward pass will find."""
    logits = torch.tensor([0.7, -0.2], requires_grad=True)
    term = 3 * logits[0] + 4 * logits[1]
    assert gradient_norm(term, logits).item() == pytest.approx(5.0)
    term.backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("term", [torch.tensor(1.0), torch.tensor(1.0, requires_grad=True) * 2])
def test_a_term_that_does_not_depend_on_the_logits_has_none(term: torch.Tensor) -> None:
    assert gradient_norm(term, torch.zeros(2, requires_grad=True)).item() == 0.0


def test_sums_over_steps_and_begin_anew() -> None:
    norms = GradientNorms()
    assert norms.take() == (0.0, 0.0)
    for factor in (1.0, 3.0):
        logits = torch.zeros(2, requires_grad=True)
        norms.add(factor * (3 * logits[0] + 4 * logits[1]), factor * logits[0], logits)
    assert norms.take() == pytest.approx((20.0, 4.0))
    assert norms.take() == (0.0, 0.0)


def add_and_take(rank: int, folder: Path) -> None:
    norms, logits = GradientNorms(), torch.zeros(2, requires_grad=True)
    norms.add((rank + 1) * (3 * logits[0] + 4 * logits[1]), (rank + 1) * logits[0], logits)
    torch.save(norms.take(), folder / f"{rank}.pt")


def test_two_processes_agree_on_the_sums_of_both(tmp_path: Path) -> None:
    """5 and 10 of the voxel term, 1 and 2 of the dose term: so both go on with one lambda."""
    in_two_processes(add_and_take, tmp_path)
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)] == [pytest.approx((15.0, 3.0))] * 2

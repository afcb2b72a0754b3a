"""Two processes with a part of the batch each, against one with all of it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from two_processes import in_two_processes

from nnunet_doselo.predictor_training.training.losses import (
    alone,
    dvh_distance,
    masked_mean_absolute,
    masked_mean_square,
)
from nnunet_doselo.predictor_training.training.processes import mean_over_processes
from nnunet_doselo.predictor_training.training.synchronised_norm import SynchronisedBatchNorm, SynchronisedNorms

PARTS = (slice(0, 1), slice(1, 4))
"""Which samples each process has: one, and three."""


def network(dim: int) -> nn.Module:
    torch.manual_seed(0)
    convolution, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[dim]
    layers = nn.Sequential(convolution(2, 3, 3), nn.Sequential(norm(3), nn.ReLU()), convolution(3, 1, 1)).double()
    nn.init.uniform_(layers[1][0].weight, 0.5, 2)
    nn.init.uniform_(layers[1][0].bias, -1, 1)
    return layers


def images(dim: int) -> Tensor:
    return torch.rand(4, 2, *[5] * dim, generator=torch.Generator().manual_seed(1)).double() * 50 + 1000


def three_steps(layers: nn.Module, x: Tensor, reduced: bool) -> dict[str, Tensor]:
    """State, gradients summed over the processes, and what the last step and evaluation give."""
    x = x.clone().requires_grad_()
    for _ in range(3):
        result = layers(x)
    result.square().sum().backward()
    gradients = {f"gradient of {name}": p.grad for name, p in layers.named_parameters()}
    if reduced:
        for gradient in gradients.values():
            distributed.all_reduce(gradient)
    with torch.no_grad():
        evaluated = layers.eval()(x)
    return {**layers.state_dict(), **gradients, "result": result.detach(), "input": x.grad, "evaluated": evaluated}


def normalise(rank: int, folder: Path) -> None:
    for dim in (2, 3):
        for kind in ("synchronised", "plain"):
            layers = network(dim)
            if kind == "synchronised":
                SynchronisedNorms().apply(layers)
                assert isinstance(layers[1][0], SynchronisedBatchNorm)
            torch.save(three_steps(layers, images(dim)[PARTS[rank]], True), folder / f"{kind}_{dim}_{rank}.pt")


def doses() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reference, prediction, what counts, and structures: two in the first sample, one in the last, none between."""
    generator = torch.Generator().manual_seed(2)
    reference, evaluated = (torch.rand(4, 1, 6, 6, generator=generator).double() for _ in range(2))
    counts = torch.rand(4, 1, 6, 6, generator=generator) < torch.tensor([0.9, 0.1, 0.2, 0.1]).view(4, 1, 1, 1)
    structures = torch.rand(4, 2, 6, 6, generator=generator) < 0.5
    structures[1:3], structures[3, 1] = False, False
    return reference, evaluated, counts, structures


def losses(part: slice, mean_over=mean_over_processes) -> list[tuple[Tensor, Tensor]]:  # type: ignore[no-untyped-def]
    """Each loss and its gradient on the prediction."""
    reference, evaluated, counts, structures = (x[part] for x in doses())
    evaluated = evaluated.clone().requires_grad_()
    values = [
        masked_mean_square(reference, evaluated, counts, mean_over),
        masked_mean_absolute(reference, evaluated, counts, mean_over),
        dvh_distance(reference, evaluated, structures, mean_over),
        masked_mean_absolute(reference, evaluated, counts & False, mean_over),
        dvh_distance(reference, evaluated, structures & False, mean_over),
    ]
    return [(value.detach(), torch.autograd.grad(value, evaluated)[0]) for value in values]


def lose(rank: int, folder: Path) -> None:
    found = {"shared": losses(PARTS[rank]), "own": losses(PARTS[rank], alone)}
    torch.save(found, folder / f"losses_{rank}.pt")


def work(rank: int, folder: Path) -> None:
    normalise(rank, folder)
    lose(rank, folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    in_two_processes(work, folder)
    return folder


def both(found: Path, name: str) -> list[dict[str, Tensor]]:
    return [torch.load(found / f"{name}_{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("dim", [2, 3])
def test_it_is_batch_normalisation_of_the_joined_batch(found: Path, dim: int) -> None:
    whole = three_steps(network(dim), images(dim), False)
    parts = both(found, f"synchronised_{dim}")
    assert whole.keys() == parts[0].keys()
    for name, expected in whole.items():
        if name in ("result", "input", "evaluated"):
            torch.testing.assert_close(torch.cat([part[name] for part in parts]), expected)
        else:
            torch.testing.assert_close(parts[0][name], expected)
            torch.testing.assert_close(parts[1][name], expected)


def test_plain_batch_normalisation_is_not(found: Path) -> None:
    whole = three_steps(network(2), images(2), False)
    parts = both(found, "plain_2")
    assert (torch.cat([part["result"] for part in parts]) - whole["result"]).abs().max() > 0.01
    assert not torch.allclose(parts[0]["1.0.running_var"], parts[1]["1.0.running_var"])


def test_without_other_processes_it_is_the_layer_it_stands_for() -> None:
    plain, synchronised = network(2), SynchronisedNorms().apply(network(2))
    for name, value in three_steps(plain, images(2), False).items():
        assert torch.equal(value, three_steps(SynchronisedNorms().apply(network(2)), images(2), False)[name])
    assert plain.state_dict().keys() == SynchronisedNorms().revert(synchronised).state_dict().keys()


@pytest.mark.parametrize("loss", range(5))
def test_the_mean_of_the_losses_is_the_loss_of_the_joined_batch(found: Path, loss: int) -> None:
    expected, gradient = losses(slice(None), alone)[loss]
    values, gradients = zip(*(part["shared"][loss] for part in both(found, "losses")), strict=True)
    torch.testing.assert_close(sum(values) / 2, expected)
    torch.testing.assert_close(torch.cat(gradients) / 2, gradient)


@pytest.mark.parametrize("loss", range(3))
def test_the_mean_of_losses_by_own_counts_is_not(found: Path, loss: int) -> None:
    values, _ = zip(*(part["own"][loss] for part in both(found, "losses")), strict=True)
    assert abs(sum(values) / 2 - losses(slice(None), alone)[loss][0]) > 1e-3

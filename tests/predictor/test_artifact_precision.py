"""The artifact and the weights beside it give the trained network's dose and gradient, in every precision and size.

Under autocast each is compared with the network under the same autocast, whose own dose is then some tenths of a gray
from that in single precision.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch
from predictors import card_of, random_inputs, random_network
from torch import Tensor

from nnunet_doselo.predictor.artifact import load_network, load_predictor, save_predictor
from nnunet_doselo.predictor.network import DosePredictor

Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]
Trained = dict[tuple[int, bool], tuple[DosePredictor, Path]]
TOLERANCE_GY = 1e-4
STEPS = 8
BEAMS = (0.0, 120.0, 240.0)
SIZES = [(37, 53), (9, 21, 18)]
AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CUDA = [pytest.mark.gpu, NO_GPU]
MODES = [("cpu", "fp32"), ("cpu", "bf16"), *(pytest.param("cuda", name, marks=CUDA) for name in AUTOCAST)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """By number of axes, and whether it sees its beams: a network after some steps of training, and its artifact."""
    folder = tmp_path_factory.mktemp("trained")
    networks = {(dim, beams): trained_network(dim, beams) for dim in (2, 3) for beams in (False, True)}
    return {key: (n, save_predictor(n, card_of(n), folder / f"{key}.ts")) for key, n in networks.items()}


def trained_network(dim: int, beams: bool) -> DosePredictor:
    """Batch normalisation has the statistics of what it was shown, and no two channels the same."""
    network = random_network(dim=dim, gantry_deg=BEAMS if beams else ()).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for seed in range(STEPS):
        target, oars, ct = random_inputs(4, *[8] * (dim - 2), 16, 16, seed=seed + 1)
        optimizer.zero_grad()
        (network(target, oars, ct) - 60 * target).abs().mean().backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def no_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's convolutions round their inputs to 10 bits unless they are told not to: no 1e-4 Gy would survive."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)


@pytest.fixture(params=["script", "weights"])
def load(request: pytest.FixtureRequest) -> Callable[[Path, str], Predictor]:
    """Either file; loaded anew for each precision: a script keeps the half precision that it was first run in."""
    if request.param == "script":
        return load_predictor
    return lambda path, device: load_network(path)[0].requires_grad_(False).to(device)


def autocast(precision: str, device: str) -> AbstractContextManager:
    dtype = AUTOCAST[precision]
    return nullcontext() if dtype is None else torch.autocast(device, dtype)


def dose_and_gradient(predict: Predictor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Gy, and the gradient of its sum, weighted by ramps, to the target."""
    target, oars, ct = inputs
    moving = target.clone().requires_grad_()
    dose = predict(moving, oars, ct)
    weight = torch.linspace(-1, 1, dose.numel(), device=dose.device).view(dose.shape)
    return dose.detach(), torch.autograd.grad((dose * weight).sum(), moving)[0]


@pytest.mark.parametrize(("device", "precision"), MODES)
@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("beams", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_dose_and_gradient_are_the_trained_networks(
    trained: Trained,
    load: Callable[[Path, str], Predictor],
    size: tuple[int, ...],
    beams: bool,
    batch: int,
    device: str,
    precision: str,
) -> None:
    network, path = trained[len(size), beams]
    network, predict = network.to(device), load(path, device)
    inputs = tuple(x.to(device) for x in random_inputs(batch, *size))
    with autocast(precision, device):
        expected, expected_gradient = dose_and_gradient(network, inputs)
        for _ in range(3):  # TorchScript optimises after its first calls
            dose, gradient = dose_and_gradient(predict, inputs)
            assert dose.dtype == torch.float32
            torch.testing.assert_close(dose, expected, rtol=0, atol=TOLERANCE_GY)
            # a ReLU or a pooling that is decided otherwise by the last bit moves a gradient as a whole: a thousandth
            tolerance = 1e-3 * float(expected_gradient.abs().max())
            torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=tolerance)
    assert expected.max() > 10
    assert expected_gradient.abs().max() > 0


@pytest.mark.parametrize("dim", [2, 3])
def test_training_moved_the_statistics_of_every_normalisation(trained: Trained, dim: int) -> None:
    before, after = random_network(dim=dim).state_dict(), trained[dim, False][0].state_dict()
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert len(statistics) == 40
    assert not any(torch.equal(before[name], after[name].cpu()) for name in statistics)
    assert all(len(after[name].unique()) == len(after[name]) for name in statistics)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_half_precision_is_in_force_and_costs_tenths_of_a_gray(
    trained: Trained, size: tuple[int, ...], device: str
) -> None:
    predict = load_predictor(trained[len(size), False][1], device)
    inputs = tuple(x.to(device) for x in random_inputs(1, *size))
    exact = predict(*inputs)
    with autocast("bf16", device):
        rounded = predict(*inputs)
    assert 10 * TOLERANCE_GY < (rounded - exact).abs().max() < 0.05 * exact.abs().max()

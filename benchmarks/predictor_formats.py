"""Which form of the dose predictor a trainer should call: seconds of forward and backward, as in each iteration.

python benchmarks/predictor_formats.py --size 128 --size 256 --width 0.5 --width 1
python benchmarks/predictor_formats.py --autocast bf16 --compiled

The dose of the truth without gradient, that of a soft contour with gradient to the contour. All forms take turns in
every round, with random weights: time does not depend on them.
"""

import io
import json
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import torch
import typer
from machine import command, default_device, forget_peak, hardware, peak_gb, synchronise
from torch import Tensor, nn

from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings

Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]
Inputs = tuple[Tensor, Tensor, Tensor]
ORGANS = tuple(range(1, 8))
AUTOCAST = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def random_inputs(batch: int, size: int, device: str) -> Inputs:
    """A soft target, organs and tissue everywhere, (batch, 1, size, size): no voxel is spared."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 1, size, size)
    target = torch.rand(shape, generator=generator)
    oars = torch.randint(0, len(ORGANS) + 1, shape, generator=generator)
    return target.to(device), oars.to(device), torch.zeros(shape, device=device)


def scripted(network: nn.Module, device: str, *, folded: bool) -> Predictor:
    """Frozen, saved and loaded; folded: batch normalisation becomes part of the convolutions."""
    file = io.BytesIO()
    torch.jit.save(torch.jit.freeze(torch.jit.script(network), optimize_numerics=folded), file)
    file.seek(0)
    return torch.jit.load(file, map_location=device)


def exported(network: nn.Module, inputs: Inputs) -> Predictor:
    """By `torch.export`, saved and loaded: of any batch, and of slices that need padding or of such that do not."""
    file = io.BytesIO()
    torch.export.save(_program(network, inputs), file)
    file.seek(0)
    return torch.export.load(file).module()


def _program(network: nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    any_size = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    return torch.export.export(network, inputs, dynamic_shapes=(any_size, any_size, any_size))


def forms(width: float, inputs: Inputs, device: str, compiled: bool) -> dict[str, Predictor]:
    torch.manual_seed(0)
    network = DosePredictor(NetworkSettings(ORGANS, 70.0).scaled(width)).eval().requires_grad_(False)
    built: dict[str, Predictor] = {
        "scripted": scripted(network, device, folded=False),
        "scripted, folded": scripted(network, device, folded=True),
        "network": network.to(device),
        "exported": exported(network.to(device), inputs),
    }
    return built | ({"compiled": torch.compile(network)} if compiled else {})


def step(predict: Predictor, inputs: Inputs, precision: AbstractContextManager) -> Tensor:
    """The gradient of the dose term to the contour, (B, 1, Y, X)."""
    target, oars, ct = inputs
    contour = (0.9 * target).requires_grad_()
    with precision:
        with torch.no_grad():
            reference_gy = predict(target, oars, ct)
        evaluated_gy = predict(contour, oars, ct)
        term = ((reference_gy - evaluated_gy) / 70.0).square().mean()
    return torch.autograd.grad(term, contour)[0]


def timed(predict: Predictor, inputs: Inputs, dtype: torch.dtype | None, device: str) -> tuple[float, dict, Tensor]:
    """Seconds and peak memory of one step, and its gradient."""
    precision = nullcontext() if dtype is None else torch.autocast(device, dtype)
    forget_peak(device)
    synchronise(device)
    start = time.monotonic()
    gradient = step(predict, inputs, precision)
    synchronise(device)
    return time.monotonic() - start, peak_gb(device), gradient


def compare(built: dict[str, Predictor], inputs: Inputs, rounds: int, dtype: torch.dtype | None, device: str) -> dict:
    """By form: median, least and most seconds, peak memory, and the largest difference of its gradient, relative."""
    for predict in built.values():
        for _ in range(3):  # TorchScript optimises after its first calls
            timed(predict, inputs, dtype, device)
    measured = [{name: timed(predict, inputs, dtype, device) for name, predict in built.items()} for _ in range(rounds)]
    expected = measured[0]["network"][2]
    return {name: summary([measurement[name] for measurement in measured], expected) for name in built}


def summary(measured: list[tuple[float, dict, Tensor]], expected: Tensor) -> dict[str, Any]:
    seconds = [second for second, _, _ in measured]
    difference = (measured[0][2] - expected).abs().max() / expected.abs().max()
    return {
        "seconds": {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)},
        "peak_gb": measured[-1][1],
        "gradient_differs_from_networks": float(difference),
    }


def main(
    size: Annotated[list[int], typer.Option(help="Voxels along y and x of a slice.")] = [128, 256],  # noqa: B006
    width: Annotated[list[float], typer.Option(help="Channels, as for `doselo train-predictor`.")] = [0.5, 1.0],  # noqa: B006
    batch: int = 12,
    rounds: int = 7,
    autocast: Annotated[str, typer.Option(help=f"One of {', '.join(AUTOCAST)}.")] = "none",
    compiled: Annotated[bool, typer.Option(help="`torch.compile` too; needs a C++ compiler.")] = False,
    device: Annotated[str, typer.Option(help="Default: the GPU, if there is one.")] = "",
) -> None:
    """Print seconds and memory of every form as JSON."""
    warnings.filterwarnings("ignore", message=r".*torch\.jit\..*deprecated.*")
    used = device or default_device()
    results = []
    for voxels in size:
        inputs = random_inputs(batch, voxels, used)
        for factor in width:
            built = forms(factor, inputs, used, compiled)
            by_form = compare(built, inputs, rounds, AUTOCAST[autocast], used)
            results.append({"size": voxels, "width": factor, "forms": by_form})
    print(
        json.dumps(
            {
                "command": command(),
                "hardware": hardware(used),
                "torch": torch.__version__,
                "batch": batch,
                "rounds": rounds,
                "autocast": autocast,
                "results": results,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    typer.run(main)

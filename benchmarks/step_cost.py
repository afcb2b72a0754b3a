"""What dose guidance adds to a training step, in seconds and memory, and which change saved how much.

python benchmarks/step_cost.py                                # 256 x 256, batch 16, full widths
python benchmarks/step_cost.py --small                        # for two cores: narrow networks, batch 4
python benchmarks/step_cost.py --dataset 501 --batch-size 12  # the size and network that nnU-Net planned
python benchmarks/step_cost.py --dataset 501 --epoch          # with the dataset's own loaders and predictor

Steps are those of the trainers themselves, on one batch and without loading. All take turns in every round, so that
whatever else the machine does meets all alike. Memory is measured in a process of its own for each.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Annotated, Any

import torch
import typer
from machine import command, default_device, forget_peak, hardware, peak_gb, synchronise
from step_epoch import epoch_seconds
from step_operations import gflop_per_image
from step_task import Task, planned_by, planned_for
from step_variants import NAMES, PAPER, step_of

BASELINE = "nnU-Net"
SMALL_FEATURES = (8, 16, 32, 64, 128, 128, 128)
SMALL_WIDTH = 0.25


@dataclass(frozen=True)
class Settings:
    """All that a process needs to make a step again."""

    size: int
    batch_size: int | None
    small: bool
    empty: float
    dataset: int
    plans: str
    configuration: str
    width: float
    coarser: float
    device: str
    threads: int

    def task(self) -> Task:
        if self.dataset:
            return planned_by(self.dataset, self.plans, self.configuration, self.batch_size, self.empty)
        features = {"features": SMALL_FEATURES} if self.small else {}
        return planned_for(self.size, self.batch_size or (4 if self.small else 16), empty=self.empty, **features)

    def step(self, name: str, task: Task) -> Callable[[], Any]:
        return step_of(name, task, self.width, self.coarser, self.device)


def seconds(steps: dict[str, Callable], rounds: int, warm_up: int, device: str) -> dict[str, list[float]]:
    """By name, of every round; each round begins with another one."""
    for step in steps.values():
        for _ in range(warm_up):
            step()
    taken: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(_timed(steps[name], device))
            print(f"round {turn + 1}/{rounds}: {taken[name][-1]:8.3f} s  {name}", file=sys.stderr)
    return taken


def _timed(step: Callable, device: str) -> float:
    synchronise(device)
    start = time.monotonic()
    step()
    synchronise(device)
    return time.monotonic() - start


def summary(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median and range; the ratios are medians of each round's own ratio."""
    found = {}
    for name, own in taken.items():
        found[name] = {"median": statistics.median(own), "least": min(own), "most": max(own)}
        for against in (BASELINE, PAPER):
            if against in taken:
                found[name][f"over {against}"] = statistics.median(
                    a / b for a, b in zip(own, taken[against], strict=True)
                )
    return found


def memory(settings: Settings, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """By name: what a process held before its trainer was made, and its peak in two steps after two others."""
    found = {}
    for name in names:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            found[name] = fresh.submit(_peak, settings, name).result()
        print(f"memory: {found[name]}  {name}", file=sys.stderr)
    if BASELINE in found:
        baseline = _taken(found[BASELINE])
        for peak in found.values():
            peak[f"taken over {BASELINE}"] = _taken(peak) / baseline
    return found


def _taken(peak: dict[str, float]) -> float:
    """On the GPU, or else by the process beyond its libraries."""
    return peak.get("gpu", peak["process"] - peak["at rest"])


def _peak(settings: Settings, name: str) -> dict[str, float]:
    _prepare(settings)
    with redirect_stdout(sys.stderr):
        task = settings.task()
        import nnunetv2.training.nnUNetTrainer.nnUNetTrainer  # noqa: F401

        import nnunet_doselo.trainer.classes  # noqa: F401

        forget_peak("cpu")
        at_rest = peak_gb("cpu")["process"]
        step = settings.step(name, task)
        for turn in range(4):
            if turn == 2:
                forget_peak(settings.device)
            step()
    return peak_gb(settings.device) | {"at rest": at_rest}


def _prepare(settings: Settings) -> None:
    """As `nnUNetv2_train` does before it makes a trainer."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if torch.device(settings.device).type == "cuda":
        torch.backends.cudnn.benchmark = True


def compare(settings: Settings, names: Sequence[str], rounds: int, warm_up: int, with_memory: bool) -> dict[str, Any]:
    task = settings.task()
    result: dict[str, Any] = {"size": task.size, "batch_size": task.batch_size}
    result["gflop_per_image"] = gflop_per_image(task, settings.width, settings.coarser)
    if rounds:
        steps = {name: settings.step(name, task) for name in names}
        result["seconds"] = summary(seconds(steps, rounds, warm_up, settings.device))
    return result | ({"peak_gb": memory(settings, names)} if with_memory else {})


def main(
    size: Annotated[int, typer.Option(help="Voxels along y and x of a slice.")] = 256,
    batch_size: Annotated[int | None, typer.Option(help="Default: 16, 4 with --small, or the plan's own.")] = None,
    small: Annotated[bool, typer.Option(help="Networks a quarter as wide.")] = False,
    empty: Annotated[float, typer.Option(help="Share of slices without target.")] = 1 / 3,
    dataset: Annotated[int, typer.Option(help="A planned dataset's number, in place of --size.")] = 0,
    plans: str = "nnUNetPlans",
    configuration: str = "2d",
    width: Annotated[float | None, typer.Option(help="Of the predictor, as for `doselo train-predictor`.")] = None,
    coarser: Annotated[float, typer.Option(help="The predictor's spacing over the network's.")] = 2.0,
    only: Annotated[list[str] | None, typer.Option(help=f"Some of: {'; '.join(NAMES)}.")] = None,
    compiled: Annotated[bool, typer.Option(help="`torch.compile` too; needs a C++ compiler.")] = False,
    rounds: Annotated[int, typer.Option(help="0: only count, and measure memory.")] = 7,
    warm_up: int = 3,
    measure_memory: Annotated[bool, typer.Option("--memory/--no-memory")] = True,
    epoch: Annotated[bool, typer.Option(help="Iterations with data loading instead; needs --dataset.")] = False,
    iterations: Annotated[int, typer.Option(help="With --epoch: as many a round.")] = 20,
    threads: Annotated[int, typer.Option(help="Of torch; 0: as it likes.")] = 0,
    device: Annotated[str, typer.Option(help="Default: the GPU, if there is one.")] = "",
) -> None:
    """Print seconds, ratios, memory and operations as JSON."""
    used = device or default_device()
    wide = width or (SMALL_WIDTH if small else 1.0)
    settings = Settings(size, batch_size, small, empty, dataset, plans, configuration, wide, coarser, used, threads)
    names = only or [name for name in NAMES if compiled or "compiled" not in name]
    _prepare(settings)
    with redirect_stdout(sys.stderr):  # nnU-Net prints
        if epoch:
            result = epoch_seconds(settings.task(), rounds, warm_up, iterations, used)
        else:
            result = compare(settings, names, rounds, warm_up, measure_memory)
    about = {"command": command(), "hardware": hardware(used), "torch": torch.__version__, "rounds": rounds}
    print(json.dumps(about | {"width": wide, "coarser": coarser, "empty": empty} | result, indent=2))


if __name__ == "__main__":
    typer.run(main)

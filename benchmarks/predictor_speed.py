"""What limits the training of a dose predictor: slices a second of loader, step, and both together; peak memory.

python benchmarks/predictor_speed.py 505
python benchmarks/predictor_speed.py 505 --preset small --batch 8 --workers 1 --precision bf16-mixed

The loader is drawn from alone, the step is taken on one batch again and again, and then each step takes the next batch
of the loader, as training does; all three take turns. While the step does not wait for the loader, the device is busy.
"""

import json
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import lightning as L
import torch
import typer
from machine import command, default_device, forget_peak, hardware, peak_gb, synchronise, worker_peak_gb
from torch.utils.data import DataLoader

from nnunet_doselo.dataset.folder import environment_folder, raw_dataset
from nnunet_doselo.predictor_training.data.cache import build_cache
from nnunet_doselo.predictor_training.data.loaders import training_loader
from nnunet_doselo.predictor_training.data.samples import Sample
from nnunet_doselo.predictor_training.data.training_data import CACHE_FOLDERS
from nnunet_doselo.predictor_training.training.module import DosePredictorModule
from nnunet_doselo.predictor_training.training.plan import TrainingPlan, make_plan
from nnunet_doselo.predictor_training.training.settings import TrainingSettings, precision

PREFETCHED = 2
"""Batches that torch's loader has each worker prepare ahead."""
STEPS = 1000
"""Of the learning rate's schedule, which is not stepped here."""


class Step:
    """One step of training as Lightning takes it: forward, backward, clipped gradients, optimiser."""

    def __init__(self, plan: TrainingPlan, device: str) -> None:
        settings = plan.settings
        self.fabric = L.Fabric(accelerator=device, devices=1, precision=precision(settings.precision))
        module = DosePredictorModule(
            plan.network, settings.learning_rate, STEPS, error=settings.error, dvh_weight=settings.dvh_weight
        )
        self.module, self.optimizer = self.fabric.setup(module, module.configure_optimizers()["optimizer"])
        self.module.mark_forward_method("training_step")
        self.device = device

    def __call__(self, batch: Sample) -> None:
        """Returns when the device is done."""
        self.optimizer.zero_grad()
        self.fabric.backward(self.module.training_step(self.fabric.to_device(batch), 0))
        self.fabric.clip_gradients(self.module, self.optimizer, max_norm=1.0)
        self.optimizer.step()
        synchronise(self.device)


def training_batches(plan: TrainingPlan, workers: int, batches: int) -> tuple[DataLoader[Sample], int]:
    """The training loader of a plan, whose epoch is so many batches and those that are ready before the first."""
    preprocessed = environment_folder("nnUNet_preprocessed") / plan.dataset.folder.name
    cases = build_cache(
        plan.dataset, plan.training, plan.spacing_mm, preprocessed / CACHE_FOLDERS[plan.settings.dim], processes=2
    )
    ready = PREFETCHED * workers + 1
    settings = replace(plan.settings, iterations_per_epoch=batches + ready)
    return training_loader(replace(plan, settings=settings), cases, workers), ready


def started(loader: DataLoader[Sample], ready: int) -> Iterator[Sample]:
    """An epoch's batches but for those that were prepared while nobody waited."""
    batches = iter(loader)
    for _ in range(ready):
        next(batches)
    return batches


def time_loader(loader: DataLoader[Sample], ready: int) -> float:
    """Seconds a batch of the loader alone."""
    batches = started(loader, ready)
    start = time.monotonic()
    number = sum(1 for _ in batches)
    return (time.monotonic() - start) / number


def time_step(step: Step, batch: Sample, batches: int) -> float:
    """Seconds a batch of the step alone, on a batch that lies on the device."""
    batch = step.fabric.to_device(batch)
    step(batch)
    start = time.monotonic()
    for _ in range(batches):
        step(batch)
    return (time.monotonic() - start) / batches


def time_both(step: Step, loader: DataLoader[Sample], ready: int) -> tuple[float, float]:
    """Seconds a batch, and the share of them that the step waits for the loader."""
    waited, number = 0.0, 0
    batches = started(loader, ready)
    step(next(batches))
    start = before = time.monotonic()
    for batch in batches:
        waited += time.monotonic() - before
        step(batch)
        number += 1
        before = time.monotonic()
    return (before - start) / number, waited / (before - start)


def measure(plan: TrainingPlan, device: str, workers: int, batches: int, rounds: int) -> dict[str, Any]:
    step = Step(plan, device)
    loader, ready = training_batches(plan, workers, batches)
    batch = next(iter(loader))
    alone, steps, both = list[float](), list[float](), list[tuple[float, float]]()
    forget_peak(device)
    for _ in range(rounds):
        alone.append(time_loader(loader, ready))
        steps.append(time_step(step, batch, batches))
        both.append(time_both(step, loader, ready))
    slices = batch["ct"].shape[0] * (batch["ct"].shape[2] if plan.settings.dim == 3 else 1)
    wait = statistics.median(share for _, share in both)
    return {
        "patch": list(batch["ct"].shape[2:]),
        "slices_a_batch": slices,
        "slices_a_second": {
            "loader": rates(slices, alone),
            "step": rates(slices, steps),
            "both": rates(slices, [seconds for seconds, _ in both]),
        },
        "wait_share": wait,
        "device_busy_share": 1 - wait,
        "peak_gb": peak_gb(device) | worker_peak_gb(child.pid for child in multiprocessing.active_children()),
    }


def rates(slices: int, seconds: list[float]) -> dict[str, float]:
    """Slices a second: median, least and most of the rounds."""
    found = [slices / second for second in seconds]
    return {"median": statistics.median(found), "least": min(found), "most": max(found)}


def main(
    dataset: str,
    preset: str = "default",
    dim: int = 2,
    width: Annotated[float | None, typer.Option(help="Instead of the preset's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Instead of the preset's.")] = None,
    precision: Annotated[str, typer.Option(help="auto, 32-true, 16-mixed or bf16-mixed.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes of the loader; 0 is none but this one.")] = 2,
    batches: Annotated[int, typer.Option(help="In each round, of loader, step, and both.")] = 20,
    rounds: int = 3,
    device: Annotated[str, typer.Option(help="cpu or cuda; default: the GPU, if there is one.")] = "",
) -> None:
    """Print rates, shares and memory as JSON; the dataset must be prepared for training."""
    used = device or default_device()
    settings = TrainingSettings.from_preset(preset, dim, width=width, batch_size=batch, precision=precision)
    plan = make_plan(raw_dataset(dataset), settings)
    result = {
        "command": command(),
        "hardware": hardware(used),
        "torch": torch.__version__,
        "network": plan.describe()["channels"],
        "batch": settings.batch_size,
        "precision": plan.describe()["precision"],
        "workers": workers,
        "batches_a_round": batches,
        "rounds": rounds,
        **measure(plan, used, workers, batches, rounds),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)

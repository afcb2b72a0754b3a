"""Iterations with data loading: nnU-Net's trainer and ours on a dataset that is ready for training."""

import copy
import statistics
import sys
import time
from typing import Any

import torch
from machine import synchronise
from step_task import Task

TRAINERS = ("nnUNetTrainer", "nnUNetTrainerBCE", "nnUNetTrainerDOSELO")


def epoch_seconds(task: Task, rounds: int, warm_up: int, iterations: int, device: str) -> dict[str, Any]:
    """Seconds an iteration, trainers taking turns, each time started anew with loaders of its own."""
    taken: dict[str, list[float]] = {name: [] for name in TRAINERS}
    for turn in range(rounds):
        for name in TRAINERS[turn % 3 :] + TRAINERS[: turn % 3]:
            taken[name].append(_iteration_seconds(task, name, warm_up, iterations, device))
            print(f"round {turn + 1}/{rounds}: {taken[name][-1]:8.3f} s  {name}", file=sys.stderr)
    baseline = taken[TRAINERS[0]]
    return {
        "size": task.size,
        "batch_size": task.batch_size,
        "seconds_an_iteration": {
            name: {
                "median": statistics.median(own),
                "least": min(own),
                "most": max(own),
                "over nnU-Net": statistics.median(a / b for a, b in zip(own, baseline, strict=True)),
            }
            for name, own in taken.items()
        },
    }


def _iteration_seconds(task: Task, name: str, warm_up: int, iterations: int, device: str) -> float:
    trainer = started(task, name, device)
    for _ in range(warm_up):
        trainer.train_step(next(trainer.dataloader_train))
    synchronise(device)
    start = time.monotonic()
    for _ in range(iterations):
        trainer.train_step(next(trainer.dataloader_train))
    synchronise(device)
    taken = time.monotonic() - start
    finish(trainer)
    return taken / iterations


def started(task: Task, name: str, device: str, fold: int = 0) -> Any:
    """A trainer before its first step, with loaders of its own."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_doselo.trainer.classes import trainer_class

    cls = nnUNetTrainer if name == "nnUNetTrainer" else trainer_class(name)
    plans = {**copy.deepcopy(task.plans), "continue_training": False}
    trainer = cls(plans, task.configuration, fold, task.dataset_json, torch.device(device))
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


def finish(trainer: Any) -> None:
    """End the loaders' processes, as nnU-Net does after its last epoch."""
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        if hasattr(loader, "_finish"):
            loader._finish()

"""Trainers in two processes on the CPU, as `nnUNetv2_train -num_gpus 2` starts them on GPUs: what both do."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import planned_datasets
import pytest
import torch
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as host
from planned_datasets import Planned
from torch.nn.parallel import DistributedDataParallel

from nnunet_doselo.context.preprocessed import ContextFolder
from nnunet_doselo.trainer.log import DoseLogger

PLAIN = Planned("Dataset911_Plain", configurations=("2d",))
IGNORE = Planned("Dataset912_Ignore", planned_datasets.IGNORE, configurations=("2d",))
STEPS, HALF = 2, 2
"""Steps that are compared, and images that each process has of a batch."""
EPOCHS = "nnUNetTrainerDOSELO_3epochs_2iterations"
SLOWLY = 1.0
ERRORS_GY = {0: (6.0, 3.0, 6.0), 1: (6.0, 8.0, 0.0)}
"""In validation, by process and epoch. Jointly 6, 6.04 and 4.24 Gy, so that the last epoch is better than the first,
where the first process alone would take the second one for the best."""


@dataclass(frozen=True)
class Guided:
    """A training whose gradients are compared. precise: in 64 bit throughout, but for nnU-Net's Dice."""

    planned: Planned
    trainer: str
    precise: bool = True


GUIDED = {
    "bce": Guided(PLAIN, "nnUNetTrainerDOSELO"),
    "dice": Guided(PLAIN, "nnUNetTrainerDOSELO_DiceCE", precise=False),
    "ignore": Guided(IGNORE, "nnUNetTrainerDOSELO"),
}


@contextmanager
def on_the_cpu(*, double: bool = True) -> Iterator[pytest.MonkeyPatch]:
    """Wrappers name no GPU, which alone keeps nnU-Net's processes from a CPU; networks in 64 bit if `double`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "DDP", lambda network, device_ids: DistributedDataParallel(network))
        patch.setattr(DoseLogger, "plot_progress_png", lambda *_: None)  # seconds an epoch, tested elsewhere
        if double:
            build = host.nnUNetTrainer.build_network_architecture
            in_double = wraps(build)(lambda *args, **kwargs: build(*args, **kwargs).double())
            patch.setattr(host.nnUNetTrainer, "build_network_architecture", staticmethod(in_double))
        yield patch


def make_trainer(planned: Planned, name: str) -> Any:
    """As nnUNetv2_train makes it; then on the CPU, because nnU-Net has chosen a GPU if there are several processes."""
    from nnunetv2.run.run_training import get_trainer_from_args

    trainer = get_trainer_from_args(planned.name, "2d", 0, name, device=torch.device("cpu"))
    trainer.device, trainer.grad_scaler = torch.device("cpu"), None
    return trainer


def start(trainer: Any, state: dict | None = None) -> Any:
    """The trainer before its first step, with the weights of `state`."""
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    if state is not None:
        bare(trainer).load_state_dict(state)
    return trainer


def bare(trainer: Any) -> torch.nn.Module:
    """The network without its wrapper."""
    return trainer.network.module if trainer.is_ddp else trainer.network


def take_steps(trainer: Any, batches: list[dict], *, shared: bool = True) -> list[dict[str, Any]]:
    """Of each step the gradients and both terms of the loss. Not shared: each process goes by its own gradients."""
    seen = []
    for batch in batches:
        with nullcontext() if shared else trainer.network.no_sync():
            trainer.train_step(batch)
        gradients = {name: x.grad.clone() for name, x in bare(trainer).named_parameters() if x.grad is not None}
        seen.append({"gradients": gradients, **trainer.loss.terms})
    return seen


def half_of(batch: dict, rank: int) -> dict:
    """A process's images of a joint batch."""
    mine = slice(rank * HALF, (rank + 1) * HALF)
    return {"data": batch["data"][mine], "target": [truth[mine] for truth in batch["target"]]}


def train_together(rank: int, root: Path) -> None:
    """Everything that is asked of two processes; what each found goes to `<rank>.pt`."""
    found = {"epochs": three_epochs(rank, root)}
    with on_the_cpu():
        for name, guided in GUIDED.items():
            given = torch.load(root / f"{name}.pt", weights_only=False)
            batches = [half_of(batch, rank) for batch in given["batches"]]
            trainer = start(make_trainer(guided.planned, guided.trainer), given["state"])
            scales = trainer.loss.voxel_loss.weight_factors
            found[name] = {"steps": take_steps(trainer, batches), "scales": scales}
            if name == "bce":
                start(trainer, given["state"])
                found["own gradients"] = take_steps(trainer, batches[:1], shared=False)
                found["without the coarsest scale"] = error_without_coarsest_scale(given["state"], batches)
    torch.save(found, root / f"{rank}.pt")


def what_is_trained(trainer: Any) -> dict[str, Any]:
    """Sizes and names of what the optimiser, the wrapper and the checkpoint hold."""
    optimised = [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]
    return {
        "optimised": sorted(parameter.numel() for parameter in optimised),
        "wrapped": sorted(parameter.numel() for parameter in trainer.network.parameters()),
        "saved": sorted(trainer.network.module.state_dict()),
        "predictor": str(trainer.loss.dose_loss.predictor.path),
        "predictor trained": any(parameter.requires_grad for parameter in trainer.loss.parameters()),
    }


def error_without_coarsest_scale(state: dict, batches: list[dict]) -> str:
    """With the weight 0 that one process gives it."""
    trainer = start(make_trainer(PLAIN, "nnUNetTrainerDOSELO"), state)
    scales = trainer.loss.voxel_loss
    scales.weight_factors = (*scales.weight_factors[:-1], 0.0)
    try:
        take_steps(trainer, batches)
    except RuntimeError as error:
        return str(error)
    return ""


def three_epochs(rank: int, root: Path) -> dict[str, Any]:
    """A whole training with the loader's own batches; who wrote what, what was measured, and what was logged."""
    built, saved, present, measured = [], [], [], []
    build, save = ContextFolder.build, torch.save

    def build_slowly(context: ContextFolder, cases: list[str], **options: Any) -> int:
        time.sleep(SLOWLY)
        built.append(build(context, cases, **options))
        return built[-1]

    with on_the_cpu(double=False) as patch:
        patch.setattr(ContextFolder, "build", build_slowly)
        patch.setattr(torch, "save", lambda content, file: (saved.append(_told(content, file)), save(content, file)))
        patch.delenv("nnUNet_dose_predictor")  # the dataset's own is a network
        trainer = make_trainer(PLAIN, EPOCHS)
        _watch(trainer, rank, present, measured)
        np.random.seed(rank)  # noqa: NPY002 (nnU-Net's loader uses the global generator)
        trainer.run_training()
    log = trainer.logger.local_logger.my_fantastic_logging
    lists = {"built": built, "saved": saved, "present": present, "measured": measured}
    return {**lists, "log": log, "trained": what_is_trained(trainer)}


def _told(checkpoint: dict, file: str) -> tuple[str, int]:
    return Path(file).name, checkpoint["current_epoch"]


def _watch(trainer: Any, rank: int, present: list[str], measured: list[float]) -> None:
    """Notes the context's files when datasets are made, and dose terms of training; validation's are ERRORS_GY."""
    datasets, train_step, validation_step = trainer.get_tr_and_val_datasets, trainer.train_step, trainer.validation_step

    def get_datasets() -> Any:
        result = datasets()
        present.extend(sorted(file.name for file in trainer.context.folder.glob("*.b2nd")))
        return result

    def train(batch: dict) -> dict:
        result = train_step(batch)
        measured.append(float(result["dose_term"]))
        return result

    def validate(batch: dict) -> dict:
        return validation_step(batch) | {"dose_term": np.array((ERRORS_GY[rank][trainer.current_epoch] / 60) ** 2)}

    trainer.get_tr_and_val_datasets, trainer.train_step, trainer.validation_step = get_datasets, train, validate

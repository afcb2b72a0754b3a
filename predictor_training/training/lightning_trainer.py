"""Lightning's trainer as the dose predictor needs it: callbacks, logs, devices."""

import itertools
import logging
import signal
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from lightning.pytorch.strategies import DDPStrategy

from nnunet_doselo.common.errors import DoseloError

from .module import moving_average
from .plan import TrainingPlan
from .settings import precision
from .synchronised_norm import SynchronisedNorms

LAST = "last"


def make_trainer(plan: TrainingPlan, output: Path, best: ModelCheckpoint, devices: int, num_nodes: int) -> L.Trainer:
    """On a GPU if there is one, else on the CPU; logs and checkpoints go to `output`.

    Raises
    ------
    DoseloError: the machine has fewer devices.
    """
    try:
        return L.Trainer(
            max_epochs=plan.settings.epochs,
            precision=precision(plan.settings.precision),  # type: ignore[arg-type]
            logger=_loggers(output),
            callbacks=_callbacks(output, best, plan.settings.patience, alone=devices * num_nodes == 1),
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            log_every_n_steps=plan.settings.iterations_per_epoch,
            **_parallel(devices, num_nodes),
        )
    except MisconfigurationException as error:
        raise DoseloError(f"{devices} devices x {num_nodes} nodes: {error}; give other --devices") from error


def _parallel(devices: int, num_nodes: int) -> dict[str, Any]:
    """One process a device; ours are the samples of each, and what each adds to loss and statistics."""
    common = {"devices": devices, "num_nodes": num_nodes, "use_distributed_sampler": False}
    if devices * num_nodes == 1:
        return common
    # buffers agree already, and to exchange them in validation would hang where processes have unlike numbers of cases
    norms = TorchSyncBatchNorm() if torch.cuda.is_available() else SynchronisedNorms()
    return {**common, "strategy": DDPStrategy(broadcast_buffers=False), "plugins": [norms]}


def _callbacks(output: Path, best: ModelCheckpoint, patience: int, *, alone: bool) -> list[L.Callback]:
    return [
        best,
        # not `save_last` above: that saves an epoch only if it is the best so far
        ModelCheckpoint(output, LAST, enable_version_counter=False),
        WeightAveraging(avg_fn=moving_average),
        EarlyStopping("val_mae_gy", patience=patience, mode="min"),
        NoEpochTooMany(),
        LearningRateMonitor("epoch"),
        RichProgressBar(leave=True),
        *([] if alone else [EndAtOnce()]),
    ]


def _loggers(output: Path) -> list[Any]:
    folder = _new_log_folder(output)
    loggers: list[Any] = [CSVLogger(output, name=None, version=folder)]
    try:
        loggers.append(TensorBoardLogger(output, name=None, version=folder))
    except ModuleNotFoundError:
        logging.getLogger(__name__).info("tensorboard is not installed; metrics go to metrics.csv only")
    return loggers


def _new_log_folder(output: Path) -> str:
    """One for each start: Lightning's CSV logger deletes what it finds, and a resumed run keeps its past."""
    names = itertools.chain(["logs"], (f"logs_{start}" for start in itertools.count(2)))
    return next(name for name in names if not (output / name).exists())


class NoEpochTooMany(L.Callback):
    """A run that ended because validation stood still is exported again when it is resumed, and trained no further.

    Lightning would train another epoch, and ask then.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        stopping = trainer.early_stopping_callback
        if isinstance(stopping, EarlyStopping) and stopping.wait_count >= stopping.patience:
            trainer.should_stop = True


class EndAtOnce(L.Callback):
    """SIGTERM ends a process, and with it, since they wait for each other, the others; the run can be resumed.

    Lightning would have the first process tell the others from within its signal handler. Where they are just adding up
    something else, all of them wait for ever.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class quiet(warnings.catch_warnings):
    """Lightning's hints on worker numbers and its own deprecations are not for the user of this command."""

    def __enter__(self) -> None:
        super().__enter__()
        for package in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(package).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", module="torch")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")

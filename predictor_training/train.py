"""`doselo train-predictor`: from an extended dataset to a frozen dose predictor."""

import itertools
import json
import logging
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from nnunet_doselo.errors import DoseloError
from nnunet_doselo.predictor.artifact import FILE_NAME, FILE_NAME_3D, load_predictor, save_predictor
from nnunet_doselo.predictor.card import AXES, PredictorCard
from nnunet_doselo.predictor.network import DosePredictor
from nnunet_doselo.versions import versions

from .cache import build_cache, data_hash
from .loaders import training_loader, validation_loader
from .module import DosePredictorModule, moving_average
from .run_folder import SETTINGS_FILE, record_artifact
from .training_plan import Plan
from .training_settings import TrainingSettings, precision
from .validate import validate

LAST = "last"
CACHE_FOLDERS = {2: "dose_predictor_slices", 3: "dose_predictor_volumes"}
FILE_NAMES = {2: FILE_NAME, 3: FILE_NAME_3D}


def train(plan: Plan, output: Path, preprocessed: Path, *, processes: int, resume: bool = False) -> Path:
    """Train, export and validate; returns the artifact's path below `preprocessed`.

    Checkpoints, settings, logs, validation table and pictures go to `output`. A run that was stopped goes on with
    `resume` and gives the run it would have been: every sample depends on the seed and its number alone.

    Raises
    ------
    DoseloError: `output` holds another run, or nothing to resume; training diverged from the first epoch on.
    """
    last = _prepare_output(output, plan, resume)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    L.seed_everything(plan.settings.seed, workers=True, verbose=False)
    cases = [*plan.training, *plan.validation]
    folder = preprocessed / CACHE_FOLDERS[plan.settings.dim]
    cached = build_cache(plan.dataset, cases, plan.spacing_mm, folder, processes=processes)
    by_name = {case.name: case for case in cached}
    module = DosePredictorModule(
        plan.network,
        plan.settings.learning_rate,
        plan.settings.epochs * plan.settings.iterations_per_epoch,
        error=plan.settings.error,
        dvh_weight=plan.settings.dvh_weight,
    )
    best = ModelCheckpoint(output, "best", monitor="val_mae_gy", mode="min")
    with _quiet():
        _trainer(plan, output, best).fit(
            module,
            training_loader(plan, [by_name[name] for name in plan.training], processes, _next_epoch(last)),
            validation_loader(plan, [by_name[name] for name in plan.validation]),
            ckpt_path=last,
            weights_only=False,
        )
    if best.best_model_score is not None and not best.best_model_score.isfinite():
        raise DoseloError(f"{output}: the validation error was never a finite number; train with a lower learning rate")
    return export(plan, Path(best.best_model_path), output, preprocessed)


def export(plan: Plan, checkpoint: Path, output: Path, preprocessed: Path) -> Path:
    """Freeze the best checkpoint, validate what callers will really run, and write it with its card."""
    network = DosePredictor(plan.network)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({key.removeprefix("network."): value for key, value in state.items()})
    guidance = plan.dataset.guidance
    card = PredictorCard(
        spacing_mm=plan.spacing_mm,
        oars=guidance.oars,
        target_gy=guidance.target_gy,
        hu_window=plan.network.hu_window,
        first=plan.network.first,
        second=plan.network.second,
        training_data_sha256=data_hash(plan.dataset, plan.training),
        validation={},
        versions=versions(),
        axes=AXES[plan.settings.dim],
    )
    name = FILE_NAMES[plan.settings.dim]
    draft = save_predictor(network, card, output / name)
    figures = validate(load_predictor(draft), plan.dataset, plan.validation, output)
    final = save_predictor(network, replace(card, validation=figures), preprocessed / name)
    record_artifact(output, final)
    for file in (draft, draft.with_suffix(".safetensors")):
        file.unlink()
    return final


def _next_epoch(last: Path | None) -> int:
    """The one after the checkpoint's."""
    return 0 if last is None else torch.load(last, map_location="cpu", weights_only=True)["epoch"] + 1


def _prepare_output(output: Path, plan: Plan, resume: bool) -> Path | None:
    """The checkpoint to go on from; a setting that is younger than the run had its default."""
    record, last = output / SETTINGS_FILE, output / f"{LAST}.ckpt"
    wanted = json.loads(json.dumps({**asdict(plan.settings), "training": plan.training, "validation": plan.validation}))
    if resume and not (last.exists() and record.exists()):
        raise DoseloError(
            f"{output}: nothing to resume, {last.name} and {record.name} must be there; leave --resume away"
        )
    if resume and {**asdict(TrainingSettings()), **json.loads(record.read_text())} != wanted:
        raise DoseloError(f"{record}: this run had other settings or cases; resume with the same, or start a new one")
    if last.exists() and not resume:
        raise DoseloError(f"{output}: holds a run already; pass --resume to go on with it, or --name for a new one")
    output.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(wanted, indent=2))
    return last if resume else None


def _trainer(plan: Plan, output: Path, best: ModelCheckpoint) -> L.Trainer:
    folder = _new_log_folder(output)
    loggers: list[Any] = [CSVLogger(output, name=None, version=folder)]
    try:
        loggers.append(TensorBoardLogger(output, name=None, version=folder))
    except ModuleNotFoundError:
        logging.getLogger(__name__).info("tensorboard is not installed; metrics go to metrics.csv only")
    return L.Trainer(
        max_epochs=plan.settings.epochs,
        precision=precision(plan.settings.precision),  # type: ignore[arg-type]
        logger=loggers,
        callbacks=[
            best,
            # not `save_last` above: that saves an epoch only if it is the best so far
            ModelCheckpoint(output, LAST, enable_version_counter=False),
            WeightAveraging(avg_fn=moving_average),
            EarlyStopping("val_mae_gy", patience=plan.settings.patience, mode="min"),
            LearningRateMonitor("epoch"),
            RichProgressBar(leave=True),
        ],
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        log_every_n_steps=plan.settings.iterations_per_epoch,
    )


def _new_log_folder(output: Path) -> str:
    """One for each start: Lightning's CSV logger deletes what it finds, and a resumed run keeps its past."""
    names = itertools.chain(["logs"], (f"logs_{start}" for start in itertools.count(2)))
    return next(name for name in names if not (output / name).exists())


class _quiet(warnings.catch_warnings):
    """Lightning's hints on worker numbers and its own deprecations are not for the user of this command."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", module="torch")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")

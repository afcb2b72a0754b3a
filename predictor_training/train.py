"""`doselo train-predictor`: from an extended dataset to a frozen dose predictor."""

import itertools
import json
import logging
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from nnunet_doselo.case_names import patient_of
from nnunet_doselo.dataset_folder import ExtendedDataset
from nnunet_doselo.errors import DoseloError
from nnunet_doselo.patient import label_values
from nnunet_doselo.predictor.artifact import FILE_NAME, PredictorCard, load_predictor, save_predictor
from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings
from nnunet_doselo.versions import versions

from .cache import CachedCase, build_cache, data_hash, median_spacing, training_cases
from .losses import ERRORS
from .module import DosePredictorModule, moving_average
from .run_folder import SETTINGS_FILE, record_artifact
from .slices import RandomSlices, Sample, TargetCodes, whole_case
from .validate import validate

LAST = "last"
SLICES_FOLDER = "dose_predictor_slices"
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
VALIDATION_EVERY = 4
"""During training every n-th slice is validated; the exported predictor is validated on all."""


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run varies; written beside its checkpoints, and compared when it is resumed."""

    epochs: int = 200
    iterations_per_epoch: int = 250
    batch_size: int = 16
    learning_rate: float = 1e-3
    width: float = 1.0
    validation_fraction: float = 0.1
    patience: int = 50
    seed: int = 0
    precision: str = "auto"
    spacing_mm: tuple[float, float] | None = None
    error: str = "l1"
    dvh_weight: float = 0.0
    soft_masks: float = 0.2

    def check(self) -> None:
        """Raises DoseloError if a number is out of its range."""
        positive = ("epochs", "iterations_per_epoch", "batch_size", "learning_rate", "width", "patience")
        wrong = [name for name in positive if getattr(self, name) <= 0]
        if wrong or not 0 < self.validation_fraction < 1:
            raise DoseloError(f"{', '.join(positive)} must be positive and validation_fraction in (0, 1); found {self}")
        if self.precision not in PRECISIONS:
            raise DoseloError(f"precision must be one of {', '.join(PRECISIONS)}, found {self.precision}")
        if self.error not in ERRORS:
            raise DoseloError(f"error must be one of {', '.join(ERRORS)}, found {self.error}")
        if self.dvh_weight < 0 or not 0 <= self.soft_masks <= 1:
            raise DoseloError(f"dvh_weight must be 0 or more, and soft_masks a probability; found {self}")
        if self.spacing_mm is not None and min(self.spacing_mm) <= 0:
            raise DoseloError(f"spacing must be positive, found {self.spacing_mm} mm")


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before training starts."""

    settings: TrainingSettings
    dataset: ExtendedDataset
    training: list[str]
    validation: list[str]
    spacing_mm: tuple[float, float]
    network: NetworkSettings
    codes: TargetCodes

    def describe(self) -> dict[str, Any]:
        weights = sum(p.numel() for p in DosePredictor(self.network).parameters())
        return {
            "training cases": len(self.training),
            "validation cases": len(self.validation),
            "in-plane spacing (y, x), mm": self.spacing_mm,
            "organs": self.dataset.guidance.oars,
            "prescribed dose, Gy": self.dataset.guidance.target_gy,
            "channels": f"{self.network.first} then {self.network.second}, {weights / 1e6:.2f} million weights",
            "steps": self.settings.epochs * self.settings.iterations_per_epoch,
            "precision": precision(self.settings.precision),
        }


def make_plan(dataset: ExtendedDataset, settings: TrainingSettings) -> Plan:
    """Split the cases, choose the spacing and the network.

    Raises
    ------
    DoseloError: settings out of range, or the dataset cannot train a predictor.
    """
    settings.check()
    guidance = dataset.guidance
    cases = training_cases(dataset)
    training, validation = _split(cases, settings)
    values = label_values(dataset)
    return Plan(
        settings,
        dataset,
        training,
        validation,
        settings.spacing_mm or median_spacing(dataset, cases),
        NetworkSettings(tuple(guidance.organ_labels), guidance.prescription_gy).scaled(settings.width),
        TargetCodes.from_labels(values, guidance.target_fraction(values)),
    )


def _split(cases: list[str], settings: TrainingSettings) -> tuple[list[str], list[str]]:
    """Training and validation cases, both sorted; a patient and its variants are on the same side.

    Raises
    ------
    DoseloError: all cases show the same patient.
    """
    patients = sorted({patient_of(case) for case in cases})
    if len(patients) < 2:
        raise DoseloError(
            f"a dose predictor needs at least two patients, one of them for validation; all {len(cases)} training "
            f"cases are variants of {patients[0]}"
        )
    held_out = min(len(patients) - 1, max(1, round(settings.validation_fraction * len(patients))))
    validation = set(np.random.default_rng(settings.seed).permutation(patients)[:held_out].tolist())
    return (
        [case for case in cases if patient_of(case) not in validation],
        [case for case in cases if patient_of(case) in validation],
    )


def precision(wanted: str) -> str:
    """Lightning's name; "auto" is mixed precision on a GPU and 32 bit elsewhere."""
    if wanted != "auto":
        return wanted
    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def train(plan: Plan, output: Path, preprocessed: Path, *, processes: int, resume: bool = False) -> Path:
    """Train, export and validate; returns the artifact's path below `preprocessed`.

    Checkpoints, settings, logs, validation table and pictures go to `output`. A run that was stopped goes on with
    `resume`, and gives the run it would have been up to the order of random numbers in the loader's processes.

    Raises
    ------
    DoseloError: `output` holds another run, or nothing to resume; training diverged from the first epoch on.
    """
    last = _prepare_output(output, plan, resume)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    L.seed_everything(plan.settings.seed, workers=True, verbose=False)
    cases = [*plan.training, *plan.validation]
    cached = build_cache(plan.dataset, cases, plan.spacing_mm, preprocessed / SLICES_FOLDER, processes=processes)
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
            _training_loader(plan, [by_name[name] for name in plan.training], processes),
            _validation_loader(plan, [by_name[name] for name in plan.validation]),
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
    )
    draft = save_predictor(network, card, output / FILE_NAME)
    figures = validate(load_predictor(draft), plan.dataset, plan.validation, output)
    final = save_predictor(network, PredictorCard(**{**asdict(card), "validation": figures}), preprocessed / FILE_NAME)
    record_artifact(output, final)
    for file in (draft, draft.with_suffix(".safetensors")):
        file.unlink()
    return final


def _prepare_output(output: Path, plan: Plan, resume: bool) -> Path | None:
    record, last = output / SETTINGS_FILE, output / f"{LAST}.ckpt"
    wanted = json.loads(json.dumps({**asdict(plan.settings), "training": plan.training, "validation": plan.validation}))
    if resume and not (last.exists() and record.exists()):
        raise DoseloError(
            f"{output}: nothing to resume, {last.name} and {record.name} must be there; leave --resume away"
        )
    if resume and json.loads(record.read_text()) != wanted:
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


def _training_loader(plan: Plan, cases: list[CachedCase], processes: int) -> DataLoader[Sample]:
    length = plan.settings.iterations_per_epoch * plan.settings.batch_size
    slices = RandomSlices(cases, plan.codes, patch_size(cases), length, soft_masks=plan.settings.soft_masks)
    workers = min(processes, max(1, (os.cpu_count() or 1) - 1))
    return DataLoader(
        slices,
        plan.settings.batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        drop_last=True,
    )


class _WholeCases(torch.utils.data.Dataset[Sample]):
    def __init__(self, cases: list[CachedCase], codes: TargetCodes) -> None:
        self.cases, self.codes = cases, codes

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Sample:
        return whole_case(self.cases[index], self.codes, every=VALIDATION_EVERY)


def _validation_loader(plan: Plan, cases: list[CachedCase]) -> DataLoader[Sample]:
    return DataLoader(_WholeCases(cases, plan.codes), batch_size=None)


def patch_size(cases: list[CachedCase], multiple: int = 16) -> tuple[int, int]:
    """(y, x) in voxels that holds the largest slice of the training cases, rounded up."""
    planes = np.array([case.context().shape[2:] for case in cases])
    y, x = (int(-(-n // multiple) * multiple) for n in planes.max(axis=0))
    return y, x


class _quiet(warnings.catch_warnings):
    """Lightning's hints on worker numbers and its own deprecations are not for the user of this command."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", module="torch")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")

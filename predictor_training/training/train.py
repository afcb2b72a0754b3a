"""`doselo train-predictor`: from an extended dataset to a frozen dose predictor."""

from dataclasses import asdict, replace
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import json_values, read_json, write_json
from nnunet_doselo.common.versions import versions
from nnunet_doselo.predictor.artifact import FILE_NAME, FILE_NAME_3D, load_predictor, save_predictor
from nnunet_doselo.predictor.card import AXES, PredictorCard
from nnunet_doselo.predictor.network import DosePredictor

from ..data.cache import data_hash
from ..data.training_data import TrainingData
from .field_edge_fit import fit_field_edge
from .lightning_trainer import LAST, make_trainer, quiet
from .module import DosePredictorModule
from .plan import TrainingPlan
from .processes import check_processes, is_first_process
from .run_folder import SETTINGS_FILE, record_artifact
from .settings import TrainingSettings
from .validate import validate

FILE_NAMES = {2: FILE_NAME, 3: FILE_NAME_3D}


def train(
    plan: TrainingPlan,
    output: Path,
    preprocessed: Path,
    *,
    processes: int,
    resume: bool = False,
    devices: int = 1,
    num_nodes: int = 1,
) -> Path:
    """Train, export and validate; returns the artifact's path below `preprocessed`.

    Checkpoints, settings, logs, validation table and pictures go to `output`. A run that was stopped goes on with
    `resume` and gives the run it would have been: every sample depends on the seed and its number alone.

    devices: of each of `num_nodes`, one process each, which share every batch; a run may be resumed on other ones.
    Processes that neither torchrun nor Slurm has started Lightning starts, as copies of the running command. Only the
    first one exports and validates; in the others the artifact may not be there yet when this returns.

    Raises
    ------
    DoseloError: `output` holds another run, or nothing to resume; the batch cannot be shared out; there are not as many
    devices; training diverged from the first epoch on.
    """
    check_processes(devices, num_nodes, plan.settings.batch_size)
    last = _prepare_output(output, plan, resume)
    L.seed_everything(plan.settings.seed, workers=True, verbose=False)
    module = DosePredictorModule(
        plan.network,
        plan.settings.learning_rate,
        plan.settings.epochs * plan.settings.iterations_per_epoch,
        error=plan.settings.error,
        dvh_weight=plan.settings.dvh_weight,
    )
    data = TrainingData(plan, preprocessed, processes=processes, epoch=_next_epoch(last))
    best = ModelCheckpoint(output, "best", monitor="val_mae_gy", mode="min")
    with quiet():
        trainer = make_trainer(plan, output, best, devices, num_nodes)
        trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=False)
    if not trainer.is_global_zero:
        return preprocessed / FILE_NAMES[plan.settings.dim]
    if best.best_model_score is not None and not best.best_model_score.isfinite():
        raise DoseloError(f"{output}: the validation error was never a finite number; train with a lower learning rate")
    return export(plan, Path(best.best_model_path), output, preprocessed)


def export(plan: TrainingPlan, checkpoint: Path, output: Path, preprocessed: Path) -> Path:
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
        gantry_deg=plan.network.gantry_deg,
        augmentation=plan.domain,
    )
    name = FILE_NAMES[plan.settings.dim]
    draft = save_predictor(network, card, output / name)
    if plan.settings.dim == 2:
        edge = fit_field_edge(load_predictor(draft), plan.dataset, plan.validation)
        card = replace(card, field_edge_mm=(edge.margin_mm, edge.penumbra_mm) if edge else None)
        save_predictor(network, card, draft)
    figures = validate(load_predictor(draft), plan.dataset, plan.validation, output)
    final = save_predictor(network, replace(card, validation=figures), preprocessed / name)
    record_artifact(output, final)
    for file in (draft, draft.with_suffix(".safetensors")):
        file.unlink()
    return final


def _next_epoch(last: Path | None) -> int:
    """The one after the checkpoint's."""
    return 0 if last is None else torch.load(last, map_location="cpu", weights_only=True)["epoch"] + 1


def _prepare_output(output: Path, plan: TrainingPlan, resume: bool) -> Path | None:
    """The checkpoint to go on from; a setting that is younger than the run had its default.

    Every process looks, and finds the same; the first one writes.
    """
    record, last = output / SETTINGS_FILE, output / f"{LAST}.ckpt"
    wanted = json_values({**asdict(plan.settings), "training": plan.training, "validation": plan.validation})
    if resume and not (last.exists() and record.exists()):
        raise DoseloError(
            f"{output}: nothing to resume, {last.name} and {record.name} must be there; leave --resume away"
        )
    if resume and {**asdict(TrainingSettings()), **read_json(record, "doselo train-predictor")} != wanted:
        raise DoseloError(f"{record}: this run had other settings or cases; resume with the same, or start a new one")
    if last.exists() and not resume:
        raise DoseloError(f"{output}: holds a run already; pass --resume to go on with it, or --name for a new one")
    if is_first_process():
        write_json(record, wanted)
    return last if resume else None

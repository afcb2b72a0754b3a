"""A trained model for those without this package: the same weights under the name of nnU-Net's trainer."""

import codecs
import json
import os
import pickle
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json
from nnunet_doselo.common.nnunet_environment import (
    BEST_CHECKPOINT,
    BEST_DOSE_CHECKPOINT,
    FINAL_CHECKPOINT,
    STOCK_TRAINER,
)

EXPORTED = (FINAL_CHECKPOINT, BEST_CHECKPOINT, BEST_DOSE_CHECKPOINT)
NEEDED_FILES = ("plans.json", "dataset.json")
OPTIONAL_FILES = ("dataset_fingerprint.json",)
NEEDED_KEYS = ("network_weights", "trainer_name", "init_args")
SHOWN_WEIGHTS = 3

Shapes = dict[str, tuple[int, ...]]


def export_stock(model_folder: Path, destination: Path) -> Path:
    """Copy a model so that nnU-Net alone predicts with it; only `trainer_name` in its checkpoints changes.

    Reading a checkpoint can run code that its author hid in it, and nnU-Net lets it (`weights_only=False`).
    Here nothing is executed: `weights_only=True` makes tensors, numbers, text and containers and refuses the
    rest. So the copy cannot need a class of this package either. The network that plans.json names is built,
    as nnU-Net does, to see that the weights fit.

    Parameters
    ----------
    model_folder: TRAINER__PLANS__CONFIGURATION below nnUNet_results, with plans.json, dataset.json, fold_*.
    destination: like nnUNet_results, gets DatasetXXX_Name/nnUNetTrainer__PLANS__CONFIGURATION.

    Returns
    -------
    The folder of the copy. It appears whole or not at all.

    Raises
    ------
    DoseloError: the folder is no trained model, a checkpoint holds more than plain data or weights of another
        network than nnU-Net's trainer builds from the plans, or the copy is there already.
    """
    plans_name, configuration = _name_parts(model_folder)
    checkpoints = _find_checkpoints(model_folder)
    plans, dataset_json = (read_json(model_folder / name, "nnUNetv2_train") for name in NEEDED_FILES)
    exported = destination / _dataset_name(plans) / f"{STOCK_TRAINER}__{plans_name}__{configuration}"
    if exported.exists():
        raise DoseloError(f"{exported}: exists already; remove it or choose another destination")
    expected = _stock_shapes(plans, dataset_json, configuration)
    destination.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=destination, prefix=".export-") as temporary:
        copy = Path(temporary) / exported.name
        copy.mkdir()
        for name in (*NEEDED_FILES, *OPTIONAL_FILES):
            if (model_folder / name).exists():
                shutil.copy2(model_folder / name, copy / name)
        for checkpoint in checkpoints:
            _export_checkpoint(checkpoint, copy / checkpoint.relative_to(model_folder), expected)
        exported.parent.mkdir(exist_ok=True)
        os.replace(copy, exported)
    return exported


def _name_parts(model_folder: Path) -> tuple[str, str]:
    """Plans and configuration, from the folder's name."""
    parts = model_folder.resolve().name.split("__")
    if len(parts) != 3:
        raise DoseloError(
            f"{model_folder}: a trained model is a folder TRAINER__PLANS__CONFIGURATION below nnUNet_results"
        )
    return parts[1], parts[2]


def _dataset_name(plans: dict[str, Any]) -> str:
    """Becomes a folder's name, so it must not lead elsewhere."""
    name = str(plans.get("dataset_name"))
    if not re.fullmatch(r"Dataset\d{3}_[\w.+-]+", name):
        raise DoseloError(f"plans.json: dataset_name must be like Dataset501_GBM, found {name}")
    return name


def _find_checkpoints(model_folder: Path) -> list[Path]:
    checkpoints = [file for name in EXPORTED for file in sorted(model_folder.glob(f"fold_*/{name}"))]
    missing = [name for name in NEEDED_FILES if not (model_folder / name).is_file()]
    if missing or not checkpoints:
        what = missing or [f"fold_*/{name}" for name in EXPORTED]
        raise DoseloError(f"{model_folder}: is no trained model, found no {' and no '.join(what)}")
    return checkpoints


def _stock_shapes(plans: dict[str, Any], dataset_json: dict[str, Any], configuration: str) -> Shapes:
    """Names and shapes of the weights that a stock installation will ask for."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    if configuration not in manager.available_configurations:
        known = manager.available_configurations
        raise DoseloError(f"plans.json has no configuration {configuration}: {known}")
    settings = manager.get_configuration(configuration)
    if "nnunet_doselo" in json.dumps(settings.configuration):
        raise DoseloError(f"configuration {configuration} of plans.json names parts of nnunet_doselo")
    heads = manager.get_label_manager(dataset_json).num_segmentation_heads
    channels = determine_num_input_channels(manager, settings, dataset_json)
    with torch.device("meta"):  # shapes without memory
        network = nnUNetTrainer.build_network_architecture(manager, settings, channels, heads, False)
    return _shapes(network.state_dict())


def _shapes(weights: Mapping[str, Any]) -> Shapes:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def _export_checkpoint(source: Path, copy: Path, expected: Shapes) -> None:
    import torch

    checkpoint = _read_checkpoint(source)
    trained = _shapes(checkpoint["network_weights"])
    if trained != expected:
        differ = sorted({name for name, _ in trained.items() ^ expected.items()})
        raise DoseloError(
            f"{source}: {checkpoint['trainer_name']} trained another network than {STOCK_TRAINER} builds, "
            f"{len(differ)} weights differ: {', '.join(differ[:SHOWN_WEIGHTS])}"
        )
    copy.parent.mkdir(exist_ok=True)
    torch.save({**checkpoint, "trainer_name": STOCK_TRAINER}, copy)


def _read_checkpoint(file: Path) -> dict[str, Any]:
    """Nothing in the file is executed."""
    import torch

    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"holds {refused[1]}, more than weights, numbers and text" if refused else "is damaged"
        raise DoseloError(f"{file}: {reason}") from error
    there = checkpoint if isinstance(checkpoint, dict) else {}
    missing = [key for key in NEEDED_KEYS if key not in there]
    if missing:
        raise DoseloError(f"{file}: is no checkpoint of nnU-Net, missing {missing}")
    return checkpoint


def _numpy_scalars() -> list[Any]:
    """What unpickles NumPy's numbers, as nnU-Net logs them; numpy 1 and 2 call the function differently."""
    make_scalar = np.float64(0).__reduce__()[0]
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    types = [type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64", "bool")]
    return [*((make_scalar, name) for name in names), np.dtype, *types, codecs.encode]

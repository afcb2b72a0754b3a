"""Tiny extended datasets, planned and preprocessed by nnU-Net in this process: every kind of label and of grid."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
    nnUNetPlannerResEncM,
)
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from scipy.ndimage import binary_erosion

from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset_conversion.cases.writer import Case, DatasetWriter

CASES = 3
EIGHT_GB = 8.0
FEATURES = [4, 8, 8, 8, 8, 8, 8]
INTENSITIES = {"mean": 40.0, "std": 200.0, "percentile_00_5": -1000.0, "percentile_99_5": 900.0}


@dataclass(frozen=True)
class Labels:
    """labels and regions_class_order of dataset.json, what was prescribed, and the value of ignored voxels."""

    labels: dict[str, Any]
    target_gy: dict[str, float]
    ignored: int | None = None
    order: tuple[int, ...] = ()

    def map(self, seed: int, shape: tuple[int, ...]) -> np.ndarray:
        """The phantom's target in shells, the highest label inside; its last rows in y ignored, if there is a label."""
        mask = phantoms.target(seed, shape)
        levels = max(np.max(value) for name, value in self.labels.items() if name != "ignore")
        labels = mask.astype(np.uint8)
        for _ in range(levels - 1):
            mask = binary_erosion(mask)
            labels += mask
        if self.ignored is not None:
            labels[:, shape[1] // 2 :] = self.ignored
        return labels


PLAIN = Labels({"background": 0, "GTV": 1}, {"GTV": 60.0})
IGNORE = Labels({"background": 0, "GTV": 1, "ignore": 2}, {"GTV": 60.0}, ignored=2)
# the file's order is not that of the values, and one label is no target
THREE = Labels({"background": 0, "PTV70": 3, "PTV56": 1, "Cavity": 2}, {"PTV70": 70.0, "PTV56": 56.0})
SHELLS = {"background": 0, "PTV56": [1, 2], "PTV70": [2]}
REGIONS = Labels(SHELLS, {"PTV56": 56.0, "PTV70": 70.0}, order=(1, 2))
REGIONS_IGNORE = Labels({**SHELLS, "ignore": 3}, {"PTV56": 56.0, "PTV70": 70.0}, ignored=3, order=(1, 2))


@dataclass(frozen=True)
class Planned:
    """A dataset and how it is planned; `memory_gb` small enough makes nnU-Net plan a cascade (without ResEnc plans)."""

    name: str
    labels: Labels = PLAIN
    shape: tuple[int, ...] = phantoms.SHAPE
    spacing_mm: tuple[float, ...] = phantoms.SPACING_MM
    memory_gb: float = EIGHT_GB
    configurations: Sequence[str] = field(default=("2d", "3d_fullres"))

    @property
    def guidance(self) -> DoseGuidance:
        return DoseGuidance(self.labels.target_gy, phantoms.OARS)


def make_planned(root: Path, planned: Planned) -> Path:
    """Write, plan and preprocess below nnU-Net's folders, which must be set; the dataset's preprocessed folder."""
    raw, preprocessed = root / "raw" / planned.name, root / "preprocessed" / planned.name
    preprocessed.mkdir(parents=True)
    _write(raw, planned)
    _fingerprint(preprocessed, planned)
    ExperimentPlanner(planned.name, gpu_memory_target_in_gb=planned.memory_gb).plan_experiment()
    if planned.memory_gb == EIGHT_GB:  # what that planner was made for
        nnUNetPlannerResEncM(planned.name).plan_experiment()
    for plans in preprocessed.glob("*Plans.json"):
        _narrow(plans)
    for configuration in planned.configurations:
        _preprocess(raw, preprocessed, configuration)
    shutil.copytree(raw / "labelsTr", preprocessed / "gt_segmentations")
    cases = [_case(n) for n in range(CASES)]
    _dump(preprocessed / "splits_final.json", [{"train": cases[:-1], "val": cases[-1:]}])
    return preprocessed


def _case(number: int) -> str:
    return f"Phantom_{number:03d}"


def _write(folder: Path, planned: Planned) -> None:
    writer = DatasetWriter(folder)
    writer.begin({"converter": "test"})
    for number in range(CASES):
        shape = planned.shape
        labels, ct_hu = planned.labels.map(number, shape), phantoms.head_ct(shape)
        grid = phantoms.grid_for(shape, planned.spacing_mm)
        writer.write(Case(_case(number), grid, (None,), labels, ct_hu, phantoms.organ_labels(shape), None))
    writer.finish(["CT"], planned.labels.labels, planned.guidance)
    content = json.loads((folder / "dataset.json").read_text())
    order = {"regions_class_order": list(planned.labels.order)} if planned.labels.order else {}
    _dump(folder / "dataset.json", {**content, **order})


def _fingerprint(folder: Path, planned: Planned) -> None:
    """As nnU-Net would extract it, but for the intensities: all patients have the same grid."""
    intensities = {"0": {**INTENSITIES, "median": 40.0, "min": -1000.0, "max": 900.0}}
    content = {
        "spacings": [list(planned.spacing_mm)] * CASES,
        "shapes_after_crop": [list(planned.shape)] * CASES,
        "foreground_intensity_properties_per_channel": intensities,
        "median_relative_size_after_cropping": 1.0,
    }
    _dump(folder / "dataset_fingerprint.json", content)


def _narrow(plans_file: Path) -> None:
    """Fewer features and two images a batch: what is left takes milliseconds a step."""
    plans = json.loads(plans_file.read_text())
    for configuration in plans["configurations"].values():
        if "architecture" in configuration:
            arguments = configuration["architecture"]["arch_kwargs"]
            arguments["features_per_stage"] = FEATURES[: arguments["n_stages"]]
            configuration["batch_size"] = 2
    _dump(plans_file, plans)


def _preprocess(raw: Path, folder: Path, configuration: str) -> None:
    plans = PlansManager(json.loads((folder / "nnUNetPlans.json").read_text()))
    manager = plans.get_configuration(configuration)
    output = folder / manager.data_identifier
    output.mkdir()
    dataset_json = json.loads((raw / "dataset.json").read_text())
    preprocessor = DefaultPreprocessor(verbose=False)
    for number in range(CASES):
        case = _case(number)
        images, labels = [str(raw / "imagesTr" / f"{case}_0000.nii.gz")], str(raw / "labelsTr" / f"{case}.nii.gz")
        preprocessor.run_case_save(str(output / case), images, labels, plans, manager, dataset_json)


def _dump(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=1))

"""What the steps of `step_cost.py` train on: a plan, made here or a dataset's own, and one batch that never changes."""

import copy
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nnunet_doselo.dataset.folder import environment_folder
from nnunet_doselo.dataset.geometry import AIR_HU

RESULTS = "nnUNet_results"
NAME = "Dataset999_StepCost"
FEATURES = (32, 64, 128, 256, 512, 512, 512)
"""nnU-Net's own of a 2d plan for 256 x 256."""
SMALLEST = 4
"""Voxels along each axis, down to which nnU-Net halves slices."""
ORGANS = {f"Organ{number}": number for number in range(1, 8)}


@dataclass(frozen=True)
class Task:
    """A plan of nnU-Net's and its dataset.json; `empty` is the share of slices without target in the batch."""

    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    configuration: str = "2d"
    empty: float = 1 / 3

    @property
    def planned(self) -> dict[str, Any]:
        own = self.plans["configurations"][self.configuration]
        return {**self.plans["configurations"].get(own.get("inherits_from", ""), {}), **own}

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.planned["patch_size"])

    @property
    def batch_size(self) -> int:
        return self.planned["batch_size"]

    def trainer(self, cls: type, device: str) -> Any:
        """An initialised trainer; its learning rate is 0, so that every step is the same step."""
        plans = {**copy.deepcopy(self.plans), "continue_training": False}
        trainer = cls(plans, self.configuration, 0, self.dataset_json, torch.device(device))
        trainer.initialize()
        for group in trainer.optimizer.param_groups:
            group["lr"] = 0.0
        trainer.network.train()
        return trainer

    def batch(self, scales: list[list[float]], context: bool) -> dict[str, Any]:
        """As nnU-Net's loader gives it: image (with CT and organs if asked), truth at every scale of the loss."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch_size, 1, *self.size)
        image = torch.randn(self.batch_size, len(self.dataset_json["channel_names"]), *self.size, generator=generator)
        truth = torch.zeros(shape, dtype=torch.int16)
        y, x = self.size
        truth[round(self.empty * self.batch_size) :, :, y // 3 : y // 2, x // 3 : x // 2] = 1
        if context:
            organs = torch.randint(0, len(ORGANS) + 1, shape, generator=generator)
            image = torch.cat([image, torch.zeros(shape) - AIR_HU, organs], dim=1)  # water everywhere
        steps = [[round(1 / scale) for scale in axes] for axes in scales]
        targets = [truth[..., ::step_y, ::step_x].contiguous() for step_y, step_x in steps]
        return {"data": _pinned(image), "target": [_pinned(target) for target in targets]}


def planned_for(size: int, batch_size: int, features: tuple[int, ...] = FEATURES, empty: float = 1 / 3) -> Task:
    """nnU-Net's 2d network for square slices, in temporary folders that it then takes for its own."""
    _own_folders()
    stages = min(len(features), (size // SMALLEST).bit_length())
    arguments = {
        "n_stages": stages,
        "features_per_stage": list(features[:stages]),
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * stages,
        "strides": [[1, 1]] + [[2, 2]] * (stages - 1),
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "batch_size": batch_size,
        "patch_size": [size, size],
        "spacing": [1.0, 1.0],
        "batch_dice": True,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": arguments,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    plans = {"dataset_name": NAME, "plans_name": "nnUNetPlans", "configurations": {"2d": configuration}}
    return Task(plans | {"label_manager": "LabelManager", "transpose_forward": [0, 1, 2]}, _dataset_json(), empty=empty)


def planned_by(dataset: int, plans_name: str, configuration: str, batch_size: int | None, empty: float) -> Task:
    """A planned and preprocessed dataset's own configuration; only results go to a temporary folder."""
    (folder,) = environment_folder("nnUNet_preprocessed").glob(f"Dataset{dataset:03d}_*")
    os.environ[RESULTS] = tempfile.mkdtemp()
    plans = json.loads((folder / f"{plans_name}.json").read_text())
    if batch_size is not None:
        plans["configurations"][configuration]["batch_size"] = batch_size
    return Task(plans, json.loads((folder / "dataset.json").read_text()), configuration, empty)


def _own_folders() -> None:
    """nnU-Net reads its variables when it is imported, and a file's ending to tell how data are stored."""
    root = Path(tempfile.mkdtemp())
    for kind in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{kind}"] = str(root / kind)
    preprocessed = root / "preprocessed" / NAME / "nnUNetPlans_2d"
    preprocessed.mkdir(parents=True)
    (preprocessed / "case.b2nd").touch()


def _dataset_json() -> dict[str, Any]:
    return {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "GTV": 1},
        "file_ending": ".nii.gz",
        "dose_guidance": {"target_gy": {"GTV": 60.0}, "oars": ORGANS},
    }


def _pinned(x: Tensor) -> Tensor:
    return x.pin_memory() if torch.cuda.is_available() else x

"""A tiny network in nnU-Net's own folder layout; the copy is read by nnU-Net itself."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.trainer.export_stock import export_stock

CONFIGURATION = {
    "data_identifier": "nnUNetPlans_2d",
    "patch_size": [16, 16],
    "spacing": [3.0, 3.0],
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 2,
            "features_per_stage": [2, 4],
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3], [3, 3]],
            "strides": [[1, 1], [2, 2]],
            "n_conv_per_stage": [1, 1],
            "n_conv_per_stage_decoder": [1],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    },
}
PLANS = {
    "dataset_name": "Dataset501_GBM",
    "plans_name": "nnUNetPlans",
    "configurations": {"2d": CONFIGURATION},
    "experiment_planner_used": "ExperimentPlanner",
    "label_manager": "LabelManager",
}
DATASET_JSON = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "GTV": 1}, "file_ending": ".nii.gz"}
COPY = "Dataset501_GBM/nnUNetTrainer__nnUNetPlans__2d"


class Secret:
    """Not a part of nnU-Net: whoever unpickles it needs this module."""


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    torch.manual_seed(seed)
    manager = PlansManager(PLANS)
    settings = manager.get_configuration("2d")
    return nnUNetTrainer.build_network_architecture(manager, settings, 1, 2, True).state_dict()


def checkpoint(seed: int = 0, **changes: Any) -> dict[str, Any]:
    """As `nnUNetTrainer.save_checkpoint` writes it, with what this package adds."""
    return {
        "network_weights": OrderedDict(weights(seed)),
        "optimizer_state": {
            "state": {0: {"momentum_buffer": torch.zeros(2)}},
            "param_groups": [{"lr": 0.01}],
        },
        "grad_scaler_state": None,
        "logging": {
            "mean_fg_dice": [np.float64(0.5)],
            "ema_fg_dice": [np.float32(0.5)],
            "train_dose_term": [0.1],
        },
        "_best_ema": np.float64(0.5),
        "current_epoch": 7,
        "init_args": {
            "plans": PLANS,
            "configuration": "2d",
            "fold": 0,
            "dataset_json": DATASET_JSON,
            "device": torch.device("cpu"),
            "dose_predictor_sha256": "0" * 64,
        },
        "trainer_name": "nnUNetTrainerDOSELO_lambda0p1",
        "inference_allowed_mirroring_axes": (0, 1),
    } | changes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "Dataset501_GBM" / "nnUNetTrainerDOSELO_lambda0p1__nnUNetPlans__2d"
    for fold in (0, 1):
        (folder / f"fold_{fold}" / "validation").mkdir(parents=True)
        torch.save(checkpoint(fold), folder / f"fold_{fold}" / "checkpoint_final.pth")
    torch.save(checkpoint(2), folder / "fold_0" / "checkpoint_best.pth")
    torch.save(checkpoint(3), folder / "fold_1" / "checkpoint_best_dose.pth")
    (folder / "plans.json").write_text(json.dumps(PLANS))
    (folder / "dataset.json").write_text(json.dumps(DATASET_JSON))
    return folder


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def test_the_copy_is_a_model_of_nnunets_own_trainer(model: Path, tmp_path: Path) -> None:
    exported = export_stock(model, tmp_path / "out")
    assert exported == tmp_path / "out" / COPY
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"Dataset501_GBM"}
    assert files(exported) == {
        "plans.json",
        "dataset.json",
        "fold_0",
        "fold_0/checkpoint_final.pth",
        "fold_0/checkpoint_best.pth",
        "fold_1",
        "fold_1/checkpoint_final.pth",
        "fold_1/checkpoint_best_dose.pth",
    }


def test_nothing_but_the_trainers_name_changes(model: Path, tmp_path: Path) -> None:
    exported = export_stock(model, tmp_path / "out")
    before, after = (
        torch.load(folder / "fold_1" / "checkpoint_final.pth", weights_only=False) for folder in (model, exported)
    )
    assert before.pop("trainer_name") == "nnUNetTrainerDOSELO_lambda0p1"
    assert after.pop("trainer_name") == "nnUNetTrainer"
    old, new = before.pop("network_weights"), after.pop("network_weights")
    assert list(old) == list(new)
    assert all(torch.equal(old[name], new[name]) for name in old)
    torch.testing.assert_close(before.pop("optimizer_state"), after.pop("optimizer_state"))
    assert before == after


def test_stock_nnunet_loads_the_copy_without_our_trainers(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False)
    predictor.initialize_from_trained_model_folder(str(export_stock(model, tmp_path / "out")), ("0", "1"))
    assert predictor.trainer_name == "nnUNetTrainer"
    assert predictor.allowed_mirroring_axes == (0, 1)
    assert len(predictor.list_of_parameters) == 2


def test_the_fingerprint_comes_along_where_there_is_one(model: Path, tmp_path: Path) -> None:
    (model / "dataset_fingerprint.json").write_text("{}")
    assert (export_stock(model, tmp_path / "out") / "dataset_fingerprint.json").read_text() == "{}"


def test_a_copy_is_never_overwritten_but_another_configuration_joins_it(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / COPY).mkdir(parents=True)
    with pytest.raises(DoseloError, match=r"nnUNetTrainer__nnUNetPlans__2d: exists already"):
        export_stock(model, tmp_path / "out")
    assert files(tmp_path / "out" / COPY) == set()
    (tmp_path / "out" / COPY).rename(tmp_path / "out" / "Dataset501_GBM" / "nnUNetTrainer__nnUNetPlans__3d")
    assert export_stock(model, tmp_path / "out").is_dir()


@pytest.mark.parametrize("lost", ["plans.json", "dataset.json", "fold_*"])
def test_a_folder_without_plans_or_checkpoints_is_no_model(model: Path, tmp_path: Path, lost: str) -> None:
    for path in [*model.glob(lost), *model.glob(f"{lost}/*.pth")]:
        if path.is_file():
            path.unlink()
    with pytest.raises(DoseloError, match=rf"is no trained model, found no {lost}".replace("*", r"\*")):
        export_stock(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [None, "GBM", "Dataset501_../../elsewhere"])
def test_a_dataset_name_that_leads_elsewhere_is_refused(model: Path, tmp_path: Path, name: str | None) -> None:
    (model / "plans.json").write_text(json.dumps(PLANS | {"dataset_name": name}))
    with pytest.raises(DoseloError, match="dataset_name must be like Dataset501_GBM"):
        export_stock(model, tmp_path / "out")


def test_a_folder_of_another_name_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match="TRAINER__PLANS__CONFIGURATION below nnUNet_results"):
        export_stock(tmp_path, tmp_path / "out")


def test_a_checkpoint_is_not_executed(model: Path, tmp_path: Path) -> None:
    """A class that only this test module has: nnU-Net would import and make it."""
    torch.save(checkpoint(extra=Secret()), model / "fold_1" / "checkpoint_final.pth")
    with pytest.raises(DoseloError, match=r"fold_1/checkpoint_final\.pth: holds .*Secret, more than"):
        export_stock(model, tmp_path / "out")
    assert files(tmp_path / "out") == set()


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_damaged_checkpoint_is_one_clear_error_and_leaves_nothing(
    model: Path, tmp_path: Path, content: bytes
) -> None:
    (model / "fold_1" / "checkpoint_final.pth").write_bytes(content)
    with pytest.raises(DoseloError, match=r"fold_1/checkpoint_final\.pth: is damaged"):
        export_stock(model, tmp_path / "out")
    assert files(tmp_path / "out") == set()


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        ({"network_weights": {}}, r"\['trainer_name', 'init_args'\]"),
        (torch.zeros(2), r"\['network_weights'.*"),
    ],
)
def test_a_file_of_other_content_is_no_checkpoint(model: Path, tmp_path: Path, content: Any, missing: str) -> None:
    torch.save(content, model / "fold_0" / "checkpoint_best.pth")
    with pytest.raises(DoseloError, match=rf"is no checkpoint of nnU-Net, missing {missing}"):
        export_stock(model, tmp_path / "out")


def test_another_network_than_the_plans_say_cannot_be_exported(model: Path, tmp_path: Path) -> None:
    changed = checkpoint()
    changed["network_weights"]["encoder.extra.weight"] = torch.zeros(1)
    torch.save(changed, model / "fold_0" / "checkpoint_best.pth")
    with pytest.raises(DoseloError, match=r"1 weights differ: encoder\.extra\.weight"):
        export_stock(model, tmp_path / "out")


def test_plans_that_name_this_package_cannot_be_exported(model: Path, tmp_path: Path) -> None:
    ours = CONFIGURATION | {"resampling_fn_data": "nnunet_doselo.resampling.resample"}
    (model / "plans.json").write_text(json.dumps(PLANS | {"configurations": {"2d": ours}}))
    with pytest.raises(DoseloError, match="names parts of nnunet_doselo"):
        export_stock(model, tmp_path / "out")


def test_a_configuration_that_the_plans_lack_is_refused(model: Path, tmp_path: Path) -> None:
    renamed = model.rename(model.with_name("nnUNetTrainerDOSELO__nnUNetPlans__3d_fullres"))
    with pytest.raises(DoseloError, match=r"no configuration 3d_fullres: \['2d'\]"):
        export_stock(renamed, tmp_path / "out")

"""The small configuration: as nnU-Net plans it, but for features, batch and fold."""

import json
from pathlib import Path

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.demo.small_plans import main as small_plans


def test_small_plans_keep_all_but_features_and_batch(tmp_path: Path) -> None:
    arguments = {"n_stages": 3, "features_per_stage": [32, 64, 128], "strides": [1, 2, 2]}
    as_planned = {"batch_size": 99, "patch_size": [48, 40], "architecture": {"class": "U", "arch_kwargs": arguments}}
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps({"configurations": {"2d": as_planned}}))
    for name in ("c", "a", "b"):
        (tmp_path / "gt_segmentations").mkdir(exist_ok=True)
        (tmp_path / "gt_segmentations" / f"{name}.nii.gz").touch()
    small_plans([str(tmp_path), "--features", "4,8,16,32", "--batch-size", "6", "--validation-cases", "1"])
    configurations = json.loads((tmp_path / "nnUNetPlans.json").read_text())["configurations"]
    assert configurations["2d"] == as_planned
    narrow = {"n_stages": 3, "features_per_stage": [4, 8, 16], "strides": [1, 2, 2]}
    assert configurations["2d_small"] == {
        "inherits_from": "2d",
        "batch_size": 6,
        "architecture": {"class": "U", "arch_kwargs": narrow},
    }
    assert json.loads((tmp_path / "splits_final.json").read_text()) == [{"train": ["a", "b"], "val": ["c"]}]


def test_plans_that_were_cut_short_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "nnUNetPlans.json").write_text('{"configurations": {"2d"')
    with pytest.raises(DoseloError, match=r"nnUNetPlans\.json: not valid JSON"):
        small_plans([str(tmp_path), "--features", "4", "--batch-size", "6", "--validation-cases", "1"])

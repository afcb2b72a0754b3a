"""A small nnU-Net configuration, so that two cores train in minutes what nnU-Net plans for a GPU and a day.

    python -m nnunet_doselo.demo.small_plans PREPROCESSED --features 16,32,64 --batch-size 12 --validation-cases 2

adds `2d_small`, which inherits from `2d`, to nnUNetPlans.json, and writes splits_final.json with one fold.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunet_doselo.common.files import read_json, write_json

CONFIGURATION = "2d_small"


def add_small_configuration(plans_file: Path, features: Sequence[int], batch_size: int) -> None:
    """Fewer features and a smaller batch; everything else is as planned for 2d. `features` is cut to its stages."""
    plans = read_json(plans_file, "nnUNetv2_plan_and_preprocess")
    architecture = plans["configurations"]["2d"]["architecture"]
    arguments = architecture["arch_kwargs"]
    narrow = {**arguments, "features_per_stage": list(features[: arguments["n_stages"]])}
    plans["configurations"][CONFIGURATION] = {
        "inherits_from": "2d",
        "batch_size": batch_size,
        "architecture": {**architecture, "arch_kwargs": narrow},
    }
    write_json(plans_file, plans, indent=4)


def ground_truth_cases(preprocessed: Path) -> list[str]:
    """Training cases, sorted, as nnU-Net's own copies of the ground truth have them."""
    return sorted(file.name.split(".")[0] for file in (preprocessed / "gt_segmentations").iterdir())


def write_one_fold(preprocessed: Path, validation_cases: int) -> None:
    """The last cases are kept for validation."""
    cases = ground_truth_cases(preprocessed)
    write_folds(preprocessed, [{"train": cases[:-validation_cases], "val": cases[-validation_cases:]}])


def write_folds(preprocessed: Path, folds: Sequence[Mapping[str, Sequence[str]]]) -> None:
    """nnU-Net's splits_final.json: cases by "train" and "val", fold by fold."""
    write_json(preprocessed / "splits_final.json", folds, indent=4)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preprocessed", type=Path, help="the dataset's folder below nnUNet_preprocessed")
    parser.add_argument("--features", required=True, help="one number a stage, separated by commas")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--validation-cases", type=int, required=True)
    given = parser.parse_args(arguments)
    features = [int(number) for number in given.features.split(",")]
    add_small_configuration(given.preprocessed / "nnUNetPlans.json", features, given.batch_size)
    write_one_fold(given.preprocessed, given.validation_cases)


if __name__ == "__main__":
    main()

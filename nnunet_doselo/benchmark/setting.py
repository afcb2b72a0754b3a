"""What is compared, on which data, and where everything lies: found once, then the same for every job."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.nnunet_environment import PREPROCESSED, RESULTS
from nnunet_doselo.dataset.folder import ExtendedDataset, environment_folder, raw_dataset
from nnunet_doselo.dataset.guidance import DOSE_GUIDANCE
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.evaluation.result_files import COMPARED_BY, EVALUATIONS, NOISE_FLOOR, REFERENCE
from nnunet_doselo.planning.interface import ENGINES
from nnunet_doselo.predictor.spatial_domain import SpatialDomain

from .names import length_of, require_one_length, require_seedable
from .training_inputs import PREPROCESSED_BY, Inputs, hash_inputs, plans_of, preprocessed_cases

NNUNETS_SEED, NNUNETS_FOLDS = 12345, 5


@dataclass(frozen=True)
class Asked:
    """The command line. `trainers`: with those that lambdas add. `split`: Ts, Tr or auto."""

    dataset: str
    configuration: str
    trainers: tuple[str, ...]
    folds: tuple[int, ...]
    baseline: str = ""
    split: str = "auto"
    engine: str = "fluence"
    plans: str = "nnUNetPlans"
    seeds: tuple[int, ...] = (0,)
    device: str = "cuda"

    @property
    def runs(self) -> list[FoldSeed]:
        """What every trainer is trained on; one seed is not told apart, so that its trainings are nnU-Net's own."""
        several = len(self.seeds) > 1
        return [FoldSeed(fold, seed if several else None) for seed in self.seeds for fold in self.folds]

    def seed_of(self, run: FoldSeed) -> int:
        return self.seeds[0] if run.seed is None else run.seed


@dataclass(frozen=True)
class Benchmark:
    """Everything that jobs need to know; can be sent to other machines.

    cases: that each fold is scored on. validation: each fold's own cases, as in splits_final.json.
    preprocessed, results: the dataset's folders there.
    dim: 2 for a configuration of slices, 3 for one of volumes. nnunets_domain: nnU-Net's own augmentation of it.
    predictor_sha256, predictor_domain: of the dose predictor that the dataset uses; None if it has none.
    """

    asked: Asked
    dataset: ExtendedDataset
    split: str
    cases: dict[int, tuple[str, ...]]
    validation: dict[int, tuple[str, ...]]
    folder: Path
    preprocessed: Path
    results: Path
    inputs: Inputs
    dim: int
    nnunets_domain: SpatialDomain
    predictor_sha256: str | None = None
    predictor_domain: SpatialDomain | None = None

    @property
    def all_cases(self) -> list[str]:
        return sorted({case for cases in self.cases.values() for case in cases})

    @property
    def reference(self) -> Path:
        """Plans of the true contours."""
        return self.folder / REFERENCE

    @property
    def noise_floor(self) -> Path:
        """Evaluation of the true contours, planned a second time."""
        return self.folder / NOISE_FLOOR

    def evaluation(self, trainer: str, run: FoldSeed) -> Path:
        return self.folder / EVALUATIONS / trainer / run.folder_name

    def training(self, trainer: str, run: FoldSeed) -> Path:
        """nnU-Net's folder of one fold, in that of the trainer with this seed."""
        asked = self.asked
        return self.results / f"{seeded(trainer, run)}__{asked.plans}__{asked.configuration}" / f"fold_{run.fold}"


def seeded(trainer: str, run: FoldSeed) -> str:
    """What nnU-Net is asked for.

    >>> seeded("nnUNetTrainerBCE", FoldSeed(0, 2)), seeded("nnUNetTrainerBCE", FoldSeed(0))
    ('nnUNetTrainerBCE_seed2', 'nnUNetTrainerBCE')
    """
    return trainer if run.seed is None else f"{trainer}_seed{run.seed}"


def find_benchmark(asked: Asked, folder: Path) -> Benchmark:
    """Look everything up, and hash what networks are trained and scored on.

    Writes splits_final.json as nnU-Net would if there is none: trainings that start side by side must not each do so.

    Raises
    ------
    DoseloError: something that is needed is not there or does not fit; trainers of different length.
    """
    from nnunet_doselo.trainer.domain import nnunets_own

    _require_sensible(asked)
    dataset = raw_dataset(asked.dataset)
    preprocessed = environment_folder(PREPROCESSED).resolve() / dataset.folder.name
    dataset = ExtendedDataset(dataset.folder.resolve())
    plans = _plans(preprocessed, asked)
    _require_same_declarations(dataset, preprocessed)
    splits = _splits(preprocessed, preprocessed / plans["configuration"]["data_identifier"], asked.folds)
    split = _split(dataset, asked.split)
    cases = {fold: _cases(dataset, split, splits[fold]["val"]) for fold in asked.folds}
    return Benchmark(
        asked,
        dataset,
        split,
        cases,
        {fold: tuple(sorted(splits[fold]["val"])) for fold in asked.folds},
        folder.resolve(),
        preprocessed,
        environment_folder(RESULTS).resolve() / dataset.folder.name,
        hash_inputs(dataset, preprocessed, plans, {fold: splits[fold] for fold in asked.folds}, cases, split),
        len(plans["configuration"]["patch_size"]),
        nnunets_own(plans["configuration"]["patch_size"], plans["transpose_forward"]),
    )


def _require_sensible(asked: Asked) -> None:
    if asked.baseline not in asked.trainers:
        raise DoseloError(f"--baseline must be one of {', '.join(asked.trainers)}, found {asked.baseline}")
    if asked.split not in ("auto", "Ts", "Tr"):
        raise DoseloError(f"--split must be Ts, Tr or auto, found {asked.split}")
    if asked.engine not in ENGINES:
        raise DoseloError(f"--engine must be one of {', '.join(ENGINES)}, found {asked.engine}")
    require_seedable(asked.trainers, several_seeds=len(asked.seeds) > 1)
    require_one_length({trainer: length_of(trainer) for trainer in asked.trainers})


def _plans(preprocessed: Path, asked: Asked) -> dict[str, Any]:
    file = preprocessed / f"{asked.plans}.json"
    if not file.exists():
        number = preprocessed.name[7:10]
        raise DoseloError(
            f"{file}: no such file; plan and preprocess first: nnUNetv2_plan_and_preprocess -d {number} "
            f"-c {asked.configuration}"
        )
    return plans_of(read_json(file, PREPROCESSED_BY, keys=["configurations"]), asked.configuration, str(file))


def _require_same_declarations(dataset: ExtendedDataset, preprocessed: Path) -> None:
    """Networks are trained with nnU-Net's copy of dataset.json, and scored with the original."""
    original, copy = (_declarations(declared) for declared in (dataset, ExtendedDataset(preprocessed)))
    for key, needed in original.items():
        if copy[key] != needed:
            raise DoseloError(
                f"{preprocessed / 'dataset.json'}: {key} must be as in the dataset, {needed}, found {copy[key]}; copy "
                "the dataset's dataset.json there, or plan and preprocess again"
            )


def _declarations(dataset: ExtendedDataset) -> dict[str, Any]:
    plain = {key: dataset.dataset_json[key] for key in ("labels", "channel_names")}
    return {**plain, DOSE_GUIDANCE: dataset.guidance.to_json()}


def _split(dataset: ExtendedDataset, asked: str) -> str:
    if asked != "auto":
        return asked
    return "Ts" if {*dataset.cases("labels", "Ts")} & {*dataset.cases("images", "Ts")} else "Tr"


def _splits(preprocessed: Path, data: Path, folds: Sequence[int]) -> list[dict[str, list[str]]]:
    file = preprocessed / "splits_final.json"
    if not file.exists():
        from nnunetv2.utilities.crossval_split import generate_crossval_split

        generated = generate_crossval_split(preprocessed_cases(data), seed=NNUNETS_SEED, n_splits=NNUNETS_FOLDS)
        write_json(
            file, [{part: [str(c) for c in cases] for part, cases in fold.items()} for fold in generated], indent=4
        )
    splits = read_json(file, COMPARED_BY, kind=list)
    if max(folds) >= len(splits):
        raise DoseloError(f"{file}: has the folds 0 to {len(splits) - 1}, --folds asks for {max(folds)}")
    return splits


def _cases(dataset: ExtendedDataset, split: str, validation: Sequence[str]) -> tuple[str, ...]:
    """That a fold is scored on: its validation cases, or all test cases that have labels."""
    labelled = {*dataset.cases("labels", split)}
    wanted = sorted(validation if split == "Tr" else labelled & {*dataset.cases("images", split)})
    missing = {
        kind: [c for c in wanted if not dataset.path(kind, c, split).exists()] for kind in ("labels", "ct", "oars")
    }
    for kind, cases in missing.items():
        if cases:
            raise DoseloError(
                f"{dataset.folder / f'{kind}{split}'}: must have a file of every case that is scored, "
                f"missing {len(cases)} of {len(wanted)}, for example {cases[0]}{dataset.ending}"
            )
    if not wanted:
        raise DoseloError(f"{dataset.folder}: no case to score with --split {split}; labels{split} and images{split}?")
    return tuple(wanted)

"""Which data was it? Hashes of all that networks are trained and scored on."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.hashing import sha256_of, sha256_of_json
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.evaluation.result_files import COMPARED_BY

INPUTS_FILE = "doselo_inputs.json"
PREPROCESSED_BY = "nnUNetv2_plan_and_preprocess"
HASHING_THREADS = 4


@dataclass(frozen=True)
class TrainingInputs:
    """SHA-256 of what a fold's training reads: the configuration's plans, dataset.json, the fold, preprocessed data."""

    plans: str
    dataset_json: str
    fold: str
    preprocessed: str

    def write(self, training: Path) -> None:
        """Into the fold's folder, before a training starts."""
        write_json(training / INPUTS_FILE, self)

    def require_same(self, training: Path) -> bool:
        """False if nobody wrote down what the training in that folder reads.

        Raises
        ------
        DoseloError: it was something else, or the note is damaged.
        """
        file = training / INPUTS_FILE
        if not file.exists():
            return False
        now = asdict(self)
        trained = read_json(file, COMPARED_BY, keys=[*now])
        for name, sha256 in now.items():
            require_equal(f"{training}: {name.replace('_', '.')}", trained[name], sha256)
        return True


@dataclass(frozen=True)
class Inputs:
    """folds: of each fold's training. cases: of images, labels, CT and organs, by case. newest: of the preprocessed
    files' times of last change, in seconds since 1970."""

    folds: dict[int, TrainingInputs]
    cases: dict[str, str]
    newest: float


def require_equal(what: str, trained: str, now: str) -> None:
    """Raises DoseloError unless what a training was made with is what there is now."""
    if trained != now:
        raise DoseloError(
            f"{what} must be the same for all trainings, was trained with {trained[:12]}, now there is {now[:12]}; put "
            "back what it was trained with, or move that training away so that it is made anew"
        )


def hash_inputs(
    dataset: ExtendedDataset,
    preprocessed: Path,
    plans: Mapping[str, Any],
    folds: Mapping[int, Any],
    cases: Mapping[int, Sequence[str]],
    split: str,
) -> Inputs:
    """`plans`: as `plans_of` gives them."""
    data = preprocessed / plans["configuration"]["data_identifier"]
    files = _preprocessed_files(data)
    shared = (sha256_of_json(plans), sha256_of_json(read_json(preprocessed / "dataset.json", PREPROCESSED_BY)))
    content = _hash_of(files)
    scored = sorted({case for names in cases.values() for case in names})
    return Inputs(
        {fold: TrainingInputs(*shared, sha256_of_json(members), content) for fold, members in folds.items()},
        {case: _hash_of(_files_of(dataset, case, split)) for case in scored},
        max(file.stat().st_mtime for file in files),
    )


def plans_of(plans: Mapping[str, Any], configuration: str, where: str) -> dict[str, Any]:
    """All that concerns one configuration, with what it inherits; others may come and go.

    Raises
    ------
    DoseloError: there is no such configuration.
    """
    known = plans["configurations"]
    if configuration not in known:
        raise DoseloError(f"{where}: has the configurations {', '.join(known)}, asked for {configuration}")
    resolved: dict[str, Any] = {"inherits_from": configuration}
    while name := resolved.pop("inherits_from", None):
        resolved = {**known[name], **resolved}
    return {**{key: value for key, value in plans.items() if key != "configurations"}, "configuration": resolved}


def preprocessed_cases(data: Path) -> list[str]:
    """Sorted names of the cases in a folder of preprocessed data.

    Raises
    ------
    DoseloError: there are none.
    """
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    _preprocessed_files(data)
    return sorted(infer_dataset_class(str(data)).get_identifiers(str(data)))


def _preprocessed_files(data: Path) -> list[Path]:
    files = sorted(file for file in data.iterdir() if file.is_file()) if data.is_dir() else []
    if not files:
        raise DoseloError(f"{data}: no preprocessed data; run nnUNetv2_plan_and_preprocess for this configuration")
    return files


def _files_of(dataset: ExtendedDataset, case: str, split: str) -> list[Path]:
    return [*dataset.image_paths(case, split), *(dataset.path(kind, case, split) for kind in ("labels", "ct", "oars"))]


def _hash_of(files: Sequence[Path]) -> str:
    """Of names and contents."""
    with ThreadPoolExecutor(HASHING_THREADS) as pool:  # hashing and reading let go of the interpreter
        return sha256_of_json([(file.name, sha) for file, sha in zip(files, pool.map(sha256_of, files), strict=True)])

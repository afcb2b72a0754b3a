"""Checks an extended dataset before anyone trains on it: one finding a line, nothing is changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.folder import CONTEXT_KINDS, ExtendedDataset
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset.images import read_array

from .cases.checks import check_coverage, check_ct, check_dose, check_finite, check_values
from .grids.common_grid import check_grid

SHOWN_FILES = 5


@dataclass(frozen=True)
class Finding:
    """One thing that must be mended: where, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def verify_dataset(dataset: ExtendedDataset, *, processes: int = 1) -> list[Finding]:
    """All findings of a dataset, the general ones first; an empty list means it can be used.

    The voxels of cases that lack a file are not looked at; a file that cannot be read is a finding.
    """
    try:
        guidance = dataset.guidance
    except DoseloError as error:
        return [Finding("dataset.json", str(error))]
    findings = _number_of_cases(dataset)
    for split in ("Tr", "Ts"):
        kinds = _kinds(dataset, split)
        cases = sorted({case for kind in ("images", *kinds) for case in dataset.cases(kind, split)})
        missing = {case: _missing_files(case, dataset, kinds, split) for case in cases}
        findings += _strange_images(cases, dataset, split)
        findings += [Finding(case, f"missing {', '.join(files)}") for case, files in missing.items() if files]
        per_case = map_cases(
            partial(_verify_case, dataset=dataset, guidance=guidance, kinds=kinds, split=split),
            [case for case, files in missing.items() if not files],
            processes=processes,
            description=f"Verifying {split}",
        )
        findings += [finding for of_case in per_case for finding in of_case]
    return findings


def _number_of_cases(dataset: ExtendedDataset) -> list[Finding]:
    declared = dataset.dataset_json.get("numTraining")
    there = len({*dataset.cases("images"), *dataset.cases("labels")})
    if declared == there and there:
        return []
    what = f"numTraining must be the number of training cases, says {declared}, found {there}"
    return [Finding("dataset.json", what)]


def _kinds(dataset: ExtendedDataset, split: str) -> list[str]:
    """Training needs all folders but the dose; a folder that holds one case must hold all."""
    needed = ["labels", "ct", "oars"] if split == "Tr" else []
    return [kind for kind in ("labels", *CONTEXT_KINDS) if kind in needed or dataset.cases(kind, split)]


def _missing_files(case: str, dataset: ExtendedDataset, kinds: Sequence[str], split: str) -> list[str]:
    files = [*dataset.image_paths(case, split), *(dataset.path(kind, case, split) for kind in kinds)]
    return [f"{file.parent.name}/{file.name}" for file in files if not file.exists()]


def _strange_images(cases: Sequence[str], dataset: ExtendedDataset, split: str) -> list[Finding]:
    """nnU-Net takes every file with the dataset's ending for an image, hidden and surplus ones too."""
    folder = dataset.folder / f"images{split}"
    known = {path.name for case in cases for path in dataset.image_paths(case, split)}
    strange = sorted({path.name for path in folder.glob(f"*{dataset.ending}")} - known)
    if not strange:
        return []
    shown = ", ".join(strange[:SHOWN_FILES]) + (", ..." if len(strange) > SHOWN_FILES else "")
    return [Finding(folder.name, f"files that are no channel of a case must go, nnU-Net reads them: {shown}")]


def _verify_case(
    case: str, dataset: ExtendedDataset, guidance: DoseGuidance, kinds: Sequence[str], split: str
) -> list[Finding]:
    try:
        return [Finding(case, what) for what in _case_findings(case, dataset, guidance, kinds, split)]
    except DoseloError as error:
        return [Finding(case, str(error))]


def _case_findings(
    case: str, dataset: ExtendedDataset, guidance: DoseGuidance, kinds: Sequence[str], split: str
) -> list[str]:
    first, *others = dataset.image_paths(case, split)
    image, grid = read_array(first)
    findings = [*check_grid(grid), *check_finite(first.name, image)]
    for file in others:
        image, other_grid = read_array(file)
        findings += [*_off_grid(file.name, other_grid.differences(grid)), *check_finite(file.name, image)]
    arrays = {}
    for kind in kinds:
        array, other_grid = read_array(dataset.path(kind, case, split))
        off_grid = _off_grid(kind, other_grid.differences(grid))
        not_finite = check_finite(kind, array)
        findings += [*off_grid, *not_finite]
        if not not_finite:
            arrays[kind] = array
    return findings + _value_findings(arrays, dataset, guidance)


def _off_grid(name: str, differences: list[str]) -> list[str]:
    return [f"{name} must lie on the grid of the first image: {'; '.join(differences)}"] if differences else []


def _value_findings(arrays: dict[str, np.ndarray], dataset: ExtendedDataset, guidance: DoseGuidance) -> list[str]:
    """`arrays`: finite voxels by kind; kinds that could not be judged are absent."""
    labels, ct_hu, oars, dose_gy = (arrays.get(kind) for kind in ("labels", *CONTEXT_KINDS))
    findings: list[str] = []
    if labels is not None:
        findings += check_values("labels", labels, _label_values(dataset, dataset.dataset_json["labels"]))
    if oars is not None:
        findings += check_values("oars", oars, {0, *guidance.organ_labels})
    if ct_hu is not None:
        findings += check_ct(ct_hu)
    if dose_gy is not None:
        findings += check_dose(dose_gy, guidance.prescription_gy)
    if dose_gy is not None and labels is not None and dose_gy.shape == labels.shape:
        target = np.isin(labels, list(_label_values(dataset, guidance.target_gy)))
        findings += check_coverage(dose_gy, target)
    return findings


def _label_values(dataset: ExtendedDataset, names: Iterable[str]) -> set[int]:
    """Values of these labels; a region is a list of values."""
    values = [dataset.dataset_json["labels"][name] for name in names]
    return {int(v) for value in values for v in (value if isinstance(value, list) else [value])}

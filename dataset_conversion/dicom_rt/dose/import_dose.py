"""Doses that a planning system calculated on exported contours, onto the dataset's grid: ready for evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.common.versions import versions
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_grid, write_array
from nnunet_doselo.planning.plan_record import PlanRecord, record_path

from ...cases.run import Outcome, run_patients
from ..export.exported_table import read_exported
from .dose_matching import match_by_reference, match_by_table
from .rtdose import Dose, on_grid, read_doses


@dataclass(frozen=True)
class _ImportTask:
    case: str
    files: tuple[Path, ...]
    labels_sha256: str | None


def import_doses(
    folder: Path,
    dataset: ExtendedDataset,
    output: Path,
    *,
    exported: Path | None = None,
    table: Path | None = None,
    split: str = "Ts",
    processes: int = 1,
) -> tuple[list[Outcome], list[str]]:
    """Write OUTPUT/CASE.nii.gz (Gy, float32, the dataset's grid and file ending), then OUTPUT/CASE.json, the record.

    A case without a usable dose is left as it was; the others go on.

    Parameters
    ----------
    folder: RTDOSE files of all cases, in any subfolders, and the RTPLAN files they refer to.
    exported: output folder of `doselo export-rtstruct`. Doses are matched by the structure set they were calculated
        on, and records hold the SHA-256 of the label map, so that `doselo evaluate` notices another one.
    table: CSV file with columns file,case; matches instead of the references.

    Returns
    -------
    What became of each case, and remarks on files that fit no case.

    Raises
    ------
    DoseloError: neither `exported` nor `table`; one of them cannot be used, or names a case that the split lacks.
    """
    _require_sources(folder, exported, table)
    structure_sets = read_exported(exported) if exported else {}
    if table:
        matched = match_by_table(table, folder)
    else:
        matched = match_by_reference(folder, structure_sets, processes=processes)
    _require_cases(list(matched.files), dataset, split)
    sha256 = {case: entry.labels_sha256 for case, entry in structure_sets.items()}
    tasks = [_ImportTask(case, tuple(files), sha256.get(case)) for case, files in matched.files.items()]
    outcomes = run_patients(
        partial(_write, dataset=dataset, output=output, split=split),
        tasks,
        processes=processes,
        description="Importing doses",
        name_of=lambda task: task.case,
    )
    return outcomes, matched.remarks


def _require_sources(folder: Path, exported: Path | None, table: Path | None) -> None:
    if not folder.is_dir():
        raise DoseloError(f"{folder}: must be a folder of RTDOSE files, and is none")
    if exported is None and table is None:
        raise DoseloError(
            "doses are matched to cases by --exported FOLDER (the output of `doselo export-rtstruct`) or by "
            "--table FILE (CSV with the columns file,case); give one of them"
        )


def _require_cases(cases: Sequence[str], dataset: ExtendedDataset, split: str) -> None:
    known = dataset.cases("ct", split)
    if unknown := [case for case in cases if case not in known]:
        raise DoseloError(
            f"{dataset.folder}: has no case {unknown[0]} in ct{split}; is the dataset right, and --split {split}?"
        )


def _write(task: _ImportTask, dataset: ExtendedDataset, output: Path, split: str) -> tuple[str, ...]:
    """Dose and record of one case; returns the dose's notes."""
    if not task.files:
        raise DoseloError("no dose in the folder was calculated on its structure set")
    dose = read_doses(task.files)
    grid = read_grid(dataset.path("ct", task.case, split))
    dose_gy = on_grid(dose, grid)
    if not dose_gy.any():
        raise DoseloError(f"{task.files[0]}: lies outside of the case's images; is it the dose of this patient?")
    record = record_path(output, task.case)
    record.unlink(missing_ok=True)  # the old record must not vouch for the new dose
    write_array(output / f"{task.case}{dataset.ending}", dose_gy, grid)
    _record(task, dose, dataset.guidance.prescription_gy).write(record)
    return dose.notes


def _record(task: _ImportTask, dose: Dose, prescription_gy: float) -> PlanRecord:
    """Of the files nothing but their SHA-256: names and identifiers stay in them."""
    return PlanRecord(
        engine="tps",
        isocentre_mm=(),
        gantry_deg=(),
        bixel_mm=0.0,
        prescription_gy=prescription_gy,
        iterations=0,
        converged=True,
        notes=dose.notes,
        inputs={
            "labels_sha256": task.labels_sha256,
            "rtdose_sha256": [sha256_of(file) for file in task.files],
            "native_max_gy": dose.native_max_gy,
        },
        versions=versions(),
    )

"""`doselo plan`: a dose planned on every label map of a folder; parallel over patients, and resumable.

Two contours of a patient can only be compared if they are planned alike: `like` takes isocentre, beams and bixels from
the records of an earlier run, never from the contour under test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.common.versions import version_of, versions
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.dataset.patient import target_map
from nnunet_doselo.planning.interface import ENGINES
from nnunet_doselo.planning.plan import plan_dose
from nnunet_doselo.planning.plan_record import PlanRecord, read_record, record_path


@dataclass(frozen=True)
class PlannedCase:
    """`new` is False where an earlier run had planned the same already."""

    case: str
    record: PlanRecord
    new: bool


@dataclass(frozen=True)
class PlanTask:
    """One patient to plan; `like` gives isocentre, beams and bixels, None lets the planner choose them."""

    dataset: ExtendedDataset
    case: str
    split: str
    labels: Path
    output: Path
    engine: str
    like: PlanRecord | None


def plan_cohort(
    dataset: ExtendedDataset,
    output: Path,
    *,
    labels: Path | None = None,
    like: Path | None = None,
    engine: str = "fluence",
    split: str = "Ts",
    cases: Sequence[str] | None = None,
    processes: int = 1,
) -> list[PlannedCase]:
    """Plan every label map of `labels` (default: the dataset's own) on the dataset's CT and organs.

    Writes OUTPUT/CASE.nii.gz (Gy, float32, the dataset's grid, the dataset's file ending) and then OUTPUT/CASE.json,
    the record. A case whose record has the same inputs is left as it is. An empty label map gets a dose of zero and a
    note.

    Parameters
    ----------
    like: output folder of an earlier run; its records give isocentre, beams and bixels, case by case.
    cases: plan these alone; None plans all that have a label map.

    Raises
    ------
    DoseloError: no label map, one that is no case of the split, one on another grid; a case without record in `like`,
        or planned there by another engine; an unknown engine; or the planner refuses a case.
    """
    if engine not in ENGINES:
        raise DoseloError(f"engine must be one of {', '.join(ENGINES)}, found {engine}")
    folder = labels or dataset.folder / f"labels{split}"
    there = _cases(dataset, folder, split)
    cases = [case for case in there if cases is None or case in cases]
    references = _references(like, cases, engine)
    tasks = [
        PlanTask(dataset, case, split, folder / f"{case}{dataset.ending}", output, engine, references.get(case))
        for case in cases
    ]
    return map_cases(plan_case, tasks, processes=processes, description="Planning", name_of=lambda task: task.case)


def _cases(dataset: ExtendedDataset, folder: Path, split: str) -> list[str]:
    known = dataset.cases("ct", split)
    there = sorted(p.name[: -len(dataset.ending)] for p in folder.glob(f"[!.]*{dataset.ending}"))
    unknown = [case for case in there if case not in known]
    if not there or unknown:
        raise DoseloError(
            f"{folder}: expected label maps named like ct{split} (for example {(known or ['none there'])[0]}"
            f"{dataset.ending}), found {unknown[:3] or 'none'}; is --split {split} right?"
        )
    return there


def _references(like: Path | None, cases: list[str], engine: str) -> dict[str, PlanRecord]:
    if like is None:
        return {}
    records = {case: record for case in cases if (record := read_record(like, case))}
    if missing := [case for case in cases if case not in records]:
        raise DoseloError(
            f"{like}: expected a record CASE.json of `doselo plan` for each of {len(cases)} cases, missing "
            f"{missing[:3]}{' and more' if missing[3:] else ''}; plan the reference contours first"
        )
    if other := {record.engine for record in records.values()} - {engine}:
        raise DoseloError(f"{like}: was planned with engine {', '.join(sorted(other))}; pass the same with --engine")
    return records


def plan_case(task: PlanTask) -> PlannedCase:
    """Plan one patient, unless its record has the same inputs; writes the dose, then the record."""
    inputs = _inputs(task)
    planned = read_record(task.output, task.case)
    dose_file = task.output / f"{task.case}{task.dataset.ending}"
    if planned is not None and planned.inputs == inputs and dose_file.exists():
        return PlannedCase(task.case, planned, new=False)
    # the old record must not vouch for the new dose
    record_path(task.output, task.case).unlink(missing_ok=True)
    record = _plan(task, dose_file, inputs)
    record.write(record_path(task.output, task.case))
    return PlannedCase(task.case, record, new=True)


def _inputs(task: PlanTask) -> dict[str, Any]:
    """As they read when they come back from JSON."""
    like, guidance = task.like, task.dataset.guidance
    context = {f"{kind}_sha256": sha256_of(task.dataset.path(kind, task.case, task.split)) for kind in ("ct", "oars")}
    return {
        "labels_sha256": sha256_of(task.labels),
        **context,
        "target_gy": guidance.target_gy,
        "oars": guidance.oars,
        "engine": task.engine,
        "isocentre_mm": list(like.isocentre_mm) if like else None,
        "gantry_deg": list(like.gantry_deg) if like else None,
        "bixel_mm": like.bixel_mm if like else None,
        "nnunet-doselo": version_of("nnunet-doselo"),
    }


def _plan(task: PlanTask, dose_file: Path, inputs: dict[str, Any]) -> PlanRecord:
    ct_hu, grid = read_array(task.dataset.path("ct", task.case, task.split))
    planned = plan_dose(
        ct_hu,
        target_map(task.dataset, _on_grid(task.labels, grid)) * task.dataset.guidance.prescription_gy,
        _on_grid(task.dataset.path("oars", task.case, task.split), grid),
        grid.spacing_zyx,
        engine=task.engine,
        isocentre_mm=task.like.isocentre_mm if task.like else None,
        beams=task.like.beams if task.like else None,
        allow_empty=True,
    )
    write_array(dose_file, planned.dose_gy.astype(np.float32, copy=False), grid)
    return PlanRecord.of(planned, inputs, versions())


def _on_grid(file: Path, grid: Grid) -> np.ndarray:
    array, file_grid = read_array(file)
    if differences := file_grid.differences(grid):
        raise DoseloError(f"{file}: must lie on the grid of the case's CT: {'; '.join(differences)}")
    return array

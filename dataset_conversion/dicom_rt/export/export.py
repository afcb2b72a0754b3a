"""Predicted label maps to RTSTRUCT files: one a case, drawn on its planning CT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.dataset.patient import label_values

from ...cases.ids import KeyRow, read_key_table
from ...cases.run import Outcome, run_patients
from ..files.ct_of_case import PlanningCt, ct_of_case, find_cts
from ..files.objects import read_dataset, required
from ..files.slice_stack import read_stack
from .exported_table import Entry, read_table, write_table
from .label_rois import Holes, rois_of
from .new_objects import require_text, save
from .structure_set import LABEL_LENGTH, structure_set


@dataclass(frozen=True)
class Style:
    """How structure sets are written. label: StructureSetLabel, what planning systems list them under."""

    holes: Holes = "keyhole"
    label: str = "doselo"

    def __post_init__(self) -> None:
        require_text("label of a structure set", self.label, LABEL_LENGTH)


@dataclass(frozen=True)
class _ExportTask:
    """One case; without a CT, the problem with it. `settings` go into the table: equal ones give equal contours."""

    case: str
    labels_file: Path
    ct: PlanningCt | None
    problem: str = ""
    settings: Entry = field(default_factory=dict)


def export_rtstructs(
    predictions: Path,
    ct_folder: Path,
    output: Path,
    dataset: ExtendedDataset,
    *,
    style: Style,
    keys: Path | None = None,
    case: str = "",
    processes: int = 1,
    overwrite: bool = False,
) -> list[Outcome]:
    """Write OUTPUT/CASE.dcm for each label map PREDICTIONS/CASE.nii.gz, and OUTPUT/exported.json.

    What was exported before from the same label map, on the same CT and in the same style, is left as it is: the
    planning system may have it already. A case that cannot be exported is an outcome, and the others go on.

    Parameters
    ----------
    dataset: whose dataset.json names the labels; its prescribed doses, if any, tell targets from organs.
    keys: key table of the conversion. None: one case and one CT are expected.
    case: export this one only.

    Raises
    ------
    DoseloError: no label maps or no CT series; several cases without a key table; a table or dataset.json is unusable.
    """
    values = label_values(dataset)
    files = _label_maps(predictions, dataset.ending, case)
    rows = {row.case: row for row in read_key_table(keys)} if keys else None
    if rows is None and len(files) > 1:
        raise DoseloError(
            f"{predictions}: has {len(files)} cases; which CT is whose is told by the key table that the conversion "
            "wrote: pass it with --keys, or export one case with --case and the folder of its CT"
        )
    cts = find_cts(ct_folder, processes=processes)
    tasks = [_task(name, file, cts, rows, ct_folder, style) for name, file in files.items()]
    exported = read_table(output)
    left = [task for task in tasks if overwrite or not _is_current(task, exported.get(task.case, {}), output)]
    work = partial(_export, output=output, values=values, targets=_targets(dataset), style=style)
    outcomes = run_patients(work, left, processes=processes, description="Exporting", name_of=lambda task: task.case)
    by_case = {outcome.case: outcome for outcome in outcomes}
    written = [task for task in left if by_case[task.case].status != "failed"]
    if written:
        write_table(output, exported | {task.case: _entry(task, output) for task in written})
    return [by_case.get(task.case) or Outcome(task.case, "there already") for task in tasks]


def _label_maps(predictions: Path, ending: str, case: str) -> dict[str, Path]:
    """Label maps by case, in order; hidden files and what nnU-Net writes beside them are left out."""
    files = {p.name[: -len(ending)]: p for p in sorted(predictions.glob(f"*{ending}")) if p.name[0] != "."}
    if case and case not in files:
        raise DoseloError(f"{predictions}: has no {case}{ending}; there are {len(files)} label maps")
    if not files:
        raise DoseloError(f"{predictions}: expected label maps CASE{ending}, found none")
    return {case: files[case]} if case else files


def _task(
    case: str,
    file: Path,
    cts: Sequence[PlanningCt],
    rows: Mapping[str, KeyRow] | None,
    ct_folder: Path,
    style: Style,
) -> _ExportTask:
    try:
        ct = ct_of_case(case, cts, rows, ct_folder)
        settings = {
            "labels_sha256": sha256_of(file),
            "ct_series_uid": ct.series.uid,
            "holes": style.holes,
            "label": style.label,
        }
    except DoseloError as error:
        return _ExportTask(case, file, None, str(error))
    return _ExportTask(case, file, ct, "", settings)


def _is_current(task: _ExportTask, exported: Entry, output: Path) -> bool:
    """Also the object itself is looked at: a broken run may have replaced it without a word in the table."""
    try:
        return bool(task.settings) and exported == _entry(task, output)
    except DoseloError:  # there is none, or it is damaged
        return False


def _targets(dataset: ExtendedDataset) -> tuple[str, ...]:
    """Labels with a prescribed dose; none in a plain nnU-Net dataset."""
    guidance = DoseGuidance.if_declared(dataset.dataset_json)
    return tuple(guidance.target_gy) if guidance else ()


def _export(
    task: _ExportTask, *, output: Path, values: Mapping[str, Sequence[int]], targets: Sequence[str], style: Style
) -> list[str]:
    """Draw and write one case; returns notes."""
    if task.ct is None:
        raise DoseloError(task.problem)
    labels, grid = read_array(task.labels_file)
    stack = read_stack(task.ct.files())
    rois, notes = rois_of(labels, grid, values, stack, targets=targets, holes=style.holes)
    item = structure_set(rois, stack, style.label)
    with all_or_nothing(_file(output, task.case)) as file:
        save(item, file)
    return notes


def _entry(task: _ExportTask, output: Path) -> Entry:
    file = _file(output, task.case)
    uid = required(read_dataset(file, only=["SOPInstanceUID"]), "SOPInstanceUID", file)
    return {"sop_instance_uid": str(uid), **task.settings}


def _file(output: Path, case: str) -> Path:
    return output / f"{case}.dcm"

"""Edited contours of many patients, and the open planner's dose of each, on disk: they can be looked at and kept."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.dataset.patient import load_patient
from nnunet_doselo.planning.cohort_plans import plan_cohort
from nnunet_doselo.planning.contour_edits import FUNCTIONS, ContourEdit
from nnunet_doselo.planning.edited_labels import edited_label_maps

REFERENCE = 0
"""Number of the patient's own contour among its edits, which are counted from 1."""


@dataclass(frozen=True)
class SensitivitySettings:
    """edits: of each kind for each patient. seed: of the edits. engine: of the open planner. split: of the cases."""

    edits: int = 1
    seed: int = 0
    engine: str = "fluence"
    split: str = "Tr"

    def check(self) -> None:
        """Raises DoseloError if a number is out of its range."""
        if self.edits < 1 or not 0 <= self.seed < 2**32:
            raise DoseloError(
                f"sensitivity needs at least 1 edit of each kind and a seed from 0 to 2^32 - 1; found {self}"
            )


@dataclass(frozen=True)
class EditedCase:
    """The `number`-th edit of a case."""

    case: str
    number: int
    edit: ContourEdit


@dataclass(frozen=True)
class EditFolders:
    """`output` holds labels/edit_01/CASE and doses/edit_01/CASE, and doses/reference/CASE."""

    output: Path
    ending: str

    def labels(self, number: int) -> Path:
        return self.output / "labels" / _name(number)

    def doses(self, number: int) -> Path:
        return self.output / "doses" / _name(number)

    def labels_file(self, number: int, case: str) -> Path:
        return self.labels(number) / f"{case}{self.ending}"

    def dose_file(self, number: int, case: str) -> Path:
        return self.doses(number) / f"{case}{self.ending}"


def _name(number: int) -> str:
    return "reference" if number == REFERENCE else f"edit_{number:02d}"


def edit_cases(
    dataset: ExtendedDataset, cases: list[str], folders: EditFolders, settings: SensitivitySettings, *, processes: int
) -> list[EditedCase]:
    """Write the edited label maps; by case, in the order given. Edits that change no voxel are left out.

    Raises
    ------
    DoseloError: a case is missing or unreadable, or none has a target.
    """
    work = partial(_edit_case, dataset=dataset, folders=folders, settings=settings)
    by_case = map_cases(work, cases, processes=processes, description="Editing")
    edited = [edit for of_case in by_case for edit in of_case]
    if not edited:
        raise DoseloError(
            f"{dataset.folder}: sensitivity needs patients with a target, found none among {len(cases)} cases; "
            "choose the other split"
        )
    return edited


def _edit_case(
    case: str, dataset: ExtendedDataset, folders: EditFolders, settings: SensitivitySettings
) -> list[EditedCase]:
    patient = load_patient(dataset, case, settings.split)
    edited = []
    drawn = edited_label_maps(dataset, patient, settings.edits * len(FUNCTIONS), settings.seed)
    for number, (edit, labels) in enumerate(drawn, start=REFERENCE + 1):
        if (labels != patient.labels).any():
            write_array(folders.labels_file(number, case), labels, patient.grid)
            edited.append(EditedCase(case, number, edit))
    return edited


def plan_edits(
    dataset: ExtendedDataset,
    edited: list[EditedCase],
    folders: EditFolders,
    settings: SensitivitySettings,
    *,
    processes: int,
) -> None:
    """Plan the reference contours, then all edits of one number together, with isocentre and beams of the references.

    What an earlier run has planned on the same inputs is kept (`plan_cohort`).
    """
    split, engine = settings.split, settings.engine
    reference = folders.doses(REFERENCE)
    cases = sorted({edit.case for edit in edited})
    plan_cohort(dataset, reference, engine=engine, split=split, cases=cases, processes=processes)
    for number in sorted({edit.number for edit in edited}):
        plan_cohort(
            dataset,
            folders.doses(number),
            labels=folders.labels(number),
            like=reference,
            engine=engine,
            split=split,
            cases=[edit.case for edit in edited if edit.number == number],
            processes=processes,
        )

"""Where the doses of an evaluation come from: the dose predictor, a planner, or a treatment planning system."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nnunet_doselo.dataset_folder import ExtendedDataset
from nnunet_doselo.errors import DoseloError
from nnunet_doselo.images import read_array
from nnunet_doselo.patient import Patient
from nnunet_doselo.plan_record import ENGINE_NAMES, PlanRecord, read_record


class DoseSource(Protocol):
    """Gives the doses of two contours of one patient, and says where they come from."""

    @property
    def predicted(self) -> bool:
        """True if both doses are a model's, whose own error against the planned dose has to be shown."""

    def prepare(self, cases: Sequence[str]) -> None:
        """Called once before the first case; raises DoseloError if a case cannot be served."""

    def doses_gy(self, patient: Patient, labels_file: Path, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the reference contour and of the contour under test (read from `labels_file`): (Z, Y, X), Gy."""

    def provenance(self) -> dict[str, Any]:
        """For the report; "evaluated_dose" says in a sentence where the evaluated dose comes from."""


@dataclass(frozen=True)
class DoseFolder:
    """One dose a case, CASE + ending, and beside it the record CASE.json where `doselo plan` wrote the dose."""

    folder: Path
    ending: str

    def require(self, cases: Sequence[str], what: str) -> None:
        """Raises DoseloError, naming the first of them, if a case has no dose."""
        if missing := [case for case in cases if not self.file(case).exists()]:
            raise DoseloError(
                f"{self.folder}: expected the {what} of {len(cases)} cases, missing {len(missing)}, for example "
                f"{missing[0]}{self.ending}; plan them with `doselo plan`, or name another folder"
            )

    def file(self, case: str) -> Path:
        return self.folder / f"{case}{self.ending}"

    def read(self, patient: Patient, labels_file: Path) -> np.ndarray:
        """The patient's dose in Gy.

        Raises
        ------
        DoseloError: it lies on another grid, or its record says that it was planned on another label map.
        """
        file = self.file(patient.name)
        if record := read_record(self.folder, patient.name):
            record.require_labels(labels_file, file)
        dose_gy, grid = read_array(file)
        if differences := grid.differences(patient.grid):
            raise DoseloError(f"{file}: must lie on the grid of the case's labels: {'; '.join(differences)}")
        return dose_gy.astype(np.float32, copy=False)

    def origin(self, cases: Sequence[str]) -> str:
        """In words: the engines of the records, or that nothing is recorded."""
        names = {_engine_name(read_record(self.folder, case)) for case in cases}
        return f"{', '.join(sorted(names))}; {self.folder}"

    def remarks(self, cases: Sequence[str]) -> dict[str, list[str]]:
        """What the planner had to say, by case; ordinary plans are left out."""
        records = {case: read_record(self.folder, case) for case in cases}
        return {case: record.remarks for case, record in records.items() if record and record.remarks}


def _engine_name(record: PlanRecord | None) -> str:
    if record is None:
        return "files without a record of who planned them"
    return ENGINE_NAMES.get(record.engine, record.engine)


class PlannedDoses:
    """Doses that lie on disk: planned for the contours under test, against the dataset's or others'."""

    predicted = False

    def __init__(
        self, dataset: ExtendedDataset, doses: Path, reference_doses: Path | None = None, split: str = "Ts"
    ) -> None:
        """`reference_doses`: folder of the reference contours' doses; None takes the dataset's own of that split."""
        self.dataset, self.split = dataset, split
        self.evaluated = DoseFolder(doses, dataset.ending)
        self.own = dataset.folder / f"dose{split}"
        self.reference = DoseFolder(reference_doses or self.own, dataset.ending)
        self.cases: Sequence[str] = ()

    def prepare(self, cases: Sequence[str]) -> None:
        self.cases = cases
        self.evaluated.require(cases, "evaluated doses")
        self.reference.require(cases, "reference doses")

    def doses_gy(self, patient: Patient, labels_file: Path, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        reference_labels = self.dataset.path("labels", patient.name, self.split)
        return self.reference.read(patient, reference_labels), self.evaluated.read(patient, labels_file)

    def provenance(self) -> dict[str, Any]:
        own = self.reference.folder == self.own
        return {
            "evaluated_dose": self.evaluated.origin(self.cases),
            "reference_dose": f"the dataset's own; {self.own}" if own else self.reference.origin(self.cases),
            "planner_remarks": self.evaluated.remarks(self.cases),
        }

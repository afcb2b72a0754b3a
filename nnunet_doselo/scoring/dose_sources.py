"""Where the doses of an evaluation come from: files of a planner or of a treatment planning system, or a predictor.

Whatever the source, the doses lie in two folders before the first case is scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_on_grid
from nnunet_doselo.dataset.patient import Patient
from nnunet_doselo.planning.interface import ENGINES
from nnunet_doselo.planning.plan_record import ENGINE_NAMES, PlanRecord, read_record

DoseKind = Literal["predicted", "open planner", "files"]


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
        """The patient's dose in Gy, (Z, Y, X) float32.

        Raises
        ------
        DoseloError: it lies on another grid, has voxels that are no finite number, or its record says that it was
            planned on another label map.
        """
        file = self.file(patient.name)
        if record := read_record(self.folder, patient.name):
            record.require_labels(labels_file, file)
        dose_gy = read_on_grid(file, patient.grid).astype(np.float32, copy=False)
        if not np.isfinite(dose_gy).all():
            raise DoseloError(f"{file}: doses must be finite numbers; export, plan or predict it again")
        return dose_gy

    def records(self, cases: Sequence[str]) -> dict[str, PlanRecord | None]:
        return {case: read_record(self.folder, case) for case in cases}

    def origin(self, cases: Sequence[str]) -> str:
        """In words: the engines of the records, or that nothing is recorded."""
        names = {_engine_name(record) for record in self.records(cases).values()}
        return f"{', '.join(sorted(names))}; {self.folder}"

    def remarks(self, cases: Sequence[str]) -> dict[str, list[str]]:
        """What the planner had to say, by case; ordinary plans are left out."""
        return {case: record.remarks for case, record in self.records(cases).items() if record and record.remarks}


@dataclass(frozen=True)
class DosePair:
    """Folders with the doses of the reference contours and of the contours under test."""

    reference: DoseFolder
    evaluated: DoseFolder


class DoseSource(Protocol):
    """Gives the doses of two contours of every patient, and says where they come from."""

    def prepare(self, cases: Sequence[str], predictions: Path, output: Path) -> DosePair:
        """Called once, first. A source that makes doses of the label maps in `predictions` puts them below `output`.

        Raises DoseloError if a case cannot be served.
        """

    @property
    def kind(self) -> DoseKind:
        """Known once prepared. Beside predicted doses the predictor's own error has to be shown."""

    def provenance(self) -> dict[str, Any]:
        """For the report; "evaluated_dose" and "reference_dose" say in a sentence where the doses come from."""


class PlannedDoses:
    """Doses that lie on disk: planned for the contours under test, against the dataset's or others'."""

    def __init__(
        self, dataset: ExtendedDataset, doses: Path, reference_doses: Path | None = None, split: str = "Ts"
    ) -> None:
        """`reference_doses`: folder of the reference contours' doses; None takes the dataset's own of that split."""
        self.dataset_doses = dataset.folder / f"dose{split}"
        self.pair = DosePair(
            DoseFolder(reference_doses or self.dataset_doses, dataset.ending), DoseFolder(doses, dataset.ending)
        )
        self.cases: Sequence[str] = ()

    def prepare(self, cases: Sequence[str], predictions: Path, output: Path) -> DosePair:
        self.cases = cases
        self.pair.evaluated.require(cases, "evaluated doses")
        self.pair.reference.require(cases, "reference doses")
        return self.pair

    @property
    def kind(self) -> DoseKind:
        """The open planner's if every evaluated dose has a record of one of its engines."""
        engines = {record.engine if record else "" for record in self.pair.evaluated.records(self.cases).values()}
        return "open planner" if engines <= set(ENGINES) else "files"

    def provenance(self) -> dict[str, Any]:
        reference, evaluated = self.pair.reference, self.pair.evaluated
        its_own = reference.folder == self.dataset_doses
        return {
            "evaluated_dose": evaluated.origin(self.cases),
            "reference_dose": f"the dataset's own; {self.dataset_doses}" if its_own else reference.origin(self.cases),
            "planner_remarks": evaluated.remarks(self.cases),
        }


def _engine_name(record: PlanRecord | None) -> str:
    if record is None:
        return "files without a record of who planned them"
    return ENGINE_NAMES.get(record.engine, record.engine)

"""A folder of NIfTI files as a source of patients: who they are is told by a layout file."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from ..cases.assemble import PatientImages
from ..cases.source import Source, SourceCohort, SourcePatient
from ..names.structure_names import MatchedNames
from .layout import RIGID, Layout
from .patients import NiftiPatient, find_nifti_patients
from .reading import names_in_source, read_nifti_patient


@dataclass(frozen=True)
class NiftiSource(Source):
    """Patients are known by the part of the paths that the layout calls {patient}."""

    layout: Layout

    converter = "nifti"

    @property
    def channels(self) -> list[str]:
        return self.layout.channels

    @property
    def draws_alignment(self) -> bool:
        return self.layout.align == RIGID

    def find(self, processes: int) -> SourceCohort:
        """No file is opened, so one process is enough."""
        patients = find_nifti_patients(self.folder, self.layout)
        matched = [self.name_map.match(names_in_source(patient, self.layout)) for patient in patients]
        return SourceCohort(
            patients=tuple(self._patient(*entry) for entry in zip(patients, matched, strict=True)),
            unmapped=tuple(names.unmapped for names in matched),
            remarks=(f"note: {self.layout.note}",) if self.layout.note else (),
        )

    def read(self, files: NiftiPatient) -> PatientImages:
        return read_nifti_patient(self.folder, files, self.layout, self.name_map)

    def _patient(self, patient: NiftiPatient, matched: MatchedNames) -> SourcePatient:
        return SourcePatient(
            key=patient.name,
            names=frozenset({patient.name}),
            folder=str(PurePosixPath(min([*patient.files.values(), *patient.masks.values()])).parent),
            files=patient,
            lines=self._lines(patient, matched),
            problems=(*patient.problems, *matched.problems()),
            has_dose="dose" in patient.files,
            split=patient.split,
            shown_name=patient.name,
        )

    def _lines(self, patient: NiftiPatient, matched: MatchedNames) -> tuple[str, ...]:
        files = [f"{kind}: {patient.files[kind]}" for kind in self.layout.needed() if kind in patient.files]
        structures = [name if name == called else f"{name} ({called})" for name, called in matched.by_tg263.items()]
        excluded = [f"excluded: {', '.join(matched.excluded)}"] if matched.excluded else []
        return (*files, f"structures: {', '.join(structures) or 'none'}", *excluded)

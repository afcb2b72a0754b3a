"""A folder of DICOM-RT exports as a source of patients: who they are is told by the files' headers."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..cases.assemble import CT_CHANNEL, PatientImages
from ..cases.source import Source, SourceCohort, SourcePatient
from .chosen_patients import DicomCohort, PatientChoice, find_dicom_cohort, unmapped_names, unused_series
from .files.choice import ChosenObjects, link
from .files.headers import Scan
from .read_patient import read_dicom_patient


@dataclass(frozen=True)
class DicomSource(Source):
    """Files may lie and be called as they like. need_dose: a patient without dose counts as broken."""

    need_dose: bool = False

    converter = "dicom"

    @property
    def channels(self) -> list[str]:
        """Those of the mapping file; the planning CT where it names none."""
        return list(self.name_map.images) or [CT_CHANNEL]

    @property
    def draws_alignment(self) -> bool:
        return True

    def find(self, processes: int) -> SourceCohort:
        cohort = find_dicom_cohort(self.folder, self.name_map, need_dose=self.need_dose, processes=processes)
        return SourceCohort(
            patients=tuple(self._patient(choice) for choice in cohort.with_case),
            names_without_case=frozenset(name for c in cohort.choices if c.is_skipped for name in _names(c)),
            unmapped=tuple(unmapped_names(cohort, self.name_map)),
            remarks=tuple(self._remarks(cohort)),
            is_readable=not cohort.nobodys,
        )

    def read(self, files: ChosenObjects) -> PatientImages:
        return read_dicom_patient(files, self.name_map)

    def _patient(self, choice: PatientChoice) -> SourcePatient:
        chosen = choice.chosen
        return SourcePatient(
            key=choice.patient.key,
            names=_names(choice),
            folder=self._below(choice.patient.first_file.parent),
            files=chosen,
            lines=self._lines(choice, chosen) if chosen else (),
            problems=() if chosen else (self.relative(choice.reason),),
            has_dose=bool(chosen and chosen.doses),
            ct_series=chosen.ct.uid if chosen else "",
            frame=chosen.ct.frame if chosen else "",
        )

    def _lines(self, choice: PatientChoice, chosen: ChosenObjects) -> tuple[str, ...]:
        images = []
        for channel, series in chosen.images.items():
            how = link(choice.patient, chosen.ct, series) or "no link to the CT, will be registered"
            images.append(f"{channel}: {len(series.files)} slices in {self._below(series.files[0].parent)} ({how})")
        return (
            f"CT: {len(chosen.ct.files)} slices in {self._below(chosen.ct.files[0].parent)}",
            f"structure set: {self.relative(chosen.structure_set.path)}",
            f"dose: {', '.join(self.relative(dose.path) for dose in chosen.doses) or 'none'}",
            *images,
            *(f"chosen, {self.relative(reason)}" for reason in chosen.why),
        )

    def _below(self, folder: Path) -> str:
        return str(folder.relative_to(self.folder))

    def _remarks(self, cohort: DicomCohort) -> list[str]:
        """What was there, and what of it is not used: series, patients, damaged files."""
        remarks = [_scan_remark(cohort.scan, len(cohort.choices))]
        if self.name_map.images and (unused := unused_series(cohort)):
            shown = ", ".join(f"{description or '(no description)'} ({times})" for description, times in unused)
            remarks.append(f"MR series that no image pattern chose: {shown}")
        skipped = Counter((self._below(c.patient.first_file.parent), c.reason) for c in cohort.choices if c.is_skipped)
        for (folder, reason), times in skipped.items():
            remarks.append(f"skipped, {f'{times} patients' if times > 1 else 'the patient'} in {folder}: {reason}")
        return remarks + [f"of no known patient: {self.relative(file.message)}" for file in cohort.nobodys]


def _names(choice: PatientChoice) -> frozenset[str]:
    """A list of test patients holds PatientIDs, with the issuer or without."""
    return frozenset({choice.patient.key, choice.patient.id})


def _scan_remark(scan: Scan, patients: int) -> str:
    parts = [f"{len(scan.headers)} objects of {patients} patients"]
    parts += [f"{scan.duplicates} copies"] if scan.duplicates else []
    parts += [f"{times} {kind}, not used" for kind, times in sorted(scan.other_objects.items())]
    parts += [f"{scan.other_files} files that are not DICOM"] if scan.other_files else []
    return f"found {', '.join(parts)}"

"""All patients of a folder: what each would become, and why some would become nothing."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError

from ..names.structure_names import NameMap
from .files.choice import ChosenObjects, NoCase, choose_objects
from .files.headers import Scan, Unreadable, scan
from .files.patients import DicomPatient, patients_of


@dataclass(frozen=True)
class PatientChoice:
    """One patient: `chosen`, or the reason why not. `is_skipped`: there is no case in the files, nothing is wrong."""

    patient: DicomPatient
    chosen: ChosenObjects | None
    reason: str = ""
    is_skipped: bool = False


@dataclass(frozen=True)
class DicomCohort:
    """`nobodys`: damaged files that could not be told to be one patient's."""

    scan: Scan
    choices: tuple[PatientChoice, ...]
    nobodys: tuple[Unreadable, ...]

    @property
    def with_case(self) -> list[PatientChoice]:
        """Patients with a case, the broken ones included."""
        return [choice for choice in self.choices if not choice.is_skipped]


def find_dicom_cohort(source: Path, name_map: NameMap, *, need_dose: bool = False, processes: int = 1) -> DicomCohort:
    """Read all headers below `source` and choose each patient's objects.

    need_dose: a patient without dose counts as broken.

    Raises
    ------
    DoseloError: `source` is no folder, or holds no DICOM object that is used.
    """
    everything = scan(source, processes=processes)
    if not everything.headers and not everything.unreadable:
        raise DoseloError(
            f"{source}: holds no CT, MR, RTSTRUCT, RTDOSE or RTPLAN, only {everything.other_files} other files and "
            f"{everything.other_objects.total()} other DICOM objects; name the folder of the export"
        )
    patients, nobodys = patients_of(everything)
    choices = tuple(_choice(patient, name_map, need_dose) for patient in patients)
    return DicomCohort(everything, choices, tuple(nobodys))


def _choice(patient: DicomPatient, name_map: NameMap, need_dose: bool) -> PatientChoice:
    channels = {name: patterns for name, patterns in name_map.images.items() if patterns}
    try:
        chosen = choose_objects(patient, lambda names: len(name_map.match(names).missing), channels)
        if problems := name_map.match(chosen.structure_set.roi_names).problems():
            raise DoseloError(f"{chosen.structure_set.path}: {'; '.join(problems)}")
        if need_dose and not chosen.doses:
            raise DoseloError(f"no dose was planned on this CT ({len(patient.of_kind('RTDOSE'))} others are there)")
        return PatientChoice(patient, chosen)
    except NoCase as reason:
        return PatientChoice(patient, None, str(reason), is_skipped=True)
    except DoseloError as error:
        return PatientChoice(patient, None, str(error))


def unmapped_names(cohort: DicomCohort, name_map: NameMap) -> list[dict[str, str | None]]:
    """Names of ROIs that the name map does not know, by structure set, with the nearest that it knows.

    Of all structure sets with a CT, also of patients that cannot be converted: their names are what the map lacks.
    """
    structure_sets = [
        header
        for choice in cohort.with_case
        for header in ([choice.chosen.structure_set] if choice.chosen else choice.patient.of_kind("RTSTRUCT"))
    ]
    return [name_map.match(header.roi_names).unmapped for header in structure_sets]


def unused_series(cohort: DicomCohort) -> list[tuple[str, int]]:
    """Descriptions of MR series that became no network input, and how often each is there."""
    used = {series.uid for choice in cohort.with_case if choice.chosen for series in choice.chosen.images.values()}
    descriptions = Counter(s.description for c in cohort.with_case for s in c.patient.images("MR") if s.uid not in used)
    return sorted(descriptions.items(), key=lambda item: (-item[1], item[0]))

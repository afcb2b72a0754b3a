"""All patients of a folder: what each would become, and why some would become nothing."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError

from ..names.structure_names import NameMap
from .files.choice import Chosen, NoCase, choose
from .files.headers import Scan, Unreadable, scan
from .files.patients import DicomPatient, patients_of


@dataclass(frozen=True)
class Found:
    """One patient: `chosen`, or the reason why not. `is_skipped`: there is no case in the files, nothing is wrong."""

    patient: DicomPatient
    chosen: Chosen | None
    reason: str = ""
    is_skipped: bool = False


@dataclass(frozen=True)
class Cohort:
    """`nobodys`: damaged files that could not be told to be one patient's. Paths are below `source`."""

    source: Path
    scan: Scan
    found: tuple[Found, ...]
    nobodys: tuple[Unreadable, ...]

    @property
    def cases(self) -> list[Found]:
        """Patients with a case, the broken ones included."""
        return [one for one in self.found if not one.is_skipped]

    def relative(self, text: object) -> str:
        """A path or a message without the way to the source folder."""
        return str(text).replace(f"{self.source}/", "")


def find_cohort(source: Path, name_map: NameMap, *, need_dose: bool = False, processes: int = 1) -> Cohort:
    """Read all headers below `source` and choose each patient's objects.

    need_dose: a patient without dose counts as broken.

    Raises
    ------
    DoseloError: `source` is no folder, or holds no DICOM object that is used.
    """
    source = source.resolve()
    everything = scan(source, processes=processes)
    if not everything.headers and not everything.unreadable:
        raise DoseloError(
            f"{source}: holds no CT, MR, RTSTRUCT, RTDOSE or RTPLAN, only {everything.other_files} other files and "
            f"{everything.other_objects.total()} other DICOM objects; name the folder of the export"
        )
    patients, nobodys = patients_of(everything)
    found = tuple(_find(patient, name_map, need_dose) for patient in patients)
    return Cohort(source, everything, found, tuple(nobodys))


def _find(patient: DicomPatient, name_map: NameMap, need_dose: bool) -> Found:
    channels = {name: patterns for name, patterns in name_map.images.items() if patterns}
    try:
        chosen = choose(patient, lambda names: len(name_map.match(names).missing), channels)
        if problems := name_map.match(chosen.structure_set.roi_names).problems():
            raise DoseloError(f"{chosen.structure_set.path}: {'; '.join(problems)}")
        if need_dose and not chosen.doses:
            raise DoseloError(f"no dose was planned on this CT ({len(patient.of_kind('RTDOSE'))} others are there)")
        return Found(patient, chosen)
    except NoCase as reason:
        return Found(patient, None, str(reason), is_skipped=True)
    except DoseloError as error:
        return Found(patient, None, str(error))


def unmapped_names(cohort: Cohort, name_map: NameMap) -> list[tuple[str, int, str | None]]:
    """Names of ROIs that the name map does not know: in how many structure sets, and the nearest that it knows.

    Of all structure sets with a CT, also of patients that cannot be converted: their names are what the map lacks.
    """
    sets = [
        header
        for found in cohort.cases
        for header in ([found.chosen.structure_set] if found.chosen else found.patient.of_kind("RTSTRUCT"))
    ]
    nearest: dict[str, str | None] = {}
    count: Counter[str] = Counter()
    for header in sets:
        unmapped = name_map.match(header.roi_names).unmapped
        nearest |= unmapped
        count.update(unmapped.keys())
    return [(name, times, nearest[name]) for name, times in sorted(count.items(), key=lambda item: (-item[1], item[0]))]


def unused_series(cohort: Cohort) -> list[tuple[str, int]]:
    """Descriptions of MR series that became no network input, and how often each is there."""
    used = {series.uid for found in cohort.cases if found.chosen for series in found.chosen.images.values()}
    rest = [s.description for found in cohort.cases for s in found.patient.images("MR") if s.uid not in used]
    return sorted(Counter(rest).items(), key=lambda item: (-item[1], item[0]))

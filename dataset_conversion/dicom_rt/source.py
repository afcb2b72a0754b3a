"""A folder of DICOM-RT exports into an extended dataset, patient by patient."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from nnunet_doselo.common.errors import DoseloError

from ..cases.alignment_pictures import save_checkerboards
from ..cases.assemble import CT_CHANNEL, to_case, write_case
from ..cases.ids import CaseIds, Split
from ..cases.run import Outcome, any_failed, print_summary, run_patients
from ..cases.steps import check_splits, finish, recorded_settings
from ..cases.writer import DatasetWriter
from ..grids.common_grid import GridSettings
from ..names.structure_names import NameMap
from .chosen_patients import Cohort, Found, find_cohort
from .files.choice import Chosen
from .listing import print_found, print_left_out
from .read_patient import read_patient


@dataclass(frozen=True)
class DicomSettings:
    """grid: the dataset's voxels. need_dose: a patient without dose counts as failed, else it is converted without.

    test_patients: PatientIDs of the test split, None: drawn, as many as `test_fraction` says.
    """

    grid: GridSettings
    need_dose: bool = False
    test_patients: frozenset[str] | None = None
    test_fraction: float = 0.0


@dataclass(frozen=True)
class Job:
    """One patient to convert."""

    case: str
    split: Split
    chosen: Chosen


def convert_dicom(
    source: Path,
    folder: Path,
    name_map: NameMap,
    ids: CaseIds,
    settings: DicomSettings,
    *,
    dry_run: bool = False,
    processes: int = 1,
    overwrite: bool = False,
) -> bool:
    """Convert every patient below `source` that has a CT with a structure set; what is there already stays.

    Patients and the choices among their objects are listed first; `dry_run` ends there, and writes nothing. At the end
    a table tells what became of each. The patients' ids are in the key table of `ids` alone.

    Returns
    -------
    True if all went well, False if a patient failed or a damaged file is nobody's in particular.

    Raises
    ------
    DoseloError: no patients; the folder holds another conversion; the test patients do not fit.
    """
    console = Console()
    cohort = find_cohort(source, name_map, need_dose=settings.need_dose, processes=processes)
    case_of = {found.patient.key: _id_of(found, cohort, ids) for found in cohort.cases}
    splits = _splits(cohort, case_of, ids, settings)
    print_found(cohort, case_of, console)
    outcomes = [
        Outcome(case_of[found.patient.key], "failed", cohort.relative(found.reason))
        for found in cohort.cases
        if not found.chosen
    ]
    if dry_run:
        console.print(f"{len(cohort.cases) - len(outcomes)} patients would be converted; nothing was written")
    else:
        writer, channels = DatasetWriter(folder), channels_of(name_map)
        if not overwrite:
            check_splits(splits, writer)
        writer.begin(recorded_settings("dicom", channels, name_map, settings.grid), overwrite=overwrite)
        ids.save()
        outcomes += _run(_jobs(cohort, case_of, splits), writer, name_map, settings, cohort.source, processes)
        finish(writer, channels, name_map)
    if outcomes:
        print_summary(sorted(outcomes, key=lambda outcome: outcome.case))
    print_left_out(cohort, name_map, console)
    return not any_failed(outcomes) and not cohort.nobodys


def channels_of(name_map: NameMap) -> list[str]:
    """The network's inputs; the planning CT where the mapping file names none."""
    return list(name_map.images) or [CT_CHANNEL]


def _id_of(found: Found, cohort: Cohort, ids: CaseIds) -> str:
    ct = found.chosen and found.chosen.ct
    where = found.patient.first_file.parent.relative_to(cohort.source)
    return ids.id_of(found.patient.key, source=str(where), ct_series=ct.uid if ct else "", frame=ct.frame if ct else "")


def _splits(cohort: Cohort, case_of: dict[str, str], ids: CaseIds, settings: DicomSettings) -> dict[str, Split]:
    """By case id. A list of test patients decides for all that are here; else who has a split keeps it."""
    wanted = settings.test_patients
    if wanted is not None:
        known = {found.patient.key: {found.patient.key, found.patient.id} for found in cohort.found}
        if absent := len(wanted - frozenset().union(*known.values())):
            raise DoseloError(f"all test patients must be in the source folder, {absent} of {len(wanted)} are not")
        ids.set_splits({case: "Ts" if known[key] & wanted else "Tr" for key, case in case_of.items()})
    return ids.splits(settings.test_fraction)


def _jobs(cohort: Cohort, case_of: dict[str, str], splits: dict[str, Split]) -> list[Job]:
    cases = [(case_of[found.patient.key], found.chosen) for found in cohort.cases]
    return [Job(case, splits[case], chosen) for case, chosen in cases if chosen]


def _run(
    jobs: list[Job],
    writer: DatasetWriter,
    name_map: NameMap,
    settings: DicomSettings,
    source: Path,
    processes: int,
) -> list[Outcome]:
    done = [job for job in jobs if writer.has(job.case, job.split, with_dose=bool(job.chosen.doses))]
    ran = run_patients(
        partial(_convert_one, writer=writer, name_map=name_map, settings=settings, source=source),
        [job for job in jobs if job not in done],
        processes=processes,
        description="Converting",
        name_of=lambda job: job.case,
    )
    return [Outcome(job.case, "there already") for job in done] + ran


def _convert_one(
    job: Job, writer: DatasetWriter, name_map: NameMap, settings: DicomSettings, source: Path
) -> list[str]:
    """Nothing is written before all of the patient was read and checked."""
    try:
        patient = read_patient(job.chosen, name_map)
        case, record = to_case(patient, job.case, name_map, channels_of(name_map), settings.grid)
    except DoseloError as error:
        raise DoseloError(str(error).replace(f"{source}/", "")) from None
    save_checkerboards(patient, job.case, writer.folder)
    write_case(writer, case, record, job.split)
    return list(record.notes)

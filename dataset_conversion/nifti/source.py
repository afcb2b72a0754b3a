"""A folder of NIfTI files into an extended dataset, patient by patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from nnunet_doselo.common.errors import DoseloError

from ..cases.alignment_pictures import save_checkerboards
from ..cases.assemble import to_case, write_case
from ..cases.ids import CaseIds, Split
from ..cases.record import print_recorded_overlaps
from ..cases.run import Outcome, any_failed, print_summary, run_patients
from ..cases.steps import check_splits, finish, recorded_settings
from ..cases.writer import DatasetWriter
from ..grids.common_grid import GridSettings
from ..names.structure_names import NameMap
from .layout import RIGID, Layout
from .listing import print_note, print_plan, print_unmapped
from .patients import NiftiPatient, find_patients
from .reading import own_names, read_patient


@dataclass(frozen=True)
class NiftiSettings:
    """grid: the dataset's voxels. test_patients: names of the test split; None: as the layout's folders say, or drawn,
    so many that they make `test_fraction` of all."""

    grid: GridSettings
    test_patients: frozenset[str] | None = None
    test_fraction: float = 0.0


@dataclass(frozen=True)
class Job:
    """One patient to convert. problems: why it cannot be done, as far as names of files tell."""

    case: str
    split: Split
    patient: NiftiPatient
    problems: tuple[str, ...]


def convert_nifti(
    source: Path,
    folder: Path,
    layout: Layout,
    name_map: NameMap,
    ids: CaseIds,
    settings: NiftiSettings,
    *,
    dry_run: bool = False,
    processes: int = 1,
    overwrite: bool = False,
) -> bool:
    """Convert every patient that the layout finds below `source`; what is there already stays.

    `dry_run` lists who and what would be converted, and writes nothing. Otherwise a table at the end tells what became
    of each.

    Returns
    -------
    True if all went well, False if a patient failed, or would.

    Raises
    ------
    DoseloError: no patients; the folder holds another conversion; the test patients do not fit.
    """
    source = source.resolve()
    jobs = _jobs(source, layout, name_map, ids, settings)
    writer = DatasetWriter(folder)
    if dry_run:
        print_plan([(job.case, job.split, job.patient, job.problems) for job in jobs], layout, name_map)
        outcomes = _hopeless(jobs)
    else:
        writer.begin(recorded_settings("nifti", layout.channels, name_map, settings.grid), overwrite=overwrite)
        check_splits({job.case: job.split for job in jobs}, writer)
        ids.save()
        outcomes = _run(jobs, writer, partial(_convert_one, source, layout, name_map, settings.grid, writer), processes)
        finish(writer, layout.channels, name_map)
        print_summary(outcomes)
        print_recorded_overlaps(writer.folder, [job.case for job in jobs])
    print_note(layout)
    print_unmapped([name_map.match(own_names(job.patient, layout)).unmapped for job in jobs])
    return not any_failed(outcomes)


def _jobs(source: Path, layout: Layout, name_map: NameMap, ids: CaseIds, settings: NiftiSettings) -> list[Job]:
    patients = find_patients(source, layout)
    case_of = {patient.name: ids.id_of(patient.name, source=_folder(patient)) for patient in patients}
    _decide_splits(patients, case_of, ids, layout, settings)
    split_of = ids.splits(settings.test_fraction)
    return [
        Job(case_of[patient.name], split_of[case_of[patient.name]], patient, _problems(patient, layout, name_map))
        for patient in patients
    ]


def _folder(patient: NiftiPatient) -> str:
    """Where the patient's first file lies, relative to the source."""
    return str(PurePosixPath(min([*patient.files.values(), *patient.masks.values()])).parent)


def _decide_splits(
    patients: Sequence[NiftiPatient], case_of: dict[str, str], ids: CaseIds, layout: Layout, settings: NiftiSettings
) -> None:
    """Record splits that folders or a list of test patients give; the rest is drawn."""
    listed = settings.test_patients
    if layout.splits and (listed is not None or settings.test_fraction):
        raise DoseloError("the layout's folders say who is for testing; leave --test-ids and --test-fraction out")
    if listed is not None:
        if absent := len(listed - {*case_of}):
            raise DoseloError(f"all test patients must be in the source folder, {absent} of {len(listed)} are not")
        ids.set_splits({case: "Ts" if name in listed else "Tr" for name, case in case_of.items()})
    ids.set_splits({case_of[patient.name]: patient.split for patient in patients if patient.split})


def _problems(patient: NiftiPatient, layout: Layout, name_map: NameMap) -> tuple[str, ...]:
    return (*patient.problems, *name_map.match(own_names(patient, layout)).problems())


def _hopeless(jobs: Sequence[Job]) -> list[Outcome]:
    return [Outcome(job.case, "failed", "; ".join(job.problems)) for job in jobs if job.problems]


def _run(jobs: Sequence[Job], writer: DatasetWriter, work: partial[tuple[str, ...]], processes: int) -> list[Outcome]:
    """Outcomes in the order of case ids."""
    good = [job for job in jobs if not job.problems]
    done = [job for job in good if writer.has(job.case, job.split, with_dose="dose" in job.patient.files)]
    ran = run_patients(
        work,
        [job for job in good if job not in done],
        processes=processes,
        description="Converting",
        name_of=lambda job: job.case,
    )
    there = [Outcome(job.case, "there already") for job in done]
    return sorted([*_hopeless(jobs), *there, *ran], key=lambda outcome: outcome.case)


def _convert_one(
    source: Path, layout: Layout, name_map: NameMap, grid: GridSettings, writer: DatasetWriter, job: Job
) -> tuple[str, ...]:
    """Nothing is written before all of the patient was read and checked; returns the record's notes."""
    try:
        patient = read_patient(source, job.patient, layout, name_map)
        case, record = to_case(patient, job.case, name_map, layout.channels, grid)
    except DoseloError as error:
        raise DoseloError(str(error).replace(f"{source}/", "")) from None
    if layout.align == RIGID:
        save_checkerboards(patient, job.case, writer.folder)
    write_case(writer, case, record, job.split)
    return record.notes

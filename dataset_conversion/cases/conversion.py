"""One way from a folder of patients to an extended dataset, whatever files they have (`source.Source`).

Patients are found, listed on standard output, read and written one by one; progress, failures, the summary and what
overlaps cost are on standard error.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError

from ..grids.common_grid import GridSettings
from .assemble import to_case, write_case
from .ids import CaseIds, Split
from .listing import SourceCase, print_cases, print_dry_run, print_remarks
from .record import print_recorded_overlaps
from .run import Outcome, any_failed, print_summary, run_patients
from .source import Source, SourceCohort
from .writer import DatasetWriter


@dataclass(frozen=True)
class ConversionSettings:
    """grid: the dataset's voxels. test_patients: who is in the test split; None: as the source's folders say, or drawn,
    so many that they make `test_fraction` of all."""

    grid: GridSettings
    test_patients: frozenset[str] | None = None
    test_fraction: float = 0.0


def convert_patients(
    source: Source,
    folder: Path,
    ids: CaseIds,
    settings: ConversionSettings,
    *,
    dry_run: bool = False,
    processes: int = 1,
    overwrite: bool = False,
) -> bool:
    """Convert every patient of `source`; what is in `folder` already stays.

    Patients and what was chosen of their files are listed first; `dry_run` ends there, and writes nothing. Otherwise a
    table at the end tells what became of each. Who is who stands in the key table of `ids` alone.

    Returns
    -------
    True if all went well, False if a patient failed, or would, or a damaged file is of nobody in particular.

    Raises
    ------
    DoseloError: no patients; the folder holds another conversion; the test patients do not fit.
    """
    cohort = source.find(processes)
    cases = _cases(cohort, ids, settings)
    print_cases(cases)
    if dry_run:
        print_dry_run(cases)
        outcomes = _failing(cases)
    else:
        outcomes = _convert_all(source, cases, DatasetWriter(folder), ids, settings.grid, processes, overwrite)
        if outcomes:
            print_summary(outcomes)
        print_recorded_overlaps(folder, [case.name for case in cases])
    print_remarks(cohort)
    return not any_failed(outcomes) and cohort.is_readable


def _cases(cohort: SourceCohort, ids: CaseIds, settings: ConversionSettings) -> list[SourceCase]:
    case_of = {
        patient.key: ids.id_of(patient.key, source=patient.folder, ct_series=patient.ct_series, frame=patient.frame)
        for patient in cohort.patients
    }
    ids.set_splits({case_of[key]: split for key, split in _given_splits(cohort, settings).items()})
    split_of = ids.splits(settings.test_fraction)
    return [SourceCase(case_of[p.key], split_of[case_of[p.key]], p) for p in cohort.patients]


def _given_splits(cohort: SourceCohort, settings: ConversionSettings) -> dict[str, Split]:
    """Split by the patient's key, where folders or a list of test patients give it; the rest keeps its own or is drawn.

    A list decides for all that are here.
    """
    by_folder: dict[str, Split] = {patient.key: patient.split for patient in cohort.patients if patient.split}
    listed = settings.test_patients
    if by_folder and (listed is not None or settings.test_fraction):
        raise DoseloError("the layout's folders say who is for testing; leave --test-ids and --test-fraction out")
    if listed is None:
        return by_folder
    known = cohort.names_without_case.union(*(patient.names for patient in cohort.patients))
    if absent := len(listed - known):
        raise DoseloError(f"all test patients must be in the source folder, {absent} of {len(listed)} are not")
    return {patient.key: "Ts" if patient.names & listed else "Tr" for patient in cohort.patients}


def _failing(cases: Sequence[SourceCase]) -> list[Outcome]:
    """Those of whom that is known before their files are read."""
    return [Outcome(c.name, "failed", "; ".join(c.patient.problems)) for c in cases if c.patient.problems]


def _convert_all(
    source: Source,
    cases: Sequence[SourceCase],
    writer: DatasetWriter,
    ids: CaseIds,
    grid: GridSettings,
    processes: int,
    overwrite: bool,
) -> list[Outcome]:
    """Outcomes in the order of case ids. Without any case there is no dataset.json."""
    if not overwrite:
        _check_splits(cases, writer)
    writer.begin(_recorded_settings(source, grid), overwrite=overwrite)
    ids.save()
    good = [case for case in cases if not case.patient.problems]
    done = [c for c in good if writer.has(c.name, c.split, with_dose=c.patient.has_dose)]
    ran = run_patients(
        partial(_convert_one, source=source, writer=writer, grid=grid),
        [case for case in good if case not in done],
        processes=processes,
        description="Converting",
        name_of=lambda case: case.name,
    )
    if any(writer.folder.glob("labelsT[rs]/[!.]*")):
        writer.finish(source.channels, source.name_map.labels, source.name_map.guidance)
    there = [Outcome(case.name, "there already") for case in done]
    return sorted([*_failing(cases), *there, *ran], key=lambda outcome: outcome.case)


def _convert_one(source_case: SourceCase, source: Source, writer: DatasetWriter, grid: GridSettings) -> tuple[str, ...]:
    """Nothing is written before all of the patient was read and checked; returns the record's notes."""
    try:
        patient = source.read(source_case.patient.files)
        case, record = to_case(patient, source_case.name, source.name_map, source.channels, grid)
    except DoseloError as error:
        raise DoseloError(source.relative(error)) from None
    if source.draws_alignment:
        from .checkerboard import save_checkerboards

        save_checkerboards(patient, case.name, writer.folder)
    write_case(writer, case, record, source_case.split)
    return record.notes


def _recorded_settings(source: Source, grid: GridSettings) -> dict[str, Any]:
    """What must be the same for all cases of a dataset, in runs that add to it too."""
    return {
        "converter": source.converter,
        "channels": source.channels,
        "labels": source.name_map.labels,
        **source.name_map.guidance.to_json(),
        **asdict(grid),
    }


def _check_splits(cases: Sequence[SourceCase], writer: DatasetWriter) -> None:
    """No case may be in both splits: an earlier run may have converted one for the other split."""
    for case in cases:
        other: Split = "Tr" if case.split == "Ts" else "Ts"
        if writer.file("labels", case.name, other).exists():
            raise DoseloError(
                f"{case.name} was converted to labels{other} and now belongs to labels{case.split}; pass "
                "--overwrite to convert all again, or leave the split as it was"
            )


def read_test_patients(file: Path) -> frozenset[str]:
    """Names of patients, one a line.

    Raises
    ------
    DoseloError: the file cannot be read, or is empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DoseloError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    if not (patients := frozenset(line.strip() for line in lines if line.strip())):
        raise DoseloError(f"{file}: must hold the test patients, one a line, and is empty")
    return patients

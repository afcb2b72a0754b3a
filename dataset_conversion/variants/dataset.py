"""`doselo variants`: a dataset's training cases beside edited contours of them, all planned by the open planner.

For cohorts whose only contours are the true ones: a dose predictor trained on those cannot tell what an imperfect
one costs. The originals are planned anew too, so that all doses come from one planner. nnU-Net's random folds would
tear a patient's variants apart: the new dataset is for the dose predictor alone.
"""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.case_names import patient_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.dataset.patient import Patient, load_patient, target_map
from nnunet_doselo.planning.edited_labels import edited_label_maps

from ..cases.writer import DatasetWriter, link_or_copy
from .cases import is_written, plan_contour, plan_summary, variant_names, write_variant

VARIANTS_FOLDER, VARIANTS_FILE = "variants", "variants.json"
SPLIT = "Tr"


@dataclass(frozen=True)
class VariantSettings:
    """per_case: variants of each training case; every kind of edit comes once before one comes again."""

    per_case: int
    seed: int = 0

    def check(self) -> None:
        """Raises DoseloError if a number is out of its range."""
        if self.per_case < 1 or not 0 <= self.seed < 2**32:
            raise DoseloError(f"variants need at least 1 a case and a seed from 0 to 2^32 - 1; found {self}")


def make_variants(
    source: ExtendedDataset,
    folder: Path,
    settings: VariantSettings,
    *,
    processes: int = 1,
    overwrite: bool = False,
) -> None:
    """Write the training cases of `source` and their variants as an extended dataset; edits are in variants.json.

    Images, CT and organs are hard links (copies where the file system has none). Cases without a target cannot be
    edited or planned and are left out, and named on standard error; so are doses, and the test split, of `source`.
    A run that was stopped goes on where it was, patient by patient.

    Raises
    ------
    DoseloError: settings out of range; `source` holds variants already, or no case with CT, organs and labels; the
        folder holds another conversion; a case cannot be planned.
    """
    settings.check()
    cases = _cases(source)
    writer = DatasetWriter(folder, source.ending)
    begun_with = {"converter": "variants", "source": source.folder.name, **asdict(settings)}
    writer.begin(begun_with, overwrite=overwrite)
    to_do = [c for c in cases if not is_written(writer, c, settings.per_case, SPLIT, _record_file(writer, c))]
    made = map_cases(
        partial(_make_one, source=source, settings=settings, writer=writer),
        to_do,
        processes=processes,
        description="Planning variants",
    )
    records = [file for case in cases if (file := _record_file(writer, case)).exists()]
    write_json(folder / VARIANTS_FILE, [read_json(file, "doselo variants") for file in records])
    _finish(source, writer)
    _print_left_out([case for case, written in zip(to_do, made, strict=True) if not written], len(to_do), len(cases))


def _cases(source: ExtendedDataset) -> list[str]:
    cases = sorted(set.intersection(*(set(source.cases(kind)) for kind in ("images", "labels", "ct", "oars"))))
    if not cases:
        raise DoseloError(
            f"{source.folder}: variants need training cases with images, labels, CT and organs, found none"
        )
    if variants := [case for case in cases if patient_of(case) != case]:
        raise DoseloError(
            f"{source.folder}: variants are made of original cases, found {variants[0]}, which by its name is a "
            "variant already; take the dataset that these were made from"
        )
    return cases


def _record_file(writer: DatasetWriter, case: str) -> Path:
    return writer.folder / VARIANTS_FOLDER / f"{case}.json"


def _make_one(case: str, source: ExtendedDataset, settings: VariantSettings, writer: DatasetWriter) -> bool:
    """Plan and write a case and its variants, which share its isocentre and beams; False if it has no target."""
    patient = load_patient(source, case)
    edited = edited_label_maps(source, patient, settings.per_case, settings.seed)
    if not edited:
        return False
    names = variant_names(case, settings.per_case)
    reference = _plan(source, patient, patient.labels)
    record: dict[str, Any] = {"case": case, "plan": plan_summary(reference)}
    record["variants"] = [{"case": name, **asdict(edit)} for name, (edit, _) in zip(names, edited, strict=True)]
    write_json(_record_file(writer, case), record)
    _write_original(source, writer, patient, reference.dose_gy)
    for name, (_, labels) in zip(names, edited, strict=True):
        dose_gy = _plan(source, patient, labels, like=reference).dose_gy
        channels = len(source.image_paths(case))
        write_variant(writer, case, name, labels, dose_gy, patient.grid, SPLIT, channels=channels)
    return True


def _plan(source: ExtendedDataset, patient: Patient, labels: np.ndarray, like: Any = None) -> Any:
    target_gy = target_map(source, labels) * source.guidance.prescription_gy
    return plan_contour(patient.ct_hu, target_gy, patient.oars, patient.spacing_mm, like)


def _write_original(source: ExtendedDataset, writer: DatasetWriter, patient: Patient, dose_gy: np.ndarray) -> None:
    """All but the dose is the source's; the labels come last, as in `DatasetWriter.write`."""
    case = patient.name
    for channel, file in enumerate(source.image_paths(case)):
        link_or_copy(file, writer.file("images", f"{case}_{channel:04d}", SPLIT))
    for kind in ("ct", "oars"):
        link_or_copy(source.path(kind, case), writer.file(kind, case, SPLIT))
    write_array(writer.file("dose", case, SPLIT), dose_gy.astype(np.float32), patient.grid)
    link_or_copy(source.path("labels", case), writer.file("labels", case, SPLIT))


def _finish(source: ExtendedDataset, writer: DatasetWriter) -> None:
    content = source.dataset_json
    writer.finish(
        [content["channel_names"][str(channel)] for channel in range(len(content["channel_names"]))],
        content["labels"],
        replace(source.guidance, gantry_deg=()),  # the doses are the open planner's now
        description=f"{source.folder.name} and edited contours of it, for the dose predictor; dose by fluence "
        "optimisation, no deliverable plan",
        **{key: content[key] for key in ("regions_class_order", "licence", "reference", "synthetic") if key in content},
    )


def _print_left_out(left_out: list[str], tried: int, cases: int) -> None:
    console = Console(stderr=True)
    console.print(f"{tried - len(left_out)} of {cases} cases planned with variants, {cases - tried} were there already")
    if left_out:
        console.print(f"left out, because they have no target: {', '.join(left_out)}")

"""`doselo phantom`: a cohort of synthetic post-operative glioblastoma patients in the paper's layout.

Patients depend on the cohort's seed and their own number alone. Other seeds give other patients: one seed for the
cohort that trains the dose predictor and another for the cohort that trains the segmentation network keep the two
apart, as in the paper. Variants are meant for the predictor's cohort. Whoever splits a cohort with variants by hand
keeps a patient and its variants on the same side (`case_names.patient_of`); `doselo train-predictor` does.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.planning.contour_edits import ContourEdit, draw_edits

from ..cases.record import LostCc, lost_cc, print_lost
from ..cases.writer import Case, DatasetWriter
from ..variants.cases import is_written, plan_contour, plan_summary, variant_names, write_variant
from .images import SEQUENCES
from .organs import PHANTOM_OARS
from .patient import SyntheticPatient, make_patient
from .random_fields import generator

if TYPE_CHECKING:
    from nnunet_doselo.planning.interface import Plan

PHANTOM_TARGET_GY = {"GTV": 60.0}
PHANTOM_LABELS = {"background": 0, "GTV": 1}
SPACINGS_MM = (2.0, 6.0)
RECORD_FOLDER, RECORD_FILE = "phantom", "phantom.json"


@dataclass(frozen=True)
class CohortSettings:
    """What a cohort is made of; a folder keeps to the settings it was begun with.

    variants: perturbed targets for each training case, written as cases of their own. test_cases: patients after
    the `cases` for training, numbered on from them, without variants.
    """

    cases: int
    seed: int
    spacing_mm: float = 3.0
    variants: int = 0
    test_cases: int = 0

    def check(self) -> None:
        """Raises DoseloError if a number is out of its range."""
        low, high = SPACINGS_MM
        if self.cases < 1 or self.variants < 0 or self.test_cases < 0 or not 0 <= self.seed < 2**32:
            raise DoseloError(
                "a cohort needs at least 1 case, 0 or more variants and test cases, and a seed from 0 to 2^32 - 1; "
                f"found {self}"
            )
        if not low <= self.spacing_mm <= high:
            raise DoseloError(f"spacing must be {low:g} to {high:g} mm, found {self.spacing_mm:g} mm")

    def patients(self) -> list["Request"]:
        both = [("Tr", self.variants)] * self.cases + [("Ts", 0)] * self.test_cases
        return [Request(number, split, variants) for number, (split, variants) in enumerate(both)]


@dataclass(frozen=True)
class Request:
    """One patient to be made: its number in the cohort, where it goes, and with how many variants."""

    number: int
    split: str
    variants: int


def make_cohort(folder: Path, settings: CohortSettings, *, processes: int = 1, overwrite: bool = False) -> None:
    """Write the cohort as an extended dataset; what was drawn is in phantom.json.

    A run that was stopped goes on where it was, patient by patient.

    Raises
    ------
    DoseloError: settings out of range; the folder holds another conversion; a patient cannot be made or planned.
    """
    settings.check()
    writer = DatasetWriter(folder)
    writer.begin({"converter": "phantom", **asdict(settings)}, overwrite=overwrite)
    patients = settings.patients()
    to_do = [request for request in patients if not _is_written(request, settings, writer)]
    lost = map_cases(
        partial(_make_one, settings=settings, writer=writer),
        to_do,
        processes=processes,
        description="Making patients",
        name_of=lambda request: case_name(settings.seed, request.number),
    )
    write_json(folder / RECORD_FILE, [read_json(_record_file(writer, r, settings), "doselo phantom") for r in patients])
    writer.finish(
        list(SEQUENCES),
        PHANTOM_LABELS,
        DoseGuidance(PHANTOM_TARGET_GY, PHANTOM_OARS),
        synthetic=True,
        description="Synthetic post-operative glioblastoma; dose by fluence optimisation, no deliverable plan",
        reference="brain: ICBM 2009a nonlinear symmetric (Fonov et al., NeuroImage 54:313, 2011)",
    )
    already = len(patients) - len(to_do)
    Console(stderr=True).print(f"{len(to_do)} patients made, {already} were there already")
    print_lost(lost)


def case_name(seed: int, number: int) -> str:
    """Holds the seed, so that cohorts of different seeds can be merged."""
    return f"GBM_{seed}_{number:03d}"


def _is_written(request: Request, settings: CohortSettings, writer: DatasetWriter) -> bool:
    name, record = case_name(settings.seed, request.number), _record_file(writer, request, settings)
    return is_written(writer, name, request.variants, request.split, record)


def _record_file(writer: DatasetWriter, request: Request, settings: CohortSettings) -> Path:
    return writer.folder / RECORD_FOLDER / f"{case_name(settings.seed, request.number)}.json"


def _make_one(request: Request, settings: CohortSettings, writer: DatasetWriter) -> LostCc:
    """Make, plan and write a patient and its variants; the variants share isocentre and beams with the patient."""
    patient = make_patient(settings.seed, request.number, settings.spacing_mm)
    name = case_name(settings.seed, request.number)
    reference = _plan(patient, patient.gtv)
    variants = draw_variants(patient, settings, request)
    record = {"case": name, "split": request.split, **patient.record, "plan": plan_summary(reference)}
    record["variants"] = [{"case": n, **asdict(variant)} for n, variant in variants.items()]
    write_json(_record_file(writer, request, settings), record)
    labels = patient.gtv.astype(np.uint8)
    writer.write(
        Case(name, patient.grid, patient.images, labels, patient.ct_hu, patient.oars, reference.dose_gy), request.split
    )
    for variant_case, variant in variants.items():
        target = variant.apply(patient.gtv, patient.brain, patient.grid.spacing_zyx)
        dose_gy = _plan(patient, target, like=reference).dose_gy
        write_variant(writer, name, variant_case, target, dose_gy, patient.grid, request.split, channels=len(SEQUENCES))
    return lost_cc(patient.overlaps, patient.grid)


def draw_variants(patient: SyntheticPatient, settings: CohortSettings, request: Request) -> dict[str, ContourEdit]:
    """Edits of the GTV, inside the brain, by the name of the variant."""
    stream = partial(generator, settings.seed, request.number, "variants")
    edits = draw_edits(request.variants, patient.gtv, patient.brain, patient.grid.spacing_zyx, stream)
    return dict(zip(variant_names(case_name(settings.seed, request.number), request.variants), edits, strict=True))


def _plan(patient: SyntheticPatient, target: np.ndarray, like: "Plan | None" = None) -> "Plan":
    """Plan 60 Gy on a target."""
    target_gy = np.where(target, np.float32(PHANTOM_TARGET_GY["GTV"]), np.float32(0))
    return plan_contour(patient.ct_hu, target_gy, patient.oars, patient.grid.spacing_zyx, like)

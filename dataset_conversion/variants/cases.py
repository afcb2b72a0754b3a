"""Variants: cases that share images, CT and organs with their patient and have another target and its own dose."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnunet_doselo.dataset.case_names import variant_name
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import write_array

from ..cases.writer import DatasetWriter, link_or_copy

if TYPE_CHECKING:
    from nnunet_doselo.planning.interface import Plan


def variant_names(patient: str, variants: int) -> list[str]:
    """PATIENT_v1, PATIENT_v2, ..."""
    return [variant_name(patient, k) for k in range(1, variants + 1)]


def is_written(writer: DatasetWriter, patient: str, variants: int, split: str, record: Path) -> bool:
    """True if the patient, all its variants and the record of them were written to their ends."""
    return all(writer.has(case, split) for case in (patient, *variant_names(patient, variants))) and record.exists()


def plan_contour(
    ct_hu: np.ndarray,
    target_gy: np.ndarray,
    oars: np.ndarray,
    spacing_mm: Sequence[float],
    like: "Plan | None" = None,
) -> "Plan":
    """Plan a target with the open planner; `like`, the patient's own plan, fixes isocentre and beams of a variant.

    ct_hu, target_gy (prescribed dose, 0 outside), oars (label map): (Z, Y, X). spacing_mm: (z, y, x).

    Raises
    ------
    DoseloError: the target is empty.
    """
    from nnunet_doselo.planning.plan import plan_dose

    return plan_dose(
        ct_hu,
        target_gy,
        oars,
        spacing_mm,
        isocentre_mm=like.isocentre_mm if like else None,
        beams=like.beams if like else None,
    )


def plan_summary(plan: "Plan") -> dict[str, Any]:
    """What a record of variants says about the patient's plan."""
    return {"engine": plan.engine, "isocentre_mm": list(plan.isocentre_mm), "converged": plan.converged}


def write_variant(
    writer: DatasetWriter,
    patient: str,
    case: str,
    labels: np.ndarray,
    dose_gy: np.ndarray,
    grid: Grid,
    split: str,
    *,
    channels: int,
) -> None:
    """Images, CT and organs are those of the patient, linked; the labels come last, as in `DatasetWriter.write`.

    labels (boolean or label map), dose_gy: (Z, Y, X) on `grid`.
    """
    shared = [("images", f"_{channel:04d}") for channel in range(channels)] + [("ct", ""), ("oars", "")]
    for kind, channel in shared:
        link_or_copy(writer.file(kind, patient + channel, split), writer.file(kind, case + channel, split))
    write_array(writer.file("dose", case, split), dose_gy.astype(np.float32), grid)
    write_array(writer.file("labels", case, split), labels.astype(np.uint8), grid)

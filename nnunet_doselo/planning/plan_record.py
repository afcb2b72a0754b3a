"""What stands beside a planned dose: how it was planned and on what, so that another contour can be planned alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.planning.interface import Beams, Plan

ENGINE_NAMES = {
    "fluence": "the built-in planner (engine fluence: fluence optimisation, not a deliverable plan)",
    "pydosert": "PyDoseRT (engine pydosert: fluence optimisation, not a deliverable plan)",
    "tps": "a treatment planning system (RTDOSE, imported with `doselo import-dose`)",
}


@dataclass(frozen=True)
class PlanRecord:
    """One JSON file a dose, written after the dose.

    engine: one of `ENGINE_NAMES`; of an imported dose ("tps") isocentre, beams and iterations are not known and empty.
    isocentre_mm: (z, y, x) from the centre of voxel 0.
    gantry_deg, bixel_mm: as in `planning.interface.Beams`.
    inputs: everything that decided the dose: SHA-256 of label map, CT and organs, prescribed doses, engine, what was
        given of isocentre and beams, version of the planner. A plan with equal inputs need not be made again.
    """

    engine: str
    isocentre_mm: tuple[float, ...]
    gantry_deg: tuple[float, ...]
    bixel_mm: float
    prescription_gy: float
    iterations: int
    converged: bool
    notes: tuple[str, ...]
    inputs: Mapping[str, Any]
    versions: Mapping[str, str]

    @classmethod
    def of(cls, plan: Plan, inputs: Mapping[str, Any], versions: Mapping[str, str]) -> "PlanRecord":
        return cls(
            engine=plan.engine,
            isocentre_mm=plan.isocentre_mm,
            gantry_deg=plan.beams.gantry_deg,
            bixel_mm=plan.beams.bixel_mm,
            prescription_gy=plan.prescription_gy,
            iterations=plan.iterations,
            converged=plan.converged,
            notes=plan.notes,
            inputs=inputs,
            versions=versions,
        )

    @property
    def beams(self) -> Beams:
        return Beams(tuple(self.gantry_deg), self.bixel_mm)

    @property
    def labels_sha256(self) -> str | None:
        """Of the label map that was planned; None for an imported dose of which that is not known."""
        return self.inputs["labels_sha256"]

    @property
    def remarks(self) -> list[str]:
        """The planner's notes, and whether it stopped before it had converged; empty for an ordinary plan."""
        early = [] if self.converged else [f"stopped after {self.iterations} iterations without having converged"]
        return [*self.notes, *early]

    def require_labels(self, labels: Path, where: Path) -> None:
        """Raises DoseloError unless the dose was planned on exactly this label map, as far as that is known."""
        if self.labels_sha256 is None:
            return
        labels_sha256 = sha256_of(labels)
        if labels_sha256 != self.labels_sha256:
            raise DoseloError(
                f"{where}: was planned on a label map of SHA-256 {self.labels_sha256[:12]}…, but {labels} is "
                f"{labels_sha256[:12]}…; plan it again with `doselo plan`"
            )

    def write(self, path: Path) -> None:
        """The file appears whole or not at all."""
        write_json(path, self)


def record_path(folder: Path, case: str) -> Path:
    return folder / f"{case}.json"


def read_record(folder: Path, case: str) -> PlanRecord | None:
    """The record of a case, None if there is no such file.

    Raises
    ------
    DoseloError: the file is no record.
    """
    file = record_path(folder, case)
    if not file.exists():
        return None
    try:
        content = read_json(file, "doselo plan")
        tuples = {name: tuple(content[name]) for name in ("isocentre_mm", "gantry_deg", "notes")}
        record = PlanRecord(**{**content, **tuples})
        record.labels_sha256  # noqa: B018, a record without it is none
    except (DoseloError, TypeError, KeyError) as error:
        raise DoseloError(f"{file}: is no record of `doselo plan` ({error}); remove it and plan again") from error
    return record

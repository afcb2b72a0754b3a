"""Which planning CT in a DICOM folder belongs to a case: by the conversion's key table, or as there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError

from ...cases.ids import KeyRow
from .headers import Unreadable, scan
from .patients import Series, patients_of


@dataclass(frozen=True)
class PlanningCt:
    """One CT series, whose it is, and that patient's damaged files."""

    patient_key: str
    series: Series
    damaged: tuple[Unreadable, ...]

    def files(self) -> tuple[Path, ...]:
        """Its slices; raises DoseloError if a damaged file lies among them, which might be one more."""
        folders = {file.parent for file in self.series.files}
        for file in self.damaged:
            if file.path.parent in folders:
                raise DoseloError(file.message)
        return self.series.files


def find_cts(folder: Path, *, processes: int = 1) -> list[PlanningCt]:
    """All CT series below a folder.

    Raises
    ------
    DoseloError: there is none.
    """
    scanned = scan(folder, processes=processes)
    patients, _ = patients_of(scanned)
    cts = [PlanningCt(patient.key, ct, patient.unreadable) for patient in patients for ct in patient.images("CT")]
    if not cts:
        damaged = f", and {len(scanned.unreadable)} damaged DICOM files" if scanned.unreadable else ""
        raise DoseloError(f"{folder}: no CT series found{damaged}; --ct names the folder of the planning CTs")
    return cts


def ct_of_case(case: str, cts: Sequence[PlanningCt], keys: Mapping[str, KeyRow] | None, folder: Path) -> PlanningCt:
    """The case's CT.

    Parameters
    ----------
    keys: the key table by case. None: the only CT is meant, of which the caller is sure that it is this case's.
    folder: where the CTs were found; candidates are named relative to it.

    Raises
    ------
    DoseloError: the table lacks the case, its CT is not there, or several could be meant.
    """
    if keys is not None and case not in keys:
        raise DoseloError(f"is not in the key table, which has {len(keys)} cases; is it the table of this dataset?")
    candidates = list(cts) if keys is None else [ct for ct in cts if _is_of(ct, keys[case])]
    if not candidates:
        raise DoseloError(f"its planning CT is not among the {len(cts)} CT series below {folder}")
    if len(candidates) > 1:
        listed = "; ".join(_described(ct, folder) for ct in candidates)
        raise DoseloError(
            f"{len(candidates)} CT series could be meant, --ct must leave one: {listed}; or pass the key table of the "
            "conversion with --keys"
        )
    return candidates[0]


def _is_of(ct: PlanningCt, row: KeyRow) -> bool:
    """By series and frame where the conversion read DICOM, else by the patient's id."""
    if row.ct_series:
        return ct.series.uid == row.ct_series and row.frame in ("", ct.series.frame)
    return ct.patient_key == row.patient_id


def _described(ct: PlanningCt, folder: Path) -> str:
    first = ct.series.files[0]
    where = first.relative_to(folder) if first.is_relative_to(folder) else first
    return f"{where} ({len(ct.series.files)} files)"

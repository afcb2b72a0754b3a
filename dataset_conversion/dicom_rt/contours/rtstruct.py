"""RTSTRUCT files: regions of interest, contours in patient coordinates (DICOM PS3.3 C.8.8.5, C.8.8.6, C.8.8.8)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from nnunet_doselo.common.errors import DoseloError

from ..files.objects import integer, optional, read_dataset, required
from .rtstruct_contours import read_contours


@dataclass(frozen=True, eq=False)
class Roi:
    """One region of interest.

    number: in its file. name: as in the file; empty if it has none. interpreted_type: "PTV", "ORGAN"...; may be empty.
    contours: (N, 3) patient coordinates, mm; closed ones of three points and more, to be combined by even-odd.
    notes: what was skipped and what is odd, without text of the file.
    automatic: an algorithm drew it (ROIGenerationAlgorithm): a slice without a contour was not forgotten.
    """

    number: int
    name: str
    interpreted_type: str
    contours: tuple[np.ndarray, ...]
    notes: tuple[str, ...]
    automatic: bool = False


@dataclass(frozen=True, eq=False)
class StructureSet:
    """frame: UID of the contours' frame of reference, empty if unknown. series, images: UIDs of what was drawn on."""

    rois: tuple[Roi, ...]
    frame: str
    series: str | None
    images: frozenset[str]


def read_structure_set(file: Path) -> StructureSet:
    """All regions of interest in the file's order, empty ones and both of two equal names included (with a note).

    Raises
    ------
    DoseloError: the file is unreadable or no RTSTRUCT, a mandatory tag is missing or damaged, a ROI number is
        ambiguous, contours lie in several frames of reference, or a coordinate is no finite number (naming ROI number
        and contour number).
    """
    dataset = read_dataset(file)
    if optional(dataset, "Modality", file) != "RTSTRUCT":
        raise DoseloError(f"{file}: must be an RTSTRUCT by its tag Modality, found something else")
    items = _listed(dataset, file)
    drawn = _by_number(dataset, "ROIContourSequence", items, file)
    observed = _by_number(dataset, "RTROIObservationsSequence", items, file)
    names = Counter(optional(item, "ROIName", file, "") for item in items.values())
    rois = tuple(
        _read_roi(number, item, drawn.get(number, []), observed.get(number, []), names, file)
        for number, item in items.items()
    )
    frame = _frame([items[roi.number] for roi in rois if roi.contours], dataset, file)
    return StructureSet(rois, frame, *_references(dataset, frame, file))


def _listed(dataset: Dataset, file: Path) -> dict[int, Dataset]:
    """Items of the StructureSetROISequence by ROI number."""
    items: dict[int, Dataset] = {}
    for item in required(dataset, "StructureSetROISequence", file):
        number = integer(item, "ROINumber", file)
        if number in items:
            raise DoseloError(f"{file}: ROI numbers must be unique, found {number} twice; export it again")
        items[number] = item
    return items


def _by_number(dataset: Dataset, keyword: str, listed: dict[int, Dataset], file: Path) -> dict[int, list[Dataset]]:
    """Items of another sequence by the ROI that they refer to."""
    items: dict[int, list[Dataset]] = {}
    for item in optional(dataset, keyword, file, ()):
        number = integer(item, "ReferencedROINumber", file)
        if number not in listed:
            raise DoseloError(
                f"{file}: {keyword} refers to ROI number {number}, which StructureSetROISequence does not list; "
                "export it again"
            )
        items.setdefault(number, []).append(item)
    return items


def _read_roi(
    number: int, item: Dataset, drawn: list[Dataset], observed: list[Dataset], names: Counter[str], file: Path
) -> Roi:
    contours: list[np.ndarray] = []
    notes: list[str] = []
    for part in drawn:
        try:
            more, skipped = read_contours(part, file)
        except DoseloError as error:
            raise DoseloError(f"{error}, ROI number {number}") from None
        contours, notes = contours + more, notes + skipped
    name = optional(item, "ROIName", file, "")
    if not name:
        notes.append("has no name")
    elif names[name] > 1:
        notes.append(f"{names[name]} regions have this name")
    if not contours:
        notes.append("has no closed contour: empty")
    kind = next((optional(o, "RTROIInterpretedType", file, "") for o in observed), "")
    automatic = optional(item, "ROIGenerationAlgorithm", file) == "AUTOMATIC"
    return Roi(number, name, kind, tuple(contours), tuple(notes), automatic)


def _frame(items: list[Dataset], dataset: Dataset, file: Path) -> str:
    """The one frame of reference of all regions that have contours; else the first that the file names."""
    used = {optional(item, "ReferencedFrameOfReferenceUID", file) for item in items} - {None}
    if len(used) > 1:
        raise DoseloError(
            f"{file}: all contours must lie in one frame of reference, found {len(used)}; export one structure set "
            "for each image series"
        )
    referenced = _below([dataset], "ReferencedFrameOfReferenceSequence", file)
    named = [optional(item, "FrameOfReferenceUID", file) for item in [*referenced, dataset]]
    return next(uid for uid in [*used, *named, ""] if uid is not None)


def _references(dataset: Dataset, frame: str, file: Path) -> tuple[str | None, frozenset[str]]:
    """Series and images on which the contours were drawn; the series is None if there are none or several."""
    frames = _below([dataset], "ReferencedFrameOfReferenceSequence", file)
    of_frame = [item for item in frames if optional(item, "FrameOfReferenceUID", file) in (frame, None)]
    series = _below(_below(of_frame, "RTReferencedStudySequence", file), "RTReferencedSeriesSequence", file)
    named = {optional(item, "SeriesInstanceUID", file) for item in series} - {None}
    contours = _below(_below([dataset], "ROIContourSequence", file), "ContourSequence", file)
    images = _below([*series, *contours], "ContourImageSequence", file)
    uids = {optional(item, "ReferencedSOPInstanceUID", file) for item in images} - {None}
    return next(iter(named)) if len(named) == 1 else None, frozenset(uids)


def _below(items: Iterable[Dataset], keyword: str, file: Path) -> list[Dataset]:
    """The items of a sequence in all `items` together."""
    return [item for parent in items for item in optional(parent, keyword, file, ())]

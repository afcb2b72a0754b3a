"""What lies in a folder: every DICOM file's header, whatever folders and files are called.

Only the tags that tell what belongs together are read, so a slice of a CT costs a fraction of a millisecond.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID_dictionary

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import map_cases

from .objects import WELL_KNOWN_ROOT, is_dicom, optional, read_dataset, required

DICOM_KINDS = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
    "1.2.840.10008.5.1.4.1.1.66.1": "REG",
    "1.2.840.10008.5.1.4.1.1.66.3": "REG",
}
"""The objects that are used, by SOPClassUID (PS3.4 B.5)."""
IDENTITY = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")
TAGS = (
    *IDENTITY,
    *("SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SeriesDescription", "ImageType"),
    *("ApprovalStatus", "StructureSetROISequence", "ReferencedFrameOfReferenceSequence"),
    *("RegistrationSequence", "DeformableRegistrationSequence"),
    *("DoseSummationType", "DoseUnits", "DoseType", "ReferencedRTPlanSequence", "ReferencedStructureSetSequence"),
    *("StructureSetDate", "StructureSetTime", "RTPlanDate", "RTPlanTime", "AcquisitionDate", "AcquisitionTime"),
    *("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime", "StudyDate", "StudyTime"),
)
DATES = {"RTSTRUCT": ["StructureSet"], "RTPLAN": ["RTPlan"], "CT": ["Acquisition"], "MR": ["Acquisition"]}
FRAME_REFERENCES = "ReferencedFrameOfReferenceSequence"
SERIES_REFERENCES = (FRAME_REFERENCES, "RTReferencedStudySequence", "RTReferencedSeriesSequence")
DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
MACOS_NOTE = "._"
DIRECTORY_FILE = "DICOMDIR"
LOCALISER = "localiser"
FILES_A_CHUNK = 250


@dataclass(frozen=True)
class Header:
    """What one object says about itself and about others. A text that it lacks is ""; a set that it lacks is empty.

    date: when it was made, as YYYYMMDDHHMMSS; sorts by time.
    frames: its frame of reference; of a registration object, all the frames that it relates.
    kind: one of `DICOM_KINDS`, or `LOCALISER`.
    drawn_on: of a structure set, SeriesInstanceUID and the images' SOPInstanceUIDs of each series that it refers to.
    is_absolute: of a dose, not relative to something and no error estimate.
    of_structures: the structure sets that a plan or dose was made for.
    """

    path: Path
    kind: str
    patient_id: str
    issuer: str
    study: str
    series: str
    instance: str
    date: str
    description: str = ""
    approval: str = ""
    frames: frozenset[str] = frozenset()
    roi_names: tuple[str, ...] = ()
    summation: str = ""
    is_absolute: bool = True
    plans: frozenset[str] = frozenset()
    drawn_on: tuple[tuple[str, frozenset[str]], ...] = ()
    of_structures: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Unreadable:
    """A damaged DICOM file; `patient_id` where at least that can be read."""

    path: Path
    message: str
    patient_id: str


@dataclass(frozen=True)
class Scan:
    """All headers below a folder, one of each object, and what was passed over."""

    headers: tuple[Header, ...]
    unreadable: tuple[Unreadable, ...]
    other_files: int
    other_objects: Counter[str]
    duplicates: int


def scan(source: Path, *, processes: int = 1) -> Scan:
    """Read the headers of all files below `source`, in the order of their paths.

    An object that lies there twice (same SOPInstanceUID) counts once. Directory files (DICOMDIR) are passed over.

    Raises
    ------
    DoseloError: `source` is no folder, or cannot be listed.
    """
    files = _files(source)
    chunks = [files[first : first + FILES_A_CHUNK] for first in range(0, len(files), FILES_A_CHUNK)]
    answers: list[Any] = [
        answer
        for of_chunk in map_cases(
            _read_chunk,
            chunks,
            processes=processes if len(chunks) > 8 * processes else 1,
            description="Reading headers",
        )
        for answer in of_chunk
    ]
    headers = [answer for answer in answers if isinstance(answer, Header)]
    by_instance = {header.instance: header for header in reversed(headers)}
    return Scan(
        headers=tuple(sorted(by_instance.values(), key=lambda header: header.path)),
        unreadable=tuple(answer for answer in answers if isinstance(answer, Unreadable)),
        other_files=sum(answer is None for answer in answers),
        other_objects=Counter(answer for answer in answers if isinstance(answer, str)),
        duplicates=len(headers) - len(by_instance),
    )


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        raise DoseloError(f"{source}: is no folder; name the one that holds the DICOM files")

    def refuse(error: OSError) -> None:
        raise DoseloError(f"{error.filename}: cannot be listed ({error.strerror})") from None

    below = os.walk(source, onerror=refuse)
    return sorted(Path(folder, name) for folder, _, names in below for name in names if name.upper() != DIRECTORY_FILE)


def _read_chunk(files: Sequence[Path]) -> list[Header | Unreadable | str | None]:
    return [_read(file) for file in files]


def _read(file: Path) -> Header | Unreadable | str | None:
    """Of a file that is no DICOM object None, of one that is not used the name of its kind.

    A file that is called DICOM and is not (empty, say) is a damaged one.
    """
    try:
        if not is_dicom(file) and not _is_called_dicom(file):
            return None
        dataset = read_dataset(file, only=TAGS)
        kind = DICOM_KINDS.get(required(dataset, "SOPClassUID", file))
        if kind is None:
            return _other_kind(dataset, file)
        if kind == "RTSTRUCT":
            required(dataset, "StructureSetROISequence", file)
        is_localiser = kind in ("CT", "MR") and "LOCALIZER" in optional(dataset, "ImageType", file, "")
        return _header(dataset, LOCALISER if is_localiser else kind, file)
    except DoseloError as error:
        return Unreadable(file, str(error), _patient_id(file))


def _is_called_dicom(file: Path) -> bool:
    return file.suffix.lower() in DICOM_ENDINGS and not file.name.startswith(MACOS_NOTE)


def _header(dataset: Dataset, kind: str, file: Path) -> Header:
    text = partial(_text, dataset, path=file)
    return Header(
        path=file,
        kind=kind,
        patient_id=text("PatientID"),
        issuer=text("IssuerOfPatientID"),
        study=str(required(dataset, "StudyInstanceUID", file)),
        series=str(required(dataset, "SeriesInstanceUID", file)),
        instance=str(required(dataset, "SOPInstanceUID", file)),
        date=_date(dataset, kind, file),
        description=text("SeriesDescription"),
        approval=text("ApprovalStatus"),
        frames=_frames(dataset, file),
        roi_names=tuple(_collect([dataset], ("StructureSetROISequence", "ROIName"), file)),
        summation=text("DoseSummationType"),
        is_absolute=text("DoseUnits") != "RELATIVE" and text("DoseType") != "ERROR",
        plans=_references(dataset, ("ReferencedRTPlanSequence",), file),
        drawn_on=tuple(
            (_text(series, "SeriesInstanceUID", file), _references(series, ("ContourImageSequence",), file))
            for series in _items([dataset], SERIES_REFERENCES, file)
        ),
        of_structures=_references(dataset, ("ReferencedStructureSetSequence",), file),
    )


def _frames(dataset: Dataset, file: Path) -> frozenset[str]:
    """Deformable registrations call the frames of their items by another keyword (PS3.3 C.20.3)."""
    keyword, deformable = "FrameOfReferenceUID", "SourceFrameOfReferenceUID"
    paths = (
        (keyword,),
        (FRAME_REFERENCES, keyword),
        ("RegistrationSequence", keyword),
        ("DeformableRegistrationSequence", deformable),
    )
    frames = {frame for path in paths for frame in _collect([dataset], path, file)}
    return frozenset(frame for frame in frames if not frame.startswith(WELL_KNOWN_ROOT))


def _references(dataset: Dataset, sequences: tuple[str, ...], file: Path) -> frozenset[str]:
    return frozenset(_collect([dataset], (*sequences, "ReferencedSOPInstanceUID"), file))


def _collect(items: Iterable[Dataset], keywords: tuple[str, ...], file: Path) -> list[str]:
    """The texts at the end of a path of nested sequences, in their order; [] where a part of it is missing."""
    *sequences, last = keywords
    return [text for item in _items(items, tuple(sequences), file) if (text := _text(item, last, file))]


def _items(items: Iterable[Dataset], sequences: tuple[str, ...], file: Path) -> list[Dataset]:
    for sequence in sequences:
        items = [below for item in items for below in optional(item, sequence, file, [])]
    return list(items)


def _date(dataset: Dataset, kind: str, file: Path) -> str:
    """The first date that is there, the object's own before its series' and its study's; "" without any."""
    for name in [*DATES.get(kind, []), "InstanceCreation", "Series", "Study"]:
        date = _text(dataset, f"{name}Date", file)
        if date:
            return date + _text(dataset, f"{name}Time", file).partition(".")[0]
    return ""


def _text(dataset: Dataset, keyword: str, path: Path) -> str:
    return str(optional(dataset, keyword, path, "")).strip()


def _other_kind(dataset: Dataset, file: Path) -> str:
    """The standard's name of an object's kind; never the UID itself."""
    name, *_ = UID_dictionary.get(str(required(dataset, "SOPClassUID", file)), ("",))
    return name or "private object"


def _patient_id(file: Path) -> str:
    try:
        return _text(read_dataset(file, only=IDENTITY, cut=True), "PatientID", file)
    except DoseloError:
        return ""

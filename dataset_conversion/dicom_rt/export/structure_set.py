"""An RT Structure Set (DICOM PS3.3 A.19) of contours on the slices of a CT, as planning systems import it.

Patient, study and frame of reference are the CT's; series and instance are new. Nothing in it is approved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.versions import version_of

from ..files.objects import optional, required
from ..files.slice_stack import CtStack, Slice
from .new_objects import new, put, require_text

COPIED_AS_IS = ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID")
"""What planning systems find the CT by: refused if the CT's own values break the standard."""
COPIED_IF_VALID = (
    *("IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"),
)
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, retired, and still what planning systems write and read here."""
NAME_LENGTH, LABEL_LENGTH = 64, 16
COORDINATE_DECIMALS = 4
FARTHEST_WRITTEN_MM = 1e6
"""So that a coordinate with its sign has at most 13 of the 16 characters of a decimal string."""


@dataclass(frozen=True, eq=False)
class NewRoi:
    """A structure to write. contours: index of the slice and (N, 3) patient coordinates in mm, of each contour."""

    name: str
    interpreted_type: str
    colour: tuple[int, int, int]
    contours: tuple[tuple[int, np.ndarray], ...]


def structure_set(rois: Sequence[NewRoi], stack: CtStack, label: str) -> Dataset:
    """The object, in memory.

    Parameters
    ----------
    rois: at least one, each with at least one contour; names are unique and at most 64 characters.
    label: StructureSetLabel, what the planning system lists it under; valid, of at most `LABEL_LENGTH` characters.

    Raises
    ------
    DoseloError: the CT lacks its identity or frame of reference, or they break the standard, or names do;
        coordinates are beyond a kilometre.
    """
    for roi in rois:
        require_text("label name", roi.name, NAME_LENGTH)
    now = datetime.now()
    images = [_image_reference(ct_slice) for ct_slice in stack.slices]
    item = _from_ct(stack, ascii_only=all(text.isascii() for text in [label, *(roi.name for roi in rois)]))
    put(
        item,
        SOPClassUID=RTStructureSetStorage,
        SOPInstanceUID=generate_uid(prefix=None),
        InstanceCreationDate=f"{now:%Y%m%d}",
        InstanceCreationTime=f"{now:%H%M%S}",
        Modality="RTSTRUCT",
        SeriesInstanceUID=generate_uid(prefix=None),
        SeriesNumber=None,
        SeriesDescription="auto-contoured, for research, not approved",
        OperatorsName="",
        Manufacturer="nnunet-doselo",
        SoftwareVersions=version_of("nnunet-doselo"),
        StructureSetLabel=label,
        StructureSetName=label,
        StructureSetDate=f"{now:%Y%m%d}",
        StructureSetTime=f"{now:%H%M%S}",
        ApprovalStatus="UNAPPROVED",
        ReferencedFrameOfReferenceSequence=[_frame_reference(item, images, stack)],
        StructureSetROISequence=[_roi(number, roi, item) for number, roi in enumerate(rois, start=1)],
        ROIContourSequence=[_drawn(number, roi, images) for number, roi in enumerate(rois, start=1)],
        RTROIObservationsSequence=[_observed(number, roi) for number, roi in enumerate(rois, start=1)],
    )
    item.file_meta = _file_meta(item)
    return item


def _from_ct(stack: CtStack, *, ascii_only: bool) -> Dataset:
    """Patient, study and frame modules; in the CT's character set unless a text of ours needs more than ASCII."""
    item, first = Dataset(), stack.slices[0]
    if not ascii_only:
        put(item, SpecificCharacterSet="ISO_IR 192")
    elif (charset := _identity(first, "SpecificCharacterSet")) is not None:
        put(item, SpecificCharacterSet=charset)
    for keyword in COPIED_AS_IS:
        put(item, **{keyword: _identity(first, keyword)})
    for keyword in COPIED_IF_VALID:
        try:
            put(item, **{keyword: optional(first.dataset, keyword, first.file)})
        except (ValueError, TypeError):
            put(item, **{keyword: None})
    return item


def _identity(ct_slice: Slice, keyword: str) -> Any:
    """A tag of the CT that must not be changed on the way: UIDs must be there, and whatever is there must be valid."""
    value = (required if keyword.endswith("UID") else optional)(ct_slice.dataset, keyword, ct_slice.file)
    try:
        new(**{keyword: value})
    except (ValueError, TypeError):
        raise DoseloError(
            f"{ct_slice.file}: the tag {keyword} breaks the DICOM standard, so planning systems could not match "
            "contours and CT; export the CT again"
        ) from None
    return value


def _frame_reference(item: Dataset, images: Sequence[Dataset], stack: CtStack) -> Dataset:
    series = new(
        SeriesInstanceUID=_identity(stack.slices[0], "SeriesInstanceUID"),
        ContourImageSequence=images,
    )
    study = new(
        ReferencedSOPClassUID=STUDY_CLASS,
        ReferencedSOPInstanceUID=item.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return new(FrameOfReferenceUID=item.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _image_reference(ct_slice: Slice) -> Dataset:
    return new(
        ReferencedSOPClassUID=_identity(ct_slice, "SOPClassUID"),
        ReferencedSOPInstanceUID=_identity(ct_slice, "SOPInstanceUID"),
    )


def _roi(number: int, roi: NewRoi, item: Dataset) -> Dataset:
    return new(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=item.FrameOfReferenceUID,
        ROIName=roi.name,
        ROIGenerationAlgorithm="AUTOMATIC",
        ROIGenerationDescription="nnunet-doselo, for research",
    )


def _drawn(number: int, roi: NewRoi, images: Sequence[Dataset]) -> Dataset:
    contours = [_contour(count, images[index], points) for count, (index, points) in enumerate(roi.contours, start=1)]
    return new(ReferencedROINumber=number, ROIDisplayColor=list(roi.colour), ContourSequence=contours)


def _contour(number: int, image: Dataset, points: np.ndarray) -> Dataset:
    item = new(
        ContourNumber=number,
        ContourImageSequence=[image],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points),
    )
    # as one text: a million numbers would take pydicom's objects a minute
    item.add(DataElement("ContourData", "DS", decimals(points), already_converted=True))
    return item


def decimals(points: np.ndarray) -> str:
    """Coordinates (N, 3) in mm as decimal strings, to 0.1 micrometre.

    Raises
    ------
    DoseloError: a coordinate is beyond a kilometre.
    """
    values = np.round(points, COORDINATE_DECIMALS).ravel() + 0.0  # no minus zero
    if not np.abs(values).max(initial=0) < FARTHEST_WRITTEN_MM:
        raise DoseloError("the CT lies a kilometre off its origin; check ImagePositionPatient of its slices")
    text = "\\".join([f"%.{COORDINATE_DECIMALS}f"] * values.size)
    return text % tuple(values.tolist())


def _observed(number: int, roi: NewRoi) -> Dataset:
    return new(
        ObservationNumber=number,
        ReferencedROINumber=number,
        RTROIInterpretedType=roi.interpreted_type,
        ROIInterpreter="",
    )


def _file_meta(item: Dataset) -> FileMetaDataset:
    """Implicit VR: in an explicit one a contour could not be longer than 64 kB (PS3.3 C.8.8.6, Contour Data)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = item.SOPClassUID
    meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return meta

"""DICOM objects on disk for tests: small, valid, made from arrays and contours.

Arrays are (Z, Y, X); positions are DICOM's patient coordinates (x, y, z) in mm: x to the left, y to the back, z to
the head. `Geometry` says where voxel (0, 0, 0) lies and which way rows, columns and slices run, as SimpleITK does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RTDoseStorage,
    RTStructureSetStorage,
    SpatialRegistrationStorage,
    generate_uid,
)

HEAD_FIRST_SUPINE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
ROW_AND_COLUMN = {
    "HFS": ((1, 0, 0), (0, 1, 0)),
    "HFP": ((-1, 0, 0), (0, -1, 0)),
    "HFDL": ((0, -1, 0), (1, 0, 0)),
    "HFDR": ((0, 1, 0), (-1, 0, 0)),
    "FFS": ((-1, 0, 0), (0, 1, 0)),
    "FFP": ((1, 0, 0), (0, -1, 0)),
    "FFDL": ((0, 1, 0), (1, 0, 0)),
    "FFDR": ((0, -1, 0), (-1, 0, 0)),
}
"""ImageOrientationPatient of the eight patient positions (DICOM PS3.3 C.7.3.1.1.2)."""


@dataclass(frozen=True)
class Geometry:
    """spacing_mm: (z, y, x). origin_mm: centre of voxel (0, 0, 0), (x, y, z).

    direction: SimpleITK's nine numbers; its columns are the directions of a row's, a column's and a slice's increase.
    """

    spacing_mm: tuple[float, float, float] = (3.0, 1.0, 1.0)
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = HEAD_FIRST_SUPINE

    @classmethod
    def of_position(cls, position: str, **more: tuple[float, ...]) -> "Geometry":
        """Of a patient position like "FFDL"; slices run along the cross product of row and column."""
        row, column = (np.array(v, float) for v in ROW_AND_COLUMN[position])
        matrix = np.stack([row, column, np.cross(row, column)], axis=1)
        return cls(direction=tuple(matrix.ravel().tolist()), **more)  # type: ignore[arg-type]

    @property
    def matrix(self) -> np.ndarray:
        return np.array(self.direction, float).reshape(3, 3)

    def position(self, index_xyz: Sequence[float] | np.ndarray) -> np.ndarray:
        """Patient coordinates (..., 3) of voxel indices (..., 3) in the order x, y, z; fractions allowed."""
        return np.asarray(index_xyz, float) * self.spacing_mm[::-1] @ self.matrix.T + self.origin_mm


@dataclass(frozen=True)
class Patient:
    """What all objects of one patient and study share. The texts are what must never leave the files."""

    name: str = "SECRET^NAME"
    patient_id: str = "SECRET-ID"
    study: str = field(default_factory=generate_uid)
    frame: str = field(default_factory=generate_uid)


def write_images(
    folder: Path,
    voxels: np.ndarray,
    geometry: Geometry,
    patient: Patient,
    *,
    modality: str = "CT",
    description: str = "",
    position: str = "HFS",
    slope: float = 1.0,
    intercept: float | None = None,
    frame: str | None = None,
) -> list[Dataset]:
    """A series, one file a slice: `voxels` are HU, or a MR's signal. Returns the datasets, in the order of slices."""
    series = generate_uid()
    shift = (-1024.0 if modality == "CT" else 0.0) if intercept is None else intercept
    written = []
    for index, plane in enumerate(voxels):
        sop_class = CTImageStorage if modality == "CT" else MRImageStorage
        item = _object(patient, modality, sop_class, series, frame)
        item.SeriesDescription = description
        item.PatientPosition = position
        item.InstanceNumber = index + 1
        item.ImagePositionPatient = _numbers(geometry.position((0, 0, index)))
        item.ImageOrientationPatient = _numbers(geometry.matrix[:, :2].T.ravel())
        item.PixelSpacing = _numbers(geometry.spacing_mm[1:])
        item.SliceThickness = f"{geometry.spacing_mm[0]:g}"
        if modality == "CT":
            item.RescaleSlope, item.RescaleIntercept, item.RescaleType = f"{slope:g}", f"{shift:g}", "HU"
        _put_pixels(item, np.rint((plane - shift) / slope).astype(np.int16), signed=True)
        written.append(save(item, folder / f"{modality}_{index:04d}.dcm"))
    return written


def write_rtstruct(
    file: Path,
    rois: Mapping[str, Sequence[np.ndarray]],
    images: Sequence[Dataset],
    patient: Patient,
    *,
    kind: str = "CLOSED_PLANAR",
    types: Mapping[str, str] | None = None,
    image_references: bool = True,
) -> Dataset:
    """A structure set: by ROI name, contours of (N, 3) patient coordinates. `images` are the CT's slices."""
    item = _object(patient, "RTSTRUCT", RTStructureSetStorage, generate_uid(), None)
    item.StructureSetLabel = "SECRET label"
    item.ReferencedFrameOfReferenceSequence = _sequence(_frame_reference(images, patient))
    item.StructureSetROISequence = DicomSequence()
    item.ROIContourSequence = DicomSequence()
    item.RTROIObservationsSequence = DicomSequence()
    for number, (name, contours) in enumerate(rois.items(), start=1):
        item.StructureSetROISequence.append(
            _dataset(
                ROINumber=number,
                ROIName=name,
                ROIGenerationAlgorithm="MANUAL",
                ReferencedFrameOfReferenceUID=patient.frame,
            )
        )
        observed = (types or {}).get(name, "ORGAN")
        item.RTROIObservationsSequence.append(
            _dataset(
                ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType=observed, ROIInterpreter=""
            )
        )
        drawn = _dataset(ReferencedROINumber=number, ROIDisplayColor=[255, 0, 0])
        drawn.ContourSequence = DicomSequence(_contour(c, kind, images, image_references) for c in contours)
        item.ROIContourSequence.append(drawn)
    return save(item, file)


def write_rtdose(
    file: Path,
    dose_gy: np.ndarray,
    geometry: Geometry,
    patient: Patient,
    *,
    units: str = "GY",
    summation: str = "PLAN",
    scaling: float = 1e-6,
    first_offset: float = 0.0,
    plan: str = "",
    structure_set: str = "",
) -> Dataset:
    """A dose grid. `first_offset` other than 0 writes GridFrameOffsetVector as patient z (PS3.3 C.8.8.3.2, b)."""
    item = _object(patient, "RTDOSE", RTDoseStorage, generate_uid(), None)
    item.ImagePositionPatient = _numbers(geometry.origin_mm)
    item.ImageOrientationPatient = _numbers(geometry.matrix[:, :2].T.ravel())
    item.PixelSpacing = _numbers(geometry.spacing_mm[1:])
    item.SliceThickness = ""
    item.NumberOfFrames = len(dose_gy)
    item.FrameIncrementPointer = 0x3004000C
    item.GridFrameOffsetVector = _numbers(first_offset + geometry.spacing_mm[0] * np.arange(len(dose_gy)))
    item.DoseUnits, item.DoseType, item.DoseSummationType = units, "PHYSICAL", summation
    item.DoseGridScaling = f"{scaling:g}"
    if plan:
        item.ReferencedRTPlanSequence = _sequence(_dataset(ReferencedSOPClassUID="", ReferencedSOPInstanceUID=plan))
    if structure_set:
        reference = _dataset(ReferencedSOPClassUID=RTStructureSetStorage, ReferencedSOPInstanceUID=structure_set)
        item.ReferencedStructureSetSequence = _sequence(reference)
    _put_pixels(item, np.rint(dose_gy / scaling).astype(np.uint32), signed=False)
    return save(item, file)


def write_registration(file: Path, patient: Patient, moving_frame: str, to_patient: np.ndarray) -> Dataset:
    """A rigid spatial registration object: `to_patient` (4, 4) takes `moving_frame` to the patient's frame."""
    item = _object(patient, "REG", SpatialRegistrationStorage, generate_uid(), None)
    steps = {patient.frame: np.eye(4), moving_frame: np.asarray(to_patient, float)}
    item.RegistrationSequence = DicomSequence(_registration(frame, matrix) for frame, matrix in steps.items())
    return save(item, file)


def save(item: Dataset, file: Path) -> Dataset:
    file.parent.mkdir(parents=True, exist_ok=True)
    item.save_as(file, enforce_file_format=True)
    return item


def _object(patient: Patient, modality: str, sop_class: str, series: str, frame: str | None) -> Dataset:
    item = _dataset(
        PatientName=patient.name,
        PatientID=patient.patient_id,
        PatientBirthDate="19500101",
        PatientSex="O",
        StudyInstanceUID=patient.study,
        StudyDate="20200102",
        StudyTime="101112",
        StudyID="SECRET",
        AccessionNumber="SECRET",
        ReferringPhysicianName="SECRET^DOCTOR",
        SeriesInstanceUID=series,
        SeriesNumber=1,
        Modality=modality,
        Manufacturer="",
        SOPClassUID=sop_class,
        SOPInstanceUID=generate_uid(),
        FrameOfReferenceUID=frame or patient.frame,
        PositionReferenceIndicator="",
    )
    item.file_meta = FileMetaDataset()
    item.file_meta.MediaStorageSOPClassUID = item.SOPClassUID
    item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return item


def _put_pixels(item: Dataset, values: np.ndarray, *, signed: bool) -> None:
    bits = values.dtype.itemsize * 8
    item.Rows, item.Columns = values.shape[-2:]
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated = item.BitsStored = bits
    item.HighBit, item.PixelRepresentation = bits - 1, int(signed)
    item.PixelData = np.ascontiguousarray(values).tobytes()
    item["PixelData"].VR = "OW"


def _frame_reference(images: Sequence[Dataset], patient: Patient) -> Dataset:
    series = _dataset(SeriesInstanceUID=images[0].SeriesInstanceUID)
    series.ContourImageSequence = DicomSequence(_image_reference(image) for image in images)
    study = _dataset(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=patient.study)
    study.RTReferencedSeriesSequence = _sequence(series)
    frame = _dataset(FrameOfReferenceUID=patient.frame)
    frame.RTReferencedStudySequence = _sequence(study)
    return frame


def _contour(points: np.ndarray, kind: str, images: Sequence[Dataset], with_reference: bool) -> Dataset:
    item = _dataset(ContourGeometricType=kind, NumberOfContourPoints=len(points))
    item.ContourData = _numbers(np.asarray(points, float).ravel())
    if with_reference:
        nearest = min(images, key=lambda image: _distance_to_plane(image, points[0]))
        item.ContourImageSequence = _sequence(_image_reference(nearest))
    return item


def _distance_to_plane(image: Dataset, point: np.ndarray) -> float:
    row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    return float(abs(np.cross(row, column) @ (np.asarray(point) - np.array(image.ImagePositionPatient, float))))


def _image_reference(image: Dataset) -> Dataset:
    return _dataset(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _registration(frame: str, matrix: np.ndarray) -> Dataset:
    step = _dataset(
        FrameOfReferenceTransformationMatrixType="RIGID", FrameOfReferenceTransformationMatrix=_numbers(matrix.ravel())
    )
    item = _dataset(FrameOfReferenceUID=frame)
    item.MatrixRegistrationSequence = _sequence(_dataset(MatrixSequence=_sequence(step)))
    return item


def _sequence(item: Dataset) -> DicomSequence:
    return DicomSequence([item])


def _dataset(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _numbers(values: Sequence[float] | np.ndarray) -> list[str]:
    """Decimal strings of at most 16 characters, as the standard allows."""
    return [f"{float(value):.10g}"[:16] for value in np.asarray(values, float).ravel()]

"""Written structure sets, read back by pydicom in its strict mode and by this project's own reader."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import Geometry, Patient, write_images
from pydicom import Dataset
from scipy.ndimage import gaussian_filter

from nnunet_doselo.dataset.images import grid_of, read_array
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rasterise import rasterise
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rtstruct import read_structure_set
from nnunet_doselo.dataset_conversion.dicom_rt.export import new_objects
from nnunet_doselo.dataset_conversion.dicom_rt.export.label_rois import Holes, rois_of
from nnunet_doselo.dataset_conversion.dicom_rt.export.structure_set import structure_set
from nnunet_doselo.dataset_conversion.dicom_rt.files.series import read_series
from nnunet_doselo.dataset_conversion.dicom_rt.files.slice_stack import CtStack, read_stack

SHAPE = (5, 18, 23)
VALUES = {"background": [0], "PTV": [1], "Brainstem": [2]}
POSITIONS = ("HFS", "HFP", "HFDL", "HFDR", "FFS", "FFP", "FFDL", "FFDR")
PLACE = {"spacing_mm": (2.5, 0.9765625, 1.25), "origin_mm": (-249.51171875, -117.3, 33.25)}

# PS3.3, A.19.3: the modules that an RT Structure Set must have, and of each the attributes of type 1 (a value) and 2
# (there, may be empty), with those of type 1C and 2C whose condition is met
MODULES = {
    "Patient": ((), ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")),
    "General Study": (
        ("StudyInstanceUID",),
        ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    ),
    "RT Series": (("Modality", "SeriesInstanceUID"), ("SeriesNumber", "OperatorsName")),
    "General Equipment": ((), ("Manufacturer",)),
    "Frame of Reference": (("FrameOfReferenceUID",), ("PositionReferenceIndicator",)),
    "Structure Set": (
        ("StructureSetLabel", "StructureSetROISequence"),
        ("StructureSetDate", "StructureSetTime"),
    ),
    "ROI Contour": (("ROIContourSequence",), ()),
    "RT ROI Observations": (("RTROIObservationsSequence",), ()),
    "Approval": (("ApprovalStatus",), ()),
    "SOP Common": (("SOPClassUID", "SOPInstanceUID"), ()),
}
ITEMS = {
    "ReferencedFrameOfReferenceSequence": (("FrameOfReferenceUID",), ()),
    "RTReferencedStudySequence": (
        ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID", "RTReferencedSeriesSequence"),
        (),
    ),
    "RTReferencedSeriesSequence": (("SeriesInstanceUID", "ContourImageSequence"), ()),
    "ContourImageSequence": (("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"), ()),
    "StructureSetROISequence": (
        ("ROINumber", "ReferencedFrameOfReferenceUID"),
        ("ROIName", "ROIGenerationAlgorithm"),
    ),
    "ROIContourSequence": (("ReferencedROINumber",), ()),
    "ContourSequence": (("ContourGeometricType", "NumberOfContourPoints", "ContourData"), ()),
    "RTROIObservationsSequence": (
        ("ObservationNumber", "ReferencedROINumber"),
        ("RTROIInterpretedType", "ROIInterpreter"),
    ),
}


def oblique() -> tuple[float, ...]:
    """Slices turned by 20 degrees about x, then by 30 degrees about z."""
    a, b = np.deg2rad((20, 30))
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return tuple((about_z @ about_x).ravel().tolist())


GEOMETRIES = {name: Geometry.of_position(name, **PLACE) for name in POSITIONS}
GEOMETRIES["oblique"] = Geometry(direction=oblique(), **PLACE)


def blobs(seed: int) -> np.ndarray:
    """Two structures full of islands and holes, down to single voxels, that touch each other and all borders."""
    noise = gaussian_filter(np.random.default_rng(seed).random(SHAPE), (0.3, 0.8, 0.8))
    return (np.searchsorted(np.quantile(noise, (0.3, 0.6)), noise) % 3).astype(np.uint8)


def ct_in(folder: Path, geometry: Geometry, patient: Patient) -> list[Dataset]:
    return write_images(folder, np.zeros(SHAPE), geometry, patient)


def stack_in(folder: Path) -> CtStack:
    return read_stack(sorted(folder.glob("*.dcm")))


def export(labels: np.ndarray, stack: CtStack, file: Path, holes: Holes = "keyhole") -> Dataset:
    """Label map on the CT's grid to a file; returns what pydicom reads back."""
    rois, notes = rois_of(labels, stack.grid, VALUES, stack, holes=holes)
    assert notes == []
    new_objects.save(structure_set(rois, stack, "doselo"), file)
    return pydicom.dcmread(file)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydicom raises where a value breaks the standard."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)


@pytest.fixture
def written(tmp_path: Path, strict: None) -> tuple[list[Dataset], Dataset]:
    """The slices of a CT, and a structure set on them."""
    slices = ct_in(tmp_path / "ct", GEOMETRIES["FFDL"], Patient())
    return slices, export(blobs(0), stack_in(tmp_path / "ct"), tmp_path / "rtstruct.dcm")


@pytest.mark.parametrize(
    ("name", "holes"), [*((name, "keyhole") for name in GEOMETRIES), ("HFP", "nested"), ("oblique", "nested")]
)
def test_masks_come_back_to_the_voxel(tmp_path: Path, name: str, holes: Holes) -> None:
    labels = blobs(list(GEOMETRIES).index(name))
    ct_in(tmp_path / "ct", GEOMETRIES[name], Patient())
    grid = grid_of(read_series(sorted((tmp_path / "ct").iterdir())))
    stack = stack_in(tmp_path / "ct")
    assert stack.grid.differences(grid) == []
    export(labels, stack, tmp_path / "rtstruct.dcm", holes)
    found = read_structure_set(tmp_path / "rtstruct.dcm")
    assert [roi.name for roi in found.rois] == ["PTV", "Brainstem"]
    for roi in found.rois:
        again = rasterise(roi.contours, grid, fill_gaps=False)
        assert np.array_equal(again.mask, labels == VALUES[roi.name][0])
        assert roi.notes == again.notes == ()


@pytest.mark.parametrize("holes", ["keyhole", "nested"])
def test_single_voxels_and_checkerboards_come_back(tmp_path: Path, holes: Holes) -> None:
    labels = (np.indices(SHAPE).sum(axis=0) % 2).astype(np.uint8)
    labels[2] = 0
    labels[2, 0, 0] = labels[2, -1, -1] = labels[2, 7, 7] = 2
    ct_in(tmp_path / "ct", GEOMETRIES["HFS"], Patient())
    stack = stack_in(tmp_path / "ct")
    export(labels, stack, tmp_path / "rtstruct.dcm", holes)
    for roi in read_structure_set(tmp_path / "rtstruct.dcm").rois:
        again = rasterise(roi.contours, stack.grid, fill_gaps=False).mask
        assert np.array_equal(again, labels == VALUES[roi.name][0])


def test_the_bones_of_a_real_head_come_back(tmp_path: Path, realdata: Path) -> None:
    ct_hu, grid = read_array(realdata / "head_ct" / "head_ct.nii.gz")
    geometry = Geometry(grid.spacing_zyx, grid.origin, grid.direction)  # type: ignore[arg-type]
    write_images(tmp_path / "ct", ct_hu, geometry, Patient())
    labels = np.where(ct_hu > 300, 2, 0).astype(np.uint8)
    labels[0, 0, 0] = 1
    export(labels, stack_in(tmp_path / "ct"), tmp_path / "rtstruct.dcm")
    _, bones = read_structure_set(tmp_path / "rtstruct.dcm").rois
    assert len(bones.contours) > 500
    assert np.array_equal(rasterise(bones.contours, grid, fill_gaps=False).mask, labels == 2)


def test_every_module_has_what_the_standard_demands(written: tuple[list[Dataset], Dataset]) -> None:
    _, item = written
    missing = [f"{module}: {keyword}" for module, wanted in MODULES.items() for keyword in lacking(item, wanted)]
    missing += [
        f"{sequence}: {keyword}"
        for sequence, wanted in ITEMS.items()
        for below in items_of(item, sequence)
        for keyword in lacking(below, wanted)
    ]
    assert missing == []
    assert all(any(True for _ in items_of(item, sequence)) for sequence in ITEMS)


def lacking(item: Dataset, wanted: tuple[tuple[str, ...], tuple[str, ...]]) -> list[str]:
    with_value, there = wanted
    return [k for k in with_value if k not in item or item[k].is_empty] + [k for k in there if k not in item]


def items_of(item: Dataset, sequence: str) -> Iterator[Dataset]:
    for element in item.iterall():
        if element.keyword == sequence:
            yield from element.value


def test_every_value_is_valid_in_the_strict_mode(written: tuple[list[Dataset], Dataset]) -> None:
    _, item = written
    assert sum(1 for _ in item.iterall()) > 1000
    texts = [str(number.original_string) for c in items_of(item, "ContourSequence") for number in c.ContourData]
    assert max(len(text) for text in texts) <= 16
    assert item.file_meta.TransferSyntaxUID == pydicom.uid.ImplicitVRLittleEndian
    assert item.file_meta.MediaStorageSOPInstanceUID == item.SOPInstanceUID


def test_patient_study_and_frame_are_the_cts_and_the_rest_is_new(written: tuple[list[Dataset], Dataset]) -> None:
    slices, item = written
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID"):
        assert item[keyword].value == slices[0][keyword].value
    assert item.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    assert item.SeriesInstanceUID != slices[0].SeriesInstanceUID
    assert item.SOPInstanceUID not in {one.SOPInstanceUID for one in slices}
    assert (item.SOPClassUID.name, item.Modality) == ("RT Structure Set Storage", "RTSTRUCT")
    assert (item.ApprovalStatus, item.StructureSetLabel) == ("UNAPPROVED", "doselo")
    assert "research" in item.SeriesDescription


def test_structures_say_what_they_are(written: tuple[list[Dataset], Dataset]) -> None:
    _, item = written
    assert [roi.ROIName for roi in item.StructureSetROISequence] == ["PTV", "Brainstem"]
    assert [roi.ROINumber for roi in item.StructureSetROISequence] == [1, 2]
    assert {roi.ROIGenerationAlgorithm for roi in item.StructureSetROISequence} == {"AUTOMATIC"}
    assert {roi.ReferencedFrameOfReferenceUID for roi in item.StructureSetROISequence} == {item.FrameOfReferenceUID}
    observed = item.RTROIObservationsSequence
    assert [(o.ReferencedROINumber, o.RTROIInterpretedType) for o in observed] == [(1, "PTV"), (2, "ORGAN")]
    assert [o.ROIInterpreter for o in observed] == ["", ""]
    assert item.ROIContourSequence[0].ROIDisplayColor == [255, 0, 0]


def test_all_slices_are_referenced_and_each_contour_lies_on_its_own(written: tuple[list[Dataset], Dataset]) -> None:
    """In voxels of the geometry that wrote the CT, corners are halves and the slice is the referenced one."""
    slices, item = written
    geometry = GEOMETRIES["FFDL"]
    (series,) = item.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == slices[0].SeriesInstanceUID
    uids = [one.SOPInstanceUID for one in slices]
    assert sorted(image.ReferencedSOPInstanceUID for image in series.ContourImageSequence) == sorted(uids)
    for contour in items_of(item, "ContourSequence"):
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        assert contour.NumberOfContourPoints == len(points)
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        x, y, z = ((points - geometry.origin_mm) @ geometry.matrix / geometry.spacing_mm[::-1]).T
        assert np.allclose(np.mod((x, y), 1), 0.5, atol=1e-3)
        assert np.allclose(z, uids.index(contour.ContourImageSequence[0].ReferencedSOPInstanceUID), atol=1e-3)


def test_a_contour_of_many_points_keeps_its_type(tmp_path: Path, strict: None) -> None:
    """A comb of 1500 teeth has 6000 corners: 200 kB, more than an explicit VR could say."""
    labels = np.zeros((2, 6, 3001), np.uint8)
    labels[0, 2:] = 1
    labels[0, 2:4, 1::2] = 0
    labels[1, 0, 0] = 2
    write_images(tmp_path / "ct", np.zeros(labels.shape), Geometry(), Patient())
    stack = stack_in(tmp_path / "ct")
    item = export(labels, stack, tmp_path / "rtstruct.dcm")
    (contour,) = item.ROIContourSequence[0].ContourSequence
    assert (contour["ContourData"].VR, contour.NumberOfContourPoints) == ("DS", 6004)
    again = rasterise(read_structure_set(tmp_path / "rtstruct.dcm").rois[0].contours, stack.grid, fill_gaps=False)
    assert np.array_equal(again.mask, labels == 1)

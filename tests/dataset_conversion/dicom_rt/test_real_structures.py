"""Structure sets of real patients: they parse, and their doses are what other programs found."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import grid_of
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rasterise import rasterise
from nnunet_doselo.dataset_conversion.dicom_rt.contours.rtstruct import Roi, StructureSet, read_structure_set
from nnunet_doselo.dataset_conversion.dicom_rt.dose.rtdose import Dose, on_grid, read_doses
from nnunet_doselo.dataset_conversion.dicom_rt.files.objects import read_dataset
from nnunet_doselo.evaluation.dvh import DVH

AXIAL = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)


def dicom_folder(realdata: Path, name: str) -> Path:
    folder = realdata / "dicom_rt" / name
    if not folder.is_dir():
        pytest.skip(f"no real DICOM: {folder} is no folder; set DOSELO_REALDATA to the folder of real patients")
    return folder


def roi_of(structures: StructureSet, name: str) -> Roi:
    return next(roi for roi in structures.rois if roi.name == name)


def dvh_of(roi: Roi, dose_gy: np.ndarray, grid: Grid) -> DVH:
    mask = rasterise(roi.contours, grid, fill_gaps=not roi.automatic).mask
    return DVH.from_dose(dose_gy, mask, float(np.prod(grid.spacing)) / 1000)


@pytest.fixture(scope="module")
def prostate(realdata: Path) -> tuple[StructureSet, Dose]:
    folder = dicom_folder(realdata, "pinnacle_prostate")
    return read_structure_set(folder / "rtss.dcm"), read_doses([folder / "rtdose.dcm"])


@pytest.fixture(scope="module")
def breast_dvhs(realdata: Path) -> dict[str, DVH]:
    """Of all structures, on the dose grid: it has a plane on every plane of contours."""
    folder = dicom_folder(realdata, "dicompyler_breast_full")
    dose = read_doses([folder / "rtdose.dcm"]).image
    dose_gy = sitk.GetArrayFromImage(dose)
    return {roi.name: dvh_of(roi, dose_gy, grid_of(dose)) for roi in read_structure_set(folder / "rtss.dcm").rois}


@pytest.fixture(scope="module")
def breast_stored_gy(realdata: Path) -> dict[str, float]:
    """Mean doses in the RTDOSE's DVHs, which are percent of the prescribed 14 Gy and called Gy there."""
    folder = dicom_folder(realdata, "dicompyler_breast_full")
    names = {roi.number: roi.name for roi in read_structure_set(folder / "rtss.dcm").rois}
    return {
        names[int(item.DVHReferencedROISequence[0].ReferencedROINumber)]: float(item.DVHMeanDose) * 14.0 / 100
        for item in read_dataset(folder / "rtdose.dcm").DVHSequence
    }


def test_points_and_empty_regions_of_pinnacle_are_kept_with_notes(prostate: tuple[StructureSet, Dose]) -> None:
    rois = prostate[0].rois
    points = ("contours skipped: 1 of type POINT", "has no closed contour: empty")
    assert len(rois) == 46
    assert [roi.number for roi in rois if roi.notes == points] == list(range(1, 14))
    assert [roi.name for roi in rois if not roi.contours][13:] == ["Bowel", "NVBs"]


def test_dose_of_the_target_on_the_dose_grid(prostate: tuple[StructureSet, Dose]) -> None:
    """D95 = 57.8 Gy, as found on a coarse grid; planes of contours lie between those of the dose."""
    structures, dose = prostate
    native = grid_of(dose.image)
    size = tuple(n * k for n, k in zip(native.size, (2, 2, 1), strict=True))
    finer = Grid(size, tuple(np.array(native.spacing) / (2, 2, 1)), native.origin, native.direction)
    dvh = dvh_of(roi_of(structures, "PTV_60Gy"), on_grid(dose, finer), finer)
    assert dvh.dose_at_volume(0.95) == pytest.approx(57.8, abs=0.3)


def test_dose_of_the_target_on_its_own_slices_is_dicompyler_core_s(prostate: tuple[StructureSet, Dose]) -> None:
    """dicompyler-core 0.5.6 finds 55.453 cc, D98 57.73, D95 58.20, D50 61.97 and mean 62.157 Gy (histogram of cGy)."""
    structures, dose = prostate
    native, roi = grid_of(dose.image), roi_of(structures, "PTV_60Gy")
    lowest = min(float(contour[0, 2]) for contour in roi.contours)
    slices = Grid((*native.size[:2], 34), (*native.spacing[:2], 1.5), (*native.origin[:2], lowest), AXIAL)
    dvh = dvh_of(roi, on_grid(dose, slices), slices)
    assert dvh.volume_cc == pytest.approx(55.453, abs=0.001)
    assert dvh.mean_gy == pytest.approx(62.157, abs=0.02)
    for fraction, gy in {0.98: 57.73, 0.95: 58.20, 0.50: 61.97}.items():
        assert dvh.dose_at_volume(fraction) == pytest.approx(gy, abs=0.05)


# dicompyler-core 0.5.6 on the same files, cc
BREAST_CC = {
    "BODY": 14882.10,
    "Borders": 1.20,
    "Breast": 400.39,
    "Heart": 440.23,
    "Lt Lung": 2004.52,
    "Nodes": 0.656,
    "Tumor Bed": 13.069,
    "Tumor Bed Block": 63.337,
}


@pytest.mark.parametrize("name", BREAST_CC)
def test_volumes_are_dicompyler_core_s(breast_dvhs: dict[str, DVH], name: str) -> None:
    assert breast_dvhs[name].volume_cc == pytest.approx(BREAST_CC[name], rel=1e-3)


@pytest.mark.parametrize("name", ["Borders", "Breast", "Heart", "Lt Lung", "Tumor Bed", "Tumor Bed Block"])
def test_mean_doses_are_those_of_the_planning_system(
    breast_dvhs: dict[str, DVH], breast_stored_gy: dict[str, float], name: str
) -> None:
    """All but the body, of which it took 6 % less, and two structures of 35 and 28 voxels."""
    assert breast_dvhs[name].mean_gy == pytest.approx(breast_stored_gy[name], rel=0.01)


def test_a_structure_set_without_preamble(realdata: Path) -> None:
    """A box of 20 cm and a tumour of 10 cm, on voxels of 10 cm."""
    structures = read_structure_set(dicom_folder(realdata, "monaco_tinyfs") / "277aad_TinyFS_StrctrSets.dcm")
    grid = Grid((5, 5, 5), (100.0,) * 3, (-200.0,) * 3, AXIAL)
    found = {roi.name: np.argwhere(rasterise(roi.contours, grid).mask) for roi in structures.rois}
    assert len(found["patient"]) == 27
    assert (found["patient"].min(axis=0), found["patient"].max(axis=0)) == (pytest.approx(1), pytest.approx(3))
    assert found["tumor"].tolist() == [[2, 2, 2]]

"""The dose of a contour as a file, its DVHs, and what an edit changes, with 60 Gy in the contour and 0 outside."""

import csv
from pathlib import Path

import numpy as np
import phantoms
import pytest
from predictors import sixty_times_target, stand_in

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.scoring.edited_contour import ContourDose, ContourFiles, dose_of_contour

PREDICTOR = stand_in(sixty_times_target)


@pytest.fixture
def files(tmp_path: Path) -> ContourFiles:
    """A cube of 4 x 4 x 4 voxels of 3 mm."""
    files = ContourFiles(*(tmp_path / f"{name}.nii.gz" for name in ("ct", "oars", "contour", "dose")))
    write_array(files.ct, phantoms.head_ct(), phantoms.grid_for())
    write_array(files.oars, phantoms.organ_labels(), phantoms.grid_for())
    write_array(files.labels, cube(), phantoms.grid_for())
    return files


def cube(shift: int = 0) -> np.ndarray:
    labels = np.zeros(phantoms.SHAPE, np.uint8)
    labels[6:10, 12:16, 12 + shift : 16 + shift] = 1
    return labels


def compared(files: ContourFiles, dvh: str | None = None) -> tuple[ContourFiles, ContourDose]:
    """To a reference that lies one voxel beside."""
    reference = files.ct.with_name("reference.nii.gz")
    write_array(reference, cube(shift=1), phantoms.grid_for())
    both = ContourFiles(
        files.ct, files.oars, files.labels, files.out, files.ct.with_name(dvh) if dvh else None, reference
    )
    return both, dose_of_contour(PREDICTOR, both)


def table(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["structure"], row["dose"]): row for row in csv.DictReader(path.read_text().splitlines())}


def test_the_dose_is_written_on_the_cts_grid_in_gy(files: ContourFiles) -> None:
    dose_of_contour(PREDICTOR, files)
    dose_gy, grid = read_array(files.out)
    np.testing.assert_array_equal(dose_gy, 60 * cube())
    assert dose_gy.dtype == np.float32
    assert grid.differences(phantoms.grid_for()) == []


def test_dvhs_of_the_target_and_the_organs(files: ContourFiles) -> None:
    found = dose_of_contour(PREDICTOR, files)
    gtv, *organs = found.curves
    assert (gtv.name, gtv.reference.mean_gy, gtv.reference.dose_at_volume(0.95)) == ("GTV", 60, 60)
    assert gtv.reference.volume_cc == pytest.approx(64 * 0.027)
    assert [one.name for one in organs] == list(phantoms.OARS)
    assert found.union_rmae is None


def test_an_edit_is_read_in_the_reference_contour(files: ContourFiles) -> None:
    """48 of the reference's 64 voxels keep 60 Gy, 16 lose all, and the 16 outside get ten times the 6 Gy."""
    _, found = compared(files)
    gtv = found.curves[0]
    assert gtv.evaluated
    assert (gtv.reference.mean_gy, gtv.evaluated.mean_gy) == (60, 45)
    assert (gtv.reference.dose_at_volume(0.95), gtv.evaluated.dose_at_volume(0.95)) == (60, 0)
    assert gtv.evaluated.volume_at_dose(60) == 0.75
    assert found.union_rmae == pytest.approx((16 * 1 + 16 * 10) / 80)


def test_compared_the_contours_own_dose_is_written(files: ContourFiles) -> None:
    compared(files)
    np.testing.assert_array_equal(read_array(files.out)[0], 60 * cube())


def test_a_table_of_the_dvhs(files: ContourFiles) -> None:
    both, _ = compared(files, "dvh.csv")
    assert both.dvh
    found = table(both.dvh)
    assert found["GTV", "Dose of reference.nii.gz"]["dmean_gy"] == "60.0000"
    assert found["GTV", "Dose of contour.nii.gz"]["dmean_gy"] == "45.0000"
    assert found["GTV", "Dose of contour.nii.gz"]["volume_cc"] == "1.7280"
    assert len(found) == 2 * 4


def test_one_dose_has_one_row_a_structure_and_an_empty_contour_nan(files: ContourFiles) -> None:
    write_array(files.labels, 0 * cube(), phantoms.grid_for())
    dvh = files.ct.with_name("dvh.csv")
    dose_of_contour(PREDICTOR, ContourFiles(files.ct, files.oars, files.labels, files.out, dvh))
    found = table(dvh)
    assert len(found) == 4
    assert found["GTV", "Dose of contour.nii.gz"]["d95_gy"] == "nan"


def test_a_picture_of_the_dvhs(files: ContourFiles) -> None:
    both, _ = compared(files, "dvh.png")
    assert both.dvh
    assert both.dvh.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("out", "dvh", "message"),
    [
        ("dose.txt", None, "dose.txt: must end in one of .nii.gz"),
        ("dose.nii.gz", "dvh.pdf", "dvh.pdf: must end in one of .csv, .png"),
        ("ct.nii.gz", None, "ct.nii.gz: is an input too"),
    ],
)
def test_outputs_are_checked_before_anything_is_done(
    files: ContourFiles, out: str, dvh: str | None, message: str
) -> None:
    folder = files.ct.parent
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    wrong = ContourFiles(files.ct, files.oars, files.labels, folder / out, folder / dvh if dvh else None)
    with pytest.raises(DoseloError, match=message):
        dose_of_contour(PREDICTOR, wrong)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_contour_on_another_grid_is_refused_and_nothing_written(files: ContourFiles) -> None:
    write_array(files.labels, cube(), phantoms.grid_for(spacing_mm=(3, 3, 2.5)))
    with pytest.raises(DoseloError, match=r"contour.nii.gz: must lie on the grid of the CT: spacing"):
        dose_of_contour(PREDICTOR, files)
    assert not files.out.exists()

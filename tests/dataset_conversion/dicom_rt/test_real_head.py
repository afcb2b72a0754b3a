"""A real head to DICOM, to a dataset, to a structure set, and to a dataset again; the last is the first."""

import os
import shutil
from pathlib import Path

import dicom_files
import numpy as np
import pytest
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.dataset_conversion.dicom_rt.export.outlines import outlines

DATA = Path(os.environ.get("DOSELO_REALDATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
HEAD = DATA / "head_ct" / "head_ct.nii.gz"
pytestmark = pytest.mark.skipif(not HEAD.exists(), reason=f"{HEAD} is not there")

SLICES, EVERY = slice(20, 50), 2
BONE_HU = 300.0
MAPPING = "targets: {GTV: {gy: 60, mandatory: true}}\norgans: {Bone_Mandible: {synonyms: [Knochen]}}\n"


def head() -> tuple[np.ndarray, Grid]:
    """Thirty slices, every second voxel in the plane: (Z, Y, X) in HU."""
    ct_hu, grid = read_array(HEAD)
    part = ct_hu[SLICES, ::EVERY, ::EVERY]
    spacing = (grid.spacing[0] * EVERY, grid.spacing[1] * EVERY, grid.spacing[2])
    x, y, z = grid.origin
    return part, Grid(tuple(reversed(part.shape)), spacing, (x, y, z + SLICES.start * grid.spacing[2]), grid.direction)


def tumour(shape: tuple[int, ...]) -> np.ndarray:
    """A ball with a hollow, and an island of one voxel."""
    z, y, x = np.indices(shape)
    middle = [n / 2 for n in shape]
    distance = np.sqrt((1.5 * (z - middle[0])) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2)
    mask = (distance < 14) & (distance > 5)
    mask[4, 20, 20] = True
    return mask


def contours(mask: np.ndarray, geometry: dicom_files.Geometry) -> list[np.ndarray]:
    """Along voxel edges, in patient coordinates."""
    return [
        geometry.position(np.column_stack([line[:, ::-1], np.full(len(line), k)]))
        for k, plane in enumerate(mask)
        for line in outlines(plane)
    ]


def run(*command: str) -> None:
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output


def test_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "nnUNet_raw"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.yaml").write_text(MAPPING)
    ct_hu, grid = head()
    geometry = dicom_files.Geometry(grid.spacing_zyx, grid.origin, grid.direction)
    patient, bone, gtv = dicom_files.Patient(), ct_hu > BONE_HU, tumour(ct_hu.shape)
    images = dicom_files.write_images(tmp_path / "export", ct_hu, geometry, patient)
    rois = {"GTV": contours(gtv, geometry), "Knochen": contours(bone, geometry)}
    drawn = dicom_files.write_rtstruct(tmp_path / "export" / "rs.dcm", rois, images, patient)
    dose_gy = np.where(gtv, 60.0, 5.0)
    dicom_files.write_rtdose(
        tmp_path / "export" / "rd.dcm", dose_gy, geometry, patient, structure_set=drawn.SOPInstanceUID
    )

    as_it_is = ("--mapping", "names.yaml", "--spacing", "0", "--no-crop", "-np", "1")
    run("convert", "dicom", "export", "701", "--name", "First", *as_it_is)
    first = tmp_path / "nnUNet_raw" / "Dataset701_First"
    expected = {"ct": ct_hu, "labels": gtv, "oars": bone, "dose": dose_gy}
    for kind, array in expected.items():
        found, there = read_array(first / f"{kind}Tr" / "First_001.nii.gz")
        assert there.differences(grid) == []
        np.testing.assert_allclose(found, array, rtol=0, atol=1e-5)

    run("export-rtstruct", str(first / "labelsTr"), "--ct", "export", "--dataset", "701", "-o", "back", "-np", "1")
    (tmp_path / "again").mkdir()
    for file in [*(tmp_path / "export").glob("CT_*"), tmp_path / "back" / "First_001.dcm"]:
        shutil.copy(file, tmp_path / "again")
    run("convert", "dicom", "again", "702", "--name", "Second", *as_it_is)
    second, there = read_array(tmp_path / "nnUNet_raw" / "Dataset702_Second" / "labelsTr" / "Second_001.nii.gz")
    assert there.differences(grid) == []
    np.testing.assert_array_equal(second.astype(bool), gtv)

"""All eight patient positions, feet first and decubitus too: a linear dose in space, and the headers Eclipse wrote."""

from pathlib import Path

import dicom_files
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import ROW_AND_COLUMN, Geometry, Patient
from pydicom.uid import ExplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import grid_of
from nnunet_doselo.dataset_conversion.dicom_rt.dose.dose_file import read_dose_image
from nnunet_doselo.dataset_conversion.dicom_rt.dose.rtdose import on_grid, read_doses
from nnunet_doselo.dataset_conversion.dicom_rt.files.series import read_series

POSITIONS = sorted(ROW_AND_COLUMN)
DOSE_SHAPE = (14, 13, 15)
CT_SHAPE = (9, 8, 10)
DOSE_SPACING_MM = (3.0, 2.5, 2.0)
CT_SPACING_MM = (2.1, 1.3, 1.7)


def ramp_gy(points_mm: np.ndarray) -> np.ndarray:
    """(..., 3) patient coordinates to Gy: linear, with another slope along each axis; 25 to 75 Gy in these grids."""
    return 50 + points_mm @ (0.4, -0.7, 0.5)


def centred(position: str, shape: tuple[int, ...], spacing_mm: tuple[float, ...], turn: Rotation) -> Geometry:
    """A grid of that patient position, turned about its centre, which lies near the patient's origin."""
    matrix = turn.as_matrix() @ Geometry.of_position(position).matrix
    half = (np.array(shape[::-1]) - 1) / 2 * spacing_mm[::-1]
    origin = np.array([0.3, -0.4, 0.2]) - matrix @ half
    return Geometry(spacing_mm, tuple(origin), tuple(matrix.ravel()))  # type: ignore[arg-type]


def centres_mm(geometry: Geometry, shape: tuple[int, ...]) -> np.ndarray:
    """(Z, Y, X, 3) patient coordinates of all voxels, from the definition."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return geometry.position(np.stack([x, y, z], axis=-1))


@pytest.mark.parametrize("ct_turn_deg", [0, 17])
@pytest.mark.parametrize("dose_turn_deg", [0, -25])
@pytest.mark.parametrize("position", POSITIONS)
def test_a_linear_dose_is_exact_on_a_ct_of_any_position(
    tmp_path: Path, position: str, dose_turn_deg: float, ct_turn_deg: float
) -> None:
    """Grids of different spacing, offset and orientation: at every voxel of the CT within 0.1 % of the closed form."""
    dose_turn = Rotation.from_euler("zyx", (dose_turn_deg, dose_turn_deg / 3, -dose_turn_deg / 2), degrees=True)
    ct_turn = Rotation.from_euler("xz", (ct_turn_deg, -2 * ct_turn_deg), degrees=True)
    dose_geometry = centred(position, DOSE_SHAPE, DOSE_SPACING_MM, dose_turn)
    ct_geometry = centred(position, CT_SHAPE, CT_SPACING_MM, ct_turn)
    dose_gy = ramp_gy(centres_mm(dose_geometry, DOSE_SHAPE))
    dicom_files.write_rtdose(tmp_path / "dose.dcm", dose_gy, dose_geometry, Patient())
    dicom_files.write_images(tmp_path / "ct", np.zeros(CT_SHAPE), ct_geometry, Patient(), position=position)

    ct = read_series(list((tmp_path / "ct").iterdir()))
    sampled_gy = on_grid(read_doses([tmp_path / "dose.dcm"]), grid_of(ct))

    expected_gy = ramp_gy(centres_mm(ct_geometry, CT_SHAPE))
    assert sampled_gy == pytest.approx(expected_gy, rel=1e-3)


@pytest.mark.parametrize("position", POSITIONS)
def test_one_dose_read_in_any_position_is_the_same_on_a_supine_grid(tmp_path: Path, position: str) -> None:
    """What a planning system stores feet first or on the side is the same dose in the same patient."""
    geometry = centred(position, DOSE_SHAPE, DOSE_SPACING_MM, Rotation.identity())
    dicom_files.write_rtdose(tmp_path / "d.dcm", ramp_gy(centres_mm(geometry, DOSE_SHAPE)), geometry, Patient())
    supine = Grid((5, 5, 5), (2.0, 2.0, 2.0), (-4.0, -4.0, -4.0), dicom_files.HEAD_FIRST_SUPINE)
    expected_gy = ramp_gy(centres_mm(Geometry((2.0, 2.0, 2.0), (-4.0, -4.0, -4.0)), (5, 5, 5)))
    assert on_grid(read_doses([tmp_path / "d.dcm"]), supine) == pytest.approx(expected_gy, rel=1e-3)


FIRST_AND_LAST_MM = {
    "HFS": ((-351.0475, -161.4519, -1259.5), (102.9525, 58.5481, -1059.5)),
    "HFP": ((351.0475, 182.7169, -1256.5), (-98.9525, -57.2831, -1056.5)),
    "HFDL": ((-164.9469, 351.0475, -1283), (57.0531, -116.9525, -1083)),
    "HFDR": ((172.8459, -351.0475, -1262.5), (-59.1541, 96.9525, -1062.5)),
    "FFS": ((350.9521, -236.6169, 1252), (-99.0479, 59.3831, 1052)),
    "FFP": ((-350.9521, 237.8829, 1257), (85.0479, -58.1171, 1057)),
    "FFDL": ((-202.4149, -350.9521, 1254.5), (57.5851, 95.0479, 1054.5)),
    "FFDR": ((205.1489, 350.9521, 1255.5), (-58.8511, -123.0479, 1055.5)),
}
"""Centres of the first and the last voxel, from the headers by hand: with r and c the directions of a row's and a
column's pixels, 2 mm apart, first + 2 (columns - 1) r + 2 (rows - 1) c + 200 r x c."""


def eclipse(realdata: Path, ending: str) -> pydicom.Dataset:
    (file,) = (realdata / "dicom_rt" / "eclipse_dose_orient").glob(f"*_{ending}.dcm")
    return pydicom.dcmread(file)


@pytest.mark.parametrize("position", POSITIONS)
def test_eclipses_doses_lie_where_their_headers_say(realdata: Path, tmp_path: Path, position: str) -> None:
    """The pixels were removed by who published the files; a marker in the first voxel, another in the last."""
    image = with_pixels(eclipse(realdata, f"RD.DICOMORIENT.Dose_{position}_empty"), tmp_path / "dose.dcm")
    values = sitk.GetArrayViewFromImage(image)
    for marker, expected_mm in zip((1, 2), FIRST_AND_LAST_MM[position], strict=True):
        index = [int(i) for i in np.argwhere(values == marker)[0][::-1]]
        assert image.TransformIndexToPhysicalPoint(index) == pytest.approx(expected_mm, abs=1e-3)


def test_eclipses_dose_is_centred_on_the_isocentre_of_its_plan(realdata: Path, tmp_path: Path) -> None:
    image = with_pixels(eclipse(realdata, "RD.DICOMORIENT.Dose_HFS"), tmp_path / "dose.dcm")
    plan = eclipse(realdata, "RP.DICOMORIENT.HFS")
    middle = [(n - 1) / 2 for n in image.GetSize()]
    isocentre_mm = [float(v) for v in plan.BeamSequence[0].ControlPointSequence[0].IsocenterPosition]
    assert image.TransformContinuousIndexToPhysicalPoint(middle) == pytest.approx(isocentre_mm, abs=1e-3)


def with_pixels(item: pydicom.Dataset, file: Path) -> sitk.Image:
    """The dose that a header describes: 1 Gy in the first stored voxel, 2 Gy in the last, 0 elsewhere."""
    stored = np.zeros((item.NumberOfFrames, item.Rows, item.Columns), np.uint32)
    stored.flat[0], stored.flat[-1] = 1, 2
    item.DoseGridScaling = "1"
    item.PixelData = stored.tobytes()
    item["PixelData"].VR = "OW"
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.save_as(file, implicit_vr=False, little_endian=True)
    return read_dose_image(file)

"""Known moves are found again, on synthetic patients and on a real one's MR; what cannot be right is refused."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.phantom.patient import SyntheticPatient, make_patient
from nnunet_doselo.dataset_conversion.registration.rigid import doubts, register_rigid, require_plausible

GOOD = {
    "mutual_information": 0.8,
    "mutual_information_start": 0.3,
    "overlap": 1.0,
    "agreeing_starts": 9.0,
    "translation_mm": 8.0,
    "rotation_deg": 5.0,
}


@dataclass(frozen=True)
class Head:
    ct: sitk.Image
    t1: sitk.Image
    t2: sitk.Image
    brain: sitk.Image


@pytest.fixture(scope="module")
def head() -> Head:
    """At 4 mm: interpolated twice, at 6 mm, the move itself is not sharp to half a millimetre."""
    return head_at(4.0)


@pytest.fixture(scope="module")
def coarse_head() -> Head:
    return head_at(6.0)


def head_at(spacing_mm: float) -> Head:
    patient = make_patient(1, 0, spacing_mm)
    _, t1, t2, _ = patient.images
    return Head(*(image_of(patient, array) for array in (patient.ct_hu, t1, t2, patient.brain)))


def image_of(patient: SyntheticPatient, array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing(patient.grid.spacing)
    image.SetOrigin(patient.grid.origin)
    image.SetDirection(patient.grid.direction)
    return image


def centre(image: sitk.Image) -> tuple[float, ...]:
    return image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])


def move(image: sitk.Image, turns_deg: tuple[float, ...], shift_mm: tuple[float, ...]) -> sitk.Euler3DTransform:
    return sitk.Euler3DTransform(centre(image), *np.radians(turns_deg).tolist(), shift_mm)


def scanned(
    image: sitk.Image,
    moved: sitk.Transform,
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0),
    extent_mm: tuple[float, float, float] = (210.0, 260.0, 230.0),
    turn_deg: float = 0.0,
) -> sitk.Image:
    """The patient after the move, on a grid of his own around him, whose axes are turned: all (x, y, z)."""
    direction = sitk.Euler3DTransform((0.0, 0.0, 0.0), np.radians(turn_deg), 0.0, 0.0).GetMatrix()
    size = [round(mm / voxel) for mm, voxel in zip(extent_mm, spacing_mm, strict=True)]
    half = (np.array(size) - 1) / 2 * spacing_mm
    origin = np.array(moved.TransformPoint(centre(image))) - np.reshape(direction, (3, 3)) @ half
    where = (size, moved.GetInverse(), sitk.sitkLinear, origin.tolist(), spacing_mm, direction)
    return sitk.Resample(image, *where, 0.0, sitk.sitkFloat32)


def furthest_mm(found: sitk.Transform, known: sitk.Transform, mask: sitk.Image) -> float:
    """The largest distance between where both put the voxels of a mask."""
    index = np.argwhere(sitk.GetArrayFromImage(mask) > 0)[::7, ::-1]
    points = [mask.TransformIndexToPhysicalPoint(i) for i in index.tolist()]
    return max(float(np.linalg.norm(np.subtract(found.TransformPoint(p), known.TransformPoint(p)))) for p in points)


def test_a_moved_mr_is_found_within_half_a_millimetre(head: Head) -> None:
    known = move(head.ct, (5.0, -4.0, 3.0), (8.0, -6.0, 5.0))
    found = register_rigid(head.ct, scanned(head.t1, known))
    assert furthest_mm(found.transform, known, head.brain) < 0.5
    assert found.quality["overlap"] > 0.95
    assert found.quality["mutual_information"] > found.quality["mutual_information_start"] + 0.1
    # the turn of three small ones is about the root of the sum of their squares
    assert found.quality["rotation_deg"] == pytest.approx(np.sqrt(25 + 16 + 9), abs=0.5)
    assert found.quality["agreeing_starts"] >= 6
    assert found.doubts == ()


def test_another_scanner_with_oblique_slices_and_a_smaller_field_of_view(head: Head) -> None:
    known = move(head.ct, (-12.0, 4.0, 6.0), (180.0, -250.0, 90.0))
    mr = scanned(head.t2, known, (3.0, 3.0, 4.0), (200.0, 250.0, 150.0), turn_deg=15.0)
    found = register_rigid(head.ct, mr)
    assert furthest_mm(found.transform, known, head.brain) < 0.5
    assert found.quality["translation_mm"] == pytest.approx(np.sqrt(180**2 + 250**2 + 90**2), abs=15)


def test_a_brain_without_skull_finds_its_place_in_the_head(coarse_head: Head) -> None:
    known = move(coarse_head.ct, (8.0, 3.0, -6.0), (20.0, 30.0, -40.0))
    brain = sitk.Mask(coarse_head.t1, sitk.Cast(coarse_head.brain, sitk.sitkUInt8))
    found = register_rigid(coarse_head.ct, scanned(brain, known))
    assert furthest_mm(found.transform, known, coarse_head.brain) < 1.5, "a quarter of a voxel"
    assert found.doubts == ()


def test_the_same_images_give_the_same_transform_bit_for_bit(coarse_head: Head) -> None:
    vertex = coarse_head.ct[:, :, 18:]
    mr = scanned(coarse_head.t1, move(vertex, (3.0, 0.0, 0.0), (4.0, 0.0, 0.0)), (6.0, 6.0, 6.0))
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    first, second = (register_rigid(vertex, mr) for _ in range(2))
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
    assert first.transform.GetParameters() == second.transform.GetParameters()
    assert first.quality == second.quality


def test_noise_is_doubtful_or_refused(coarse_head: Head) -> None:
    noise = sitk.GetImageFromArray(np.random.default_rng(0).random((20, 30, 30), np.float32))
    noise.SetSpacing((6.0, 6.0, 6.0))
    try:
        found = register_rigid(coarse_head.ct, noise)
    except DoseloError:
        return
    assert found.doubts


def test_real_t1_onto_t2(realdata: Path) -> None:
    """They were aligned by another tool, to about half a millimetre; here one is moved, at voxels of 4 mm."""
    folder = realdata / "mr" / "TCGA-DU-7294"
    if not folder.is_dir():
        pytest.skip(f"no real MR: {folder} is no folder")
    t1, t2, brain = (
        sitk.BinShrink(sitk.ReadImage(str(folder / f"{name}.nii.gz"), sitk.sitkFloat32), [4, 4, 4])
        for name in ("t1", "t2", "brainmask")
    )
    known = move(t1, (5.0, -6.0, 8.0), (8.0, -10.0, 12.0))
    found = register_rigid(t2, scanned(t1, known))
    assert furthest_mm(found.transform, known, brain) < 1.5


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.zeros((8, 8, 8)), "the moving image: shows nothing to be registered, nearly all voxels are 0"),
        (np.full((8, 8, 8), np.nan), "the moving image: .* must be finite"),
        (np.ones((2, 8, 8)), r"at least 4 voxels a side, found \(8, 8, 2\)"),
        (np.ones((8, 8)), "expected a 3-D image, found 2 dimensions"),
    ],
)
def test_what_cannot_be_registered_is_refused(head: Head, voxels: np.ndarray, message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        register_rigid(head.ct, sitk.GetImageFromArray(voxels))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"overlap": 0.2}, "show the same part of the patient, found 20% in common"),
        ({"mutual_information": 0.25}, "fell from 0.300 to 0.250"),
    ],
)
def test_what_cannot_be_right_is_an_error(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        require_plausible(GOOD | wrong)


def test_a_start_that_was_right_is_no_error() -> None:
    require_plausible(GOOD | {"mutual_information": 0.295})


@pytest.mark.parametrize(
    ("wrong", "doubt"),
    [
        ({"overlap": 0.5}, "only 50% of the content is in both"),
        ({"agreeing_starts": 2.0}, "only 2 of 9 starts led there"),
        ({"rotation_deg": 41.0}, "turned by 41 degrees"),
        ({"mutual_information": 0.1}, "mutual information of only 0.10"),
    ],
)
def test_what_may_be_wrong_is_a_doubt(wrong: dict[str, float], doubt: str) -> None:
    assert doubts(GOOD) == ()
    assert doubts(GOOD | wrong) == (doubt,)

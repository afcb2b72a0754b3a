"""Which way an image is aligned, and that the voxels come out where they belong."""

import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_doselo.dataset_conversion.registration import mr_alignment
from nnunet_doselo.dataset_conversion.registration.mr_alignment import align
from nnunet_doselo.dataset_conversion.registration.rigid import Registered

SIGNAL = np.arange(60, dtype=np.int16).reshape(3, 4, 5) + 7


def image(array: np.ndarray, origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> sitk.Image:
    volume = sitk.GetImageFromArray(array)
    volume.SetOrigin(origin_mm)
    return volume


CT = image(np.zeros((3, 4, 5), np.int16))


def voxels(aligned: mr_alignment.Aligned) -> np.ndarray:
    return sitk.GetArrayFromImage(aligned.image)


def refuse(*_: object) -> Registered:
    raise AssertionError("nothing had to be registered")


def test_one_frame_of_reference_is_taken_as_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mr_alignment, "register_rigid", refuse)
    aligned = align(CT, image(SIGNAL), None, True)
    assert aligned.how == "same frame of reference, taken as aligned"
    assert aligned.quality == {}
    assert voxels(aligned).dtype == np.float32
    assert np.array_equal(voxels(aligned), SIGNAL)


def test_it_is_interpolated_linearly_and_outside_is_the_lowest_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The MR begins half a voxel further left (+x): the first column is outside, the others lie between two."""
    monkeypatch.setattr(mr_alignment, "register_rigid", refuse)
    found = voxels(align(CT, image(SIGNAL, (0.5, 0.0, 0.0)), None, True))
    assert np.allclose(found[..., 1:], (SIGNAL[..., :-1] + SIGNAL[..., 1:]) / 2)
    far = voxels(align(CT, image(SIGNAL, (100.0, 0.0, 0.0)), None, True))
    assert (far == 7).all()


def test_a_registration_object_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It maps the CT's points to the MR's: one voxel further along x."""
    monkeypatch.setattr(mr_alignment, "register_rigid", refuse)
    for same_frame in (True, False):
        aligned = align(CT, image(SIGNAL), sitk.TranslationTransform(3, (1.0, 0.0, 0.0)), same_frame)
        assert aligned.how == "spatial registration object"
        assert np.array_equal(voxels(aligned)[..., :-1], SIGNAL[..., 1:])


@pytest.mark.parametrize(
    ("doubts", "how"),
    [
        ((), "rigid registration by mutual information, look at the checkerboard"),
        (
            ("turned by 41 degrees", "only 2 of 9 starts led there"),
            "rigid registration by mutual information, look at the checkerboard; "
            "doubtful: turned by 41 degrees, only 2 of 9 starts led there",
        ),
    ],
)
def test_otherwise_it_is_registered_and_doubts_are_told(
    monkeypatch: pytest.MonkeyPatch, doubts: tuple[str, ...], how: str
) -> None:
    found = Registered(sitk.TranslationTransform(3, (0.0, 0.0, 1.0)), {"overlap": 1.0}, doubts)
    monkeypatch.setattr(mr_alignment, "register_rigid", lambda fixed, moving: found)
    aligned = align(CT, image(SIGNAL), None, False)
    assert aligned.how == how
    assert aligned.quality == {"overlap": 1.0}
    assert np.array_equal(voxels(aligned)[:-1], SIGNAL[1:])
